"""Where a config file says what: the lines of its keys, and keys that it has twice."""

from __future__ import annotations

from collections.abc import Iterator

import yaml


class ConfigLines:
    """The lines of a YAML or JSON text, by dotted path as errors name it. A text that is neither has none."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        self.twice: list[tuple[str, int]] = []
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            node = None
        if node is not None:
            for path, line in _walk(node, ""):
                if path in self._lines:
                    self.twice.append((path, line))
                self._lines[path] = line

    def line_of(self, path: str) -> int | None:
        """The line, from 1, of the key at ``path``, or else of the nearest key above it that is there."""
        while path:
            if path in self._lines:
                return self._lines[path]
            # Of a.b[0], first a.b, then a.
            path = path[: path.rindex("[")] if path.endswith("]") else path.rpartition(".")[0]
        return None


def _walk(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            # Merged keys (<<) stand elsewhere, and may be said again.
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                child = f"{path}.{key.value}" if path else key.value
                yield child, key.start_mark.line + 1
                yield from _walk(value, child)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{path}[{index}]", value.start_mark.line + 1
            yield from _walk(value, f"{path}[{index}]")
