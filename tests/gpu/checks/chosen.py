"""Training steps where cuDNN may take the algorithms that prove to be the fastest: `training.cudnn_benchmark`."""

from __future__ import annotations

from typing import Any

from tests.gpu.checks.steps import steps
from tests.gpu.session import Session


def check(session: Session) -> dict[str, Any]:
    """As `steps.check`, in the precisions that sum in float32."""
    return steps(session, ("tf32", "float32"), 10, cudnn_benchmark=True)
