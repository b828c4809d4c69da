"""A bound for YAML, in which ten lines can stand for ten milliards of values."""

from __future__ import annotations

from typing import Any

import yaml

MOST = 100_000  # values of a file, with those that aliases repeat
DEEPEST = 100  # levels of a long file
_SHORT = 10_000  # a shorter text cannot be so deep that the loader in C overflows the stack


class Bounded:
    """Put before a loader of YAML: what aliases make too large, or put into itself, and what is too deep, is a
    ConstructorError."""

    def __init__(self, stream: Any) -> None:
        text = stream if isinstance(stream, str | bytes) else stream.read()
        if len(text) > _SHORT:
            _check_depth(text)
        parent: Any = super()
        parent.__init__(text)

    def get_single_node(self) -> yaml.Node | None:
        parent: Any = super()
        node: yaml.Node | None = parent.get_single_node()
        if node is not None:
            _size(node, {})
        return node


_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML was built with it


class PlainLoader(Bounded, _SAFE):
    """Builds plain data only, quickly."""


def _check_depth(text: str | bytes) -> None:
    depth = 0
    for event in yaml.parse(text, _SAFE):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.constructor.ConstructorError(None, None, f"deeper than {DEEPEST} levels")


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
