"""Names of variants as users spell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablations.fields import listed
from foundation import ALSO_CALLED, meant, registered, spelled

_NAMING = ("reference", "ours", "breakdown", "variants", "others", "at")  # keys whose values name variants


def variant_named(name: str, networks: Mapping[str, str | None]) -> str | None:
    """The id of the variant that a user means: the same in any spelling; `spin` also means the variant `full` of SPIN.

    `networks` are the networks of the variants, by id.
    """
    if found := meant(name, networks):
        return found
    called = {key: network for key, network in networks.items() if ALSO_CALLED.get(key) == registered(network or "")}
    return next((key for key in called if ALSO_CALLED[key] == spelled(name)), None)


def respelled(experiment: Any) -> Any:
    """The content of an experiment's file with the names of variants, wherever one stands, as the variants have them.

    A name that no variant has, and content of another form, stay as they are.
    """
    if not isinstance(experiment, dict) or not isinstance(experiment.get("variants"), dict):
        return experiment
    variants = experiment["variants"].items()
    found = {key: each.get("model") for key, each in variants if isinstance(key, str) and isinstance(each, dict)}
    networks = {key: model if isinstance(model, str) else None for key, model in found.items()}

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(one) for one in value]
        return (variant_named(value, networks) or value) if isinstance(value, str) else value

    def part(content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {key: named(value) if key in _NAMING else value for key, value in content.items()}

    table = experiment.get("table")
    if isinstance(table, dict):
        chosen = {"rows": named(listed(table["rows"]))} if "rows" in table else {}
        if isinstance(table.get("groups"), dict):
            chosen["groups"] = {heading: named(listed(members)) for heading, members in table["groups"].items()}
        experiment = {**experiment, "table": {**table, **chosen}}
    claims = experiment.get("claims")
    if isinstance(claims, dict):
        experiment = {**experiment, "claims": {key: part(claim) for key, claim in claims.items()}}
    return part(experiment)
