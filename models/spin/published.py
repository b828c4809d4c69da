"""Names of SPIN's parameters in the official code, for loading and exporting weights."""

from __future__ import annotations

from models.spin.network import SPIN

_PARTS = {"spca": "inter_layer", "ispa": "intra_layer", "local": "local_layer"}
_PIXELS = {"query": "q", "key": "k", "value": "v"}
_LOCAL = {"query": "attn.to_q", "key": "attn.to_k", "value": "attn.to_v"}
_FFN = {
    "norm": "norm.norm",
    "channel_squeeze": "ca.1",
    "channel_excite": "ca.3",
    "pixel_squeeze": "pa.0",
    "pixel_excite": "pa.2",
    "expand": "fc1",
    "reduce": "fc2",
}
# Published as 1x1 convolutions, which are linear layers here. Superpixel and local attention are linear there too.
CONVOLUTIONS = (r".+_layer\.0\.[qkv]\.weight", r".+_layer\.1\.(ca|pa)\.\d\.weight", r".+_layer\.1\.fc\d\.weight")


def names(model: SPIN) -> dict[str, str]:
    """Published name of every parameter, by our name, in our order."""
    return {name: _published(name, model.scale) for name, _ in model.named_parameters()}


def _published(name: str, scale: int) -> str:
    top, *rest = name.split(".")
    if top == "upsampler":  # layers 0 and 3 are convolutions
        number = {2: {"0": ""}, 3: {"0": ""}, 4: {"0": "1", "3": "2"}}[scale][rest[0]]
        return f"upconv{number}.{rest[1]}"
    if top != "blocks":
        return name
    index, module, *inner, kind = rest
    part = _PARTS[module.removesuffix("_ffn")]
    if module.endswith("_ffn"):
        place = f"1.{_FFN[inner[0]]}"
    elif inner == ["norm"]:
        place = "norm" if module == "local" else "0.norm.norm"
    elif inner == ["superpixels"]:
        place = "0.sp"
    else:
        place = _LOCAL[inner[-1]] if module == "local" else f"0.{_PIXELS[inner[-1]]}"
    if module == "local":
        place = f"0.{place}"
    return f"blocks.{index}.{part}.{place}.{kind}"
