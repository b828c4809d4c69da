"""A bound for YAML, in which ten lines can stand for ten milliards of values."""

from __future__ import annotations

from typing import Any

import yaml

MOST = 100_000  # values of a file, with those that aliases repeat


class Bounded:
    """Put before a loader of YAML: what aliases make too large, or put into itself, is a ConstructorError."""

    def get_single_node(self) -> yaml.Node | None:
        parent: Any = super()
        node: yaml.Node | None = parent.get_single_node()
        if node is not None:
            _size(node, {})
        return node


_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML was built with it


class PlainLoader(Bounded, _SAFE):
    """Builds plain data only, quickly."""


def _size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many values a node stands for."""
    if node in known:
        if known[node] == 0:
            raise yaml.constructor.ConstructorError(None, None, "a value that contains itself", node.start_mark)
        return known[node]
    known[node] = 0
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [one for pair in node.value for one in pair]
    known[node] = size = 1 + sum(_size(one, known) for one in inner)
    if size > MOST:
        problem = f"stands for more than {MOST} values, which its aliases repeat"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return size
