"""Compiled training steps: `training.compile` of the protocol. Compilation takes minutes, so that this comes last."""

from __future__ import annotations

from typing import Any

from tests.gpu.checks.steps import steps
from tests.gpu.session import Session


def check(session: Session) -> dict[str, Any]:
    """As `steps.check`, the fastest precision first; `seconds_before` is mostly the time of compilation."""
    return steps(session, ("bfloat16", "tf32", "float32"), 20, compile=True)
