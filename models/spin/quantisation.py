"""The SVQ variant (paper Section 5, Pixel Aggregation): every pixel is associated with every superpixel.

The computation is chunked, so the dense matrix of N pixels by M superpixels is never in memory as a whole (in
training the chunks are kept for the backward pass of SPCA).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.layers import without_autocast
from models.spin.configuration import EPSILON, ITERATIONS, Form
from models.spin.grid import Grid
from models.spin.plain import top_pixels
from models.spin.superpixels import Sight, starting_centroids

CHUNK = 2**23  # entries of the association that exist at a time


@dataclass(frozen=True)
class GlobalAssociation:
    """Association of all pixels with all superpixels, held as features and centroids, computed on demand."""

    reach: ClassVar[int | None] = None

    tokens: Tensor  # (B, N, C), relative to the mean feature
    centroids: Tensor  # (B, M, C), likewise
    form: Form

    def logits(self, tokens: Tensor, centroids: Tensor) -> Tensor:
        """-d² of (B, n, C) and (B, m, C) -> (B, n, m); the softmax form leaves out the pixel's own norm."""
        bias = -centroids.square().sum(-1)[:, None]
        logits = torch.baddbmm(bias, tokens, centroids.transpose(1, 2), alpha=2)
        if self.form == "exp":
            logits = (logits - tokens.square().sum(-1, keepdim=True)).clamp(max=0)
        return logits

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Weights of a run of pixels at a time: the slice, and (B, n, M)."""
        batch, pixels, _ = self.tokens.shape
        step = max(1, CHUNK // (batch * self.centroids.shape[1]))
        for begin in range(0, pixels, step):
            part = slice(begin, begin + step)
            logits = self.logits(self.tokens[:, part], self.centroids)
            yield part, logits.softmax(-1) if self.form == "softmax" else logits.exp()

    def mean(self, tokens: Tensor) -> Tensor:
        """Weighted mean of the pixels of each superpixel (Eq. 4): (B, N, C) -> (B, M, C)."""
        total = tokens.new_zeros(self.centroids.shape[:2] + tokens.shape[-1:])
        weight = tokens.new_zeros(*self.centroids.shape[:2], 1)
        for part, weights in self.chunks():
            weights = weights.to(tokens.dtype)
            total = total + weights.transpose(1, 2) @ tokens[:, part]
            weight = weight + weights.sum(1)[..., None]
        return total / (weight + EPSILON)

    def top(self, count: int) -> Tensor:
        """Pixels of highest log-odds (`exp`: of smallest distance) of each superpixel: (B, M, count) long.

        The terms of the log-odds that involve all superpixels are computed once per pixel; then a few superpixels at a
        time are ranked over all pixels.
        """
        with torch.no_grad():  # not as a decorator, which torch.compile cannot follow
            batch, pixels, _ = self.tokens.shape
            cells = self.centroids.shape[1]
            everyone = torch.arange(pixels, device=self.tokens.device)
            rest = self._rest() if self.form == "softmax" else None
            step = max(1, CHUNK // (batch * pixels))
            chosen = []
            for begin in range(0, cells, step):
                scores = self.logits(self.tokens, self.centroids[:, begin : begin + step])  # (B, N, m)
                if rest is not None:
                    largest, winner, total, runner_up = rest
                    others = largest + (total - (scores - largest).exp()).log()
                    number = torch.arange(begin, begin + scores.shape[-1], device=scores.device)
                    scores = scores - torch.where(winner == number, runner_up, others)
                chosen.append(top_pixels(scores.transpose(1, 2), everyone, count))
            return torch.cat(chosen, dim=1)

    def by_pixel(self) -> Iterator[Sight]:
        """The association pixel by pixel, for inspection: a chunk at a time, K = M."""
        everyone = torch.arange(self.centroids.shape[1], device=self.tokens.device)
        for part, weights in self.chunks():
            scores = self.logits(self.tokens[:, part], self.centroids)
            yield Sight(everyone.expand(weights.shape[1], -1), weights, scores)

    def _rest(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Per pixel (B, N, 1): largest logit, its superpixel, sum of exp(logit - largest), logsumexp of the rest."""
        batch, pixels, _ = self.tokens.shape
        step = max(1, CHUNK // (batch * self.centroids.shape[1]))
        parts = []
        for begin in range(0, pixels, step):
            logits = self.logits(self.tokens[:, begin : begin + step], self.centroids)
            largest, winner = logits.max(-1, keepdim=True)
            total = (logits - largest).exp().sum(-1, keepdim=True)
            runner_up = logits.scatter(-1, winner, -torch.inf).logsumexp(-1, keepdim=True)
            parts.append((largest, winner, total, runner_up))
        largest, winner, total, runner_up = (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
        return largest, winner, total, runner_up


def associate_globally(tokens: Tensor, grid: Grid, form: Form = "softmax") -> GlobalAssociation:
    """Soft vector quantisation: soft k-means over all superpixels, (B, N, C) -> GlobalAssociation."""
    with without_autocast(tokens.device):
        tokens = tokens if tokens.dtype == torch.float64 else tokens.float()
        centre = tokens.mean(1, keepdim=True).detach()  # changes the rounding of distances, not the distances
        centroids = starting_centroids(tokens, grid) - centre
        tokens = tokens - centre
        for _ in range(ITERATIONS - 1):
            # + centre - centre: the +1e-16 in the denominator acts on the uncentred mean
            centroids = GlobalAssociation(tokens, centroids, form).mean(tokens + centre) - centre
        return GlobalAssociation(tokens, centroids, form)
