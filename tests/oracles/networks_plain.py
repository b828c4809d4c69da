"""Forward passes of networks as anybody would write them at first from their descriptions, with a network's own layers.

Each function takes a network of the registry, whose weights it uses, and an image (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import MEAN


def relu(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)


def in_turn(layers: Any, x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def mean_colour(x: Tensor) -> Tensor:
    return x.new_tensor(MEAN).view(1, 3, 1, 1)


def gate(squeeze: nn.Module, excite: nn.Module, x: Tensor) -> Tensor:
    """Channel attention's factors from (N, C, 1, 1)."""
    return torch.sigmoid(excite(relu(squeeze(x))))


def average(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1)


def contrast_aware(attention: Any, x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    deviation = ((x - mean) ** 2).mean((2, 3), keepdim=True).sqrt()
    return x * gate(attention.squeeze, attention.excite, mean + deviation)


def carn(net: Any, x: Tensor) -> Tensor:
    def unit(layers: Any, x: Tensor) -> Tensor:
        return relu(in_turn(layers.body, x) + x)

    def cascade(layers: Any, step: Callable[[Any, Tensor], Tensor], x: Tensor) -> Tensor:
        seen = [x]
        for index, fusion in enumerate(layers.fusions):
            seen.append(step(layers.units[index % len(layers.units)], x))
            x = relu(fusion(torch.cat(seen, 1)))
        return x

    x = net.entry(net.sub_mean(x))
    x = cascade(net.cascade, lambda layers, x: cascade(layers, unit, x), x)
    return net.add_mean(net.exit(in_turn(net.upsamplers[str(net.scale)], x)))


def imdn(net: Any, x: Tensor) -> Tensor:
    def block(layers: Any, x: Tensor) -> Tensor:
        kept, rest = [], x
        for step in layers.steps:
            part, rest = torch.split(F.leaky_relu(step(rest), 0.05, inplace=True), (16, 48), 1)
            kept.append(part)
        kept.append(layers.last(rest))
        return layers.fuse(contrast_aware(layers.attention, torch.cat(kept, 1))) + x

    return distillation(net, block, lambda x: F.leaky_relu(x, 0.05, inplace=True), x)


def rfdn(net: Any, x: Tensor) -> Tensor:
    def leaky(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.05, inplace=True)

    def block(layers: Any, x: Tensor) -> Tensor:
        distilled, rest = [], x
        for distil, refine in zip(layers.distil, layers.refine, strict=True):
            distilled.append(leaky(distil(rest)))
            rest = leaky(refine(rest) + rest)
        distilled.append(leaky(layers.last(rest)))
        return contrast_aware(layers.attention, layers.fuse(torch.cat(distilled, 1))) + x

    return distillation(net, block, leaky, x)


def distillation(
    net: Any, block: Callable[[Any, Tensor], Tensor], activation: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    first = x = net.first_conv(x)
    outputs = []
    for layers in net.blocks:
        x = block(layers, x)
        outputs.append(x)
    x = net.last_conv(activation(net.fuse(torch.cat(outputs, 1)))) + first
    return in_turn(net.upsampler, x)


def bsrn(net: Any, x: Tensor) -> Tensor:
    def spatial(layers: Any, x: Tensor) -> Tensor:
        squeezed = layers.squeeze(x)
        view = in_turn(layers.view, F.max_pool2d(layers.halve(squeezed), 7, 3))
        view = F.interpolate(view, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(layers.excite(view + layers.shortcut(squeezed)))

    def block(layers: Any, x: Tensor) -> Tensor:
        distilled, rest = [], x
        for distil, refine in zip(layers.distil, layers.refine, strict=True):
            distilled.append(F.gelu(distil(rest)))
            rest = F.gelu(refine(rest) + rest)
        distilled.append(F.gelu(layers.last(rest)))
        fused = spatial(layers.spatial_attention, layers.fuse(torch.cat(distilled, 1)))
        return contrast_aware(layers.channel_attention, fused) + x

    first = x = net.first(torch.cat([x, x, x, x], 1))
    outputs = []
    for layers in net.blocks:
        x = block(layers, x)
        outputs.append(x)
    x = net.smooth(F.gelu(net.fuse(torch.cat(outputs, 1)))) + first
    return in_turn(net.upsampler, x)


def weighted(layers: Any, branch: Tensor, x: Tensor) -> Tensor:
    return layers.branch_weight * branch + layers.input_weight * x


def fusion_block(layers: Any, convs: Sequence[str], x: Tensor) -> Tensor:
    """AWSRN's local fusion block, whose units have two convolutions of the names `convs`."""
    first = x
    outputs = []
    for unit in layers.units:
        inner, outer = (getattr(unit, name) for name in convs)
        x = weighted(unit.sum, outer(relu(inner(x))), x)
        outputs.append(x)
    return weighted(layers.sum, layers.reduction(torch.cat(outputs, 1)), first)


def awsrn_m(net: Any, x: Tensor) -> Tensor:
    x = (255 * x - 255 * mean_colour(x)) / 127.5
    image = net.shuffle(net.skip(x))
    x = net.head(x)
    for block in net.blocks:
        x = fusion_block(block, ("expand", "reduce"), x)
    for branch in net.branches.values():
        image = image + net.shuffle(branch.weight * branch.conv(x))
    return (image * 127.5 + 255 * mean_colour(image)) / 255


def lapar_a(net: Any, image: Tensor) -> Tensor:
    x = relu(net.head(image - mean_colour(image)))
    for block in net.blocks:
        x = fusion_block(block, ("first", "second"), x)
    x = F.pixel_shuffle(relu(net.up(x)), net.scale)
    x = net.scale_k3 * net.tail_k3(x) + net.scale_k5 * net.tail_k5(x)
    coefficients = net.coefficients(relu(net.fuse(x)))  # (N, 72, H, W)
    enlarged = F.interpolate(image, scale_factor=net.scale, mode="bicubic", align_corners=False)
    padded = F.pad(enlarged, (2, 2, 2, 2), mode="reflect")
    filtered = F.conv2d(padded.flatten(0, 1)[:, None], net.dictionary).unflatten(0, enlarged.shape[:2])
    return (filtered * coefficients[:, None]).sum(2)


def latticenet(net: Any, x: Tensor) -> Tensor:
    def coefficient(layers: Any, x: Tensor) -> Tensor:
        mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True)
        return (in_turn(layers.of_mean, mean) + in_turn(layers.of_deviation, deviation)) / 2

    def block(layers: Any, x: Tensor) -> Tensor:
        first = in_turn(layers.first, x)
        upper = x + coefficient(layers.first_to_input, first) * first
        lower = first + coefficient(layers.input_to_first, x) * x
        second = in_turn(layers.second, upper)
        upper = second + coefficient(layers.lower_to_second, lower) * lower
        lower = lower + coefficient(layers.second_to_lower, second) * second
        return layers.compress(torch.cat([upper, lower], 1))

    first = net.second_conv(net.first_conv(net.sub_mean(255 * x)))
    outputs = [first]
    for layers in net.blocks:
        outputs.append(block(layers, outputs[-1]))
    x = outputs[-1]
    for later, earlier, output in zip(net.later, net.earlier, outputs[-2:0:-1], strict=True):
        x = torch.cat([relu(later(x)), relu(earlier(output))], 1)
    return net.add_mean(in_turn(net.upsampler, x + first)) / 255


def drsan(net: Any, x: Tensor) -> Tensor:
    def group(layers: Any, x: Tensor) -> Tensor:
        weights = average(in_turn(layers.shortcuts, x))  # (N, 10, 1, 1)
        outputs, used = [x], 0
        for block in layers.blocks:
            residual = in_turn(block, outputs[-1])
            mixed = sum(weights[:, used + index, None] * output for index, output in enumerate(outputs))
            used += len(outputs)
            outputs.append((residual + mixed) * torch.sigmoid(residual))
        return layers.fuse(torch.cat(outputs, 1))

    def depth_to_space(x: Tensor, step: int) -> Tensor:
        images, channels, height, width = x.shape
        x = x.view(images, step, step, channels // step**2, height, width).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(images, channels // step**2, height * step, width * step)

    first = x = net.first_conv(x)
    for layers in net.groups:
        x = group(layers, x)
    x = net.mid_conv(x) + first
    for conv, shuffle in net.upsampler:
        x = depth_to_space(conv(x), shuffle.step)
    return net.last_conv(x)


def smsr(net: Any, x: Tensor) -> Tensor:
    """The formulas with masks, of even height and width."""

    def convolutions(layers: Any, x: Tensor, mask: Tensor) -> Tensor:
        choice = layers.channel_logits.softmax(3).round()
        outputs: list[Tensor] = []
        for index, conv in enumerate(layers.layers):
            dense, sparse = choice[:, :, index, :, None, None].unbind(2)  # each (1, 64, 1, 1)
            if index == 0:
                y = conv(x)
                y = y * (dense + sparse * mask)
            else:
                before = choice[:, :, index - 1, :, None, None]
                of_dense, of_sparse = conv(outputs[-1] * before[:, :, 0]), conv(outputs[-1] * before[:, :, 1])
                y = of_dense * (dense + sparse * mask) + of_sparse * mask
            outputs.append(relu(y))
        return layers.collect(torch.cat(outputs, 1))

    def block(layers: Any, x: Tensor) -> Tensor:
        logits = in_turn(layers.mask.logits, x)
        y = convolutions(layers.convolutions, x, (logits[:, 1:] > logits[:, :1]).float())
        return y * gate(layers.attention.squeeze, layers.attention.excite, average(y)) + x

    image = net.sub_mean(255 * x)
    first = x = in_turn(net.head, image)
    outputs = []
    for layers in net.blocks:
        x = block(layers, x)
        outputs.append(x)
    x = in_turn(net.upsampler, in_turn(net.collect, torch.cat(outputs, 1)) + first)
    x = x + F.interpolate(image, scale_factor=net.scale, mode="bicubic", align_corners=False)
    return net.add_mean(x) / 255


def esrt(net: Any, x: Tensor) -> Tensor:
    def channels(layers: Any, x: Tensor) -> Tensor:
        return x * torch.sigmoid(in_turn(layers, average(x)))

    def unit(layers: Any, x: Tensor) -> Tensor:
        return layers.skipped_by * x + layers.mixed_by * layers.excite(layers.slope(layers.squeeze(x)))

    def features(layers: Any, x: Tensor) -> Tensor:
        first = unit(layers.unit1, x)
        second = unit(layers.unit2, first)
        fused = relu(layers.fuse(torch.cat([layers.unit2_by * second, layers.unit1_by * first], 1)))
        return layers.input_by * x + layers.fused_by * relu(layers.last_conv(channels(layers.gate, fused)))

    def preserving(layers: Any, x: Tensor) -> Tensor:
        def enlarge(low: Tensor) -> Tensor:
            return F.interpolate(low, x.shape[2:], mode="bilinear", align_corners=True)

        entered = features(layers.enter, x)
        low = F.avg_pool2d(entered, 2)
        high = features(layers.high, entered - enlarge(low))
        for _ in range(5):
            low = features(layers.low, low)
        merged = relu(layers.merge(torch.cat([enlarge(low), high], 1)))
        return features(layers.leave, channels(layers.merged_gate, merged)) + x

    def attention(layers: Any, x: Tensor) -> Tensor:
        images, tokens, _ = x.shape
        query, key, value = layers.qkv(layers.shrink(x)).view(images, tokens, 3, 8, 18).permute(2, 0, 3, 1, 4)
        parts = (part.split(tokens // 4, 2) for part in (query, key, value))
        # The fused attention: all weights of an image of 320x180 would take 25 GB.
        mixed = [F.scaled_dot_product_attention(*group, scale=1 / 6) for group in zip(*parts, strict=True)]
        return layers.proj(torch.cat(mixed, 2).transpose(1, 2).reshape(images, tokens, 144))

    def transformer(layers: Any, x: Tensor) -> Tensor:
        tokens = F.unfold(x, 3, padding=1).transpose(1, 2)
        tokens = tokens + attention(layers.attention, layers.attention_norm(tokens))
        tokens = tokens + layers.widen(relu(layers.narrow(layers.mlp_norm(tokens))))
        return F.fold(tokens.transpose(1, 2), x.shape[2:], 3, padding=1)

    first = net.first_conv(x)
    body, outputs = net.body, [first]
    for block in (body.hpb1, body.hpb2, body.hpb3):
        outputs.append(preserving(block, outputs[-1]))
    mixed = body.align(transformer(body.transformer, body.reduce(torch.cat(outputs[1:], 1))))
    x = net.reduce(body.skipped_by * first + body.mixed_by * mixed)
    return in_turn(net.deep, x) + relu(in_turn(net.shallow, first))


def residual_network(net: Any, body: Callable[[Any, Tensor], Tensor], x: Tensor) -> Tensor:
    first = net.conv_first((x - mean_colour(x)) * 255)
    x = net.conv_last(in_turn(net.upsample, net.conv_after_body(body(net.body, first)) + first))
    return x / 255 + mean_colour(x)


def edsr_baseline(net: Any, x: Tensor) -> Tensor:
    def body(blocks: Any, x: Tensor) -> Tensor:
        for block in blocks:
            x = x + block.conv2(relu(block.conv1(x)))
        return x

    return residual_network(net, body, x)


def rcan(net: Any, x: Tensor) -> Tensor:
    def block(layers: Any, x: Tensor) -> Tensor:
        y = layers.conv2(relu(layers.conv1(x)))
        return y * gate(layers.attention.squeeze, layers.attention.excite, average(y)) + x

    def body(groups: Any, x: Tensor) -> Tensor:
        for group in groups:
            before = x
            for layers in group.blocks:
                x = block(layers, x)
            x = group.conv(x) + before
        return x

    return residual_network(net, body, x)


FORWARD: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "carn": carn,
    "carn_m": carn,
    "imdn": imdn,
    "awsrn_m": awsrn_m,
    "lapar_a": lapar_a,
    "rfdn": rfdn,
    "latticenet": latticenet,
    "smsr": smsr,
    "drsan": drsan,
    "esrt": esrt,
    "bsrn": bsrn,
    "edsr_baseline": edsr_baseline,
    "rcan": rcan,
}
