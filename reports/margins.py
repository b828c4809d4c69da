"""Claims with a margin, and claims about places: what the difference of two variants means for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ablations import AtLeast, Better, Comparative, Equals
from reports.contrasts import Contrast
from reports.numbers import signed
from reports.outcomes import COST_METRICS, ContrastOutcome, Outcomes, State, costs_of
from reports.study import Study
from reports.tables import METRICS

_DIGIT = 1e-9  # sums of printed decimals are off in their last bits


def as_claimed(
    study: Study, claim: Comparative, outcomes: Outcomes, tested: Mapping[Contrast, Any] | None = None
) -> Outcomes:
    """The outcomes with the states that they have for a claim; `tested` as in `measured_outcomes`, None if printed.

    A claim about places is alike with the marks of a table: who is not behind in printed digits does not lose a place.
    A lead is at least a margin if the joint interval lies above it, and equal within a margin if that lies inside.
    """
    if isinstance(claim, Better) and claim.places > 1 and tested is None:
        return {
            one: found._replace(state="holds") if found.state == "open" else found for one, found in outcomes.items()
        }
    if not isinstance(claim, AtLeast | Equals):
        return outcomes
    judged = {}
    for one, found in outcomes.items():
        if found.state in ("missing", "once"):
            judged[one] = found
        elif one.metric in COST_METRICS:
            judged[one] = _of_costs(study, one, found, claim, printed=tested is None)
        else:
            lead = found.lead / 10 ** METRICS[one.metric].decimals
            low, high = (lead, lead) if tested is None else (tested[one].joint_low, tested[one].joint_high)
            judged[one] = found._replace(state=_state(claim, low, high))
    return judged


def _state(claim: AtLeast | Equals, low: float, high: float) -> State:
    """The state of a lead that lies between two bounds, in dB."""
    if math.isnan(low):
        return "open"
    if isinstance(claim, AtLeast):
        return "holds" if low >= claim.lead - _DIGIT else "fails" if high < claim.lead - _DIGIT else "open"
    within = claim.within + _DIGIT
    return "holds" if -within <= low and high <= within else "fails" if low > within or high < -within else "open"


def _of_costs(
    study: Study, one: Contrast, found: ContrastOutcome, claim: AtLeast | Equals, printed: bool
) -> ContrastOutcome:
    costs = costs_of(study, printed)
    own, other = (costs[one.scale, name, one.metric] for name in (one.variant, one.reference))
    share = own / other - 1
    return found._replace(state=_state(claim, share, share), text=f"{found.text} ({signed(100 * share, 1)}%)")
