"""Quality of a network, or of bicubic interpolation, on a set of images: a row per image and convention.

An upscaler is a function from an LR image, uint8 (h, w, 3), to its SR image, float32 (scale h, scale w, 3) in
[0, 1] and not clamped; it also takes uint16, which is not measured. This module computes SR; `quality` computes PSNR
and SSIM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.data.pairs import Dataset, Pair
from benchmarks.data.resize import imresize
from benchmarks.measure.precision import Precision, algorithms, arithmetic
from benchmarks.measure.quality import find_convention, scores
from foundation import SpinbenchError

Upscale = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Progress = Callable[[int, int, str], None]  # images done, number of images, name of the last one

COLUMNS = ["dataset", "lr_origin", "convention", "image", "psnr", "ssim"]


class EvaluationError(SpinbenchError):
    """An image could not be evaluated; one line with the set, the scale, the image and the reason."""


def evaluate(
    upscale: Upscale,
    dataset: Dataset,
    scale: int,
    conventions: Sequence[str] = ("rcan",),
    progress: Progress | None = None,
    limit: int | None = None,
    multiple: int = 1,
    keep: Callable[[str, NDArray[np.float32]], None] | None = None,
    failed: Callable[[SpinbenchError], None] | None = None,
) -> pd.DataFrame:
    """Upscale every image of a set, or the first `limit`, once and measure its quality under each convention.

    Returns a row per image and convention: dataset, lr_origin, convention, image, psnr (dB, infinite for identical
    images) and ssim. Images in `dataset.missing(scale)` have no row; callers report them beside a mean. LR images are
    cropped at bottom and right to a `multiple`, and HR images accordingly. After each image,
    `progress` is called, and `keep` with its name and SR image.
    Raises ValueError for an unknown convention or none; EvaluationError for an image that fails (with the chained
    cause); DataError for a damaged image, or if no image of the set is available. With `failed`, it is called with the
    error of a single image instead, whose rows are missing then; the error of the last one is raised if all fail.
    """
    if not conventions:
        raise ValueError("no convention to evaluate under")
    for convention in conventions:
        find_convention(convention)
    missing = set(dataset.missing(scale))
    # if no image is available, the error states how to obtain the first one
    images = ([image for image in dataset.hr_names() if image not in missing] or dataset.hr_names())[:limit]
    rows: list[tuple[str, str, str, str, float, float]] = []
    for done, image in enumerate(images, start=1):
        try:
            pair = dataset.pair(image, scale)
            sr, judged = _judged(upscale, _cropped(pair, scale, multiple), scale, conventions, dataset.name)
        except SpinbenchError as error:
            if failed is None or (done == len(images) and not rows):
                raise
            failed(error)
            continue
        for convention, (psnr, ssim) in zip(conventions, judged, strict=True):
            rows.append((dataset.name, pair.lr_origin, convention, pair.name, psnr, ssim))
        if keep:
            keep(pair.name, sr)
        if progress:
            progress(done, len(images), pair.name)
    return pd.DataFrame(rows, columns=COLUMNS)


def _cropped(pair: Pair, scale: int, multiple: int) -> Pair:
    lr = _to_multiple(pair.lr, multiple)
    return dataclasses.replace(pair, lr=lr, hr=pair.hr[: scale * lr.shape[0], : scale * lr.shape[1]])


def _to_multiple(lr: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    height, width = (size // multiple * multiple for size in lr.shape[:2])
    return lr[:height, :width]


def _judged(
    upscale: Upscale, pair: Pair, scale: int, conventions: Sequence[str], name: str
) -> tuple[NDArray[np.float32], list[tuple[float, float]]]:
    """`_scores` of a pair of the set of that name, with any error as EvaluationError."""
    try:
        return _scores(upscale, pair, scale, conventions)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise EvaluationError(f"{name} x{scale}, {pair.name}: {reason}") from error


def _scores(
    upscale: Upscale, pair: Pair, scale: int, conventions: Sequence[str]
) -> tuple[NDArray[np.float32], list[tuple[float, float]]]:
    """The SR image and its PSNR and SSIM under each convention."""
    sr = upscale(pair.lr)
    height, width = pair.lr.shape[:2]
    expected = (scale * height, scale * width, 3)
    if sr.shape != expected:
        raise ValueError(f"SR has shape {sr.shape}, expected {expected} from LR {height}x{width} at x{scale}")
    return sr, [scores(sr, pair.hr, scale, convention) for convention in conventions]


def network_upscale(model: nn.Module, device: torch.device) -> Upscale:
    """Return the upscaler of a network, which is moved to `device` and upscales one image at a time.

    The network runs in eval mode without gradients, on a GPU by deterministic algorithms; after each image the modes of
    its modules are restored.
    The upscaler raises ValueError for an output that is not one RGB image.
    """
    model.to(device)

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        # contiguous: the layout selects the convolution kernel, and thereby the last bits of its result
        planes = np.ascontiguousarray(lr.transpose(2, 0, 1)[np.newaxis], np.float32)
        planes /= np.float32(np.iinfo(lr.dtype).max)
        training = [module for module in model.modules() if module.training]
        model.eval()
        try:
            with torch.inference_mode(), algorithms():
                sr = model(torch.from_numpy(planes).to(device))
        finally:
            for module in training:
                module.training = True
        if sr.ndim != 4 or sr.shape[:2] != (1, 3):
            raise ValueError(f"the network gave shape {tuple(sr.shape)}, expected (1, 3, height, width)")
        return sr[0].permute(1, 2, 0).float().cpu().numpy()

    return upscale


def self_ensemble(upscale: Upscale) -> Upscale:
    """The mean of an upscaler over the 8 symmetries of the square, before rounding ("+" in tables)."""

    def ensemble(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        total = np.zeros(1, np.float64)
        for turns in range(4):
            for flipped in (False, True):
                turned = np.rot90(lr[:, ::-1] if flipped else lr, turns)
                sr = np.rot90(upscale(np.ascontiguousarray(turned)), -turns)
                total = total + (sr[:, ::-1] if flipped else sr)
        return (total / 8).astype(np.float32)

    return ensemble


def of_multiple(upscale: Upscale, multiple: int) -> Upscale:
    """An upscaler that crops LR images at bottom and right to a multiple of `multiple` pixels."""
    return upscale if multiple == 1 else lambda lr: upscale(_to_multiple(lr, multiple))


def in_precision(upscale: Upscale, device: torch.device, precision: Precision) -> Upscale:
    """An upscaler whose network computes on `device` in `precision`; see `precision.arithmetic`."""

    def computed(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        with arithmetic(device, precision):
            return upscale(lr)

    return computed


def bicubic_upscale(scale: int) -> Upscale:
    """Return MATLAB's bicubic interpolation by `scale` as an upscaler; its values are multiples of 1/255 (1/65535)."""

    def upscale(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        return imresize(lr, scale).astype(np.float32) / np.float32(np.iinfo(lr.dtype).max)

    return upscale
