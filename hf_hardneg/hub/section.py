"""Reading the keys of one mapping of a recipe, each with its type."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from hf_hardneg.errors import RecipeError, did_you_mean, listing
from hf_hardneg.hub.yaml_nodes import Node

__all__ = ["Section", "text_of"]

UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode that no value of one line has: control signs, halves of a pair, breaks."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that turn the direction of writing, so that a reader sees another text."""


class Section:
    """A mapping of a recipe, of which every key is known."""

    def __init__(self, node: Node, known: Sequence[str]) -> None:
        """Take a mapping.

        Args:
            node: the mapping; nothing counts as an empty one.
            known: the keys that it may have.

        Raises:
            RecipeError: it is no mapping, or has another key.
        """
        self.here = node
        if node.value is not None and not isinstance(node.value, dict):
            raise node.error(
                f"is {_shown(node)}; expected a mapping with the keys {listing(known, 20)}."
            )
        self._values = node.value or {}
        for name, child in self._values.items():
            if name not in known:
                inside = f" of {node.key}" if node.key else ""
                raise RecipeError(
                    f"{child.where}: unknown key {name!r}{inside}.{did_you_mean(name, known)} "
                    f"Known here: {listing(known, 20)}."
                )

    def __contains__(self, name: str) -> bool:
        """Return whether the key is there and says something."""
        return self.node(name) is not None

    def node(self, name: str) -> Node | None:
        """Return the value of a key, ``None`` if it is not there or null."""
        child = self._values.get(name)
        return None if child is None or child.value is None else child

    def place(self, name: str) -> Node:
        """Return where an error about a key belongs: its own line, else that of the section."""
        key = f"{self.here.key}.{name}" if self.here.key else name
        return self._values.get(name) or Node(None, self.here.where, key)

    def part(self, name: str) -> Node:
        """Return the value of a key, an empty mapping in its place if it is not there."""
        return self.node(name) or self.place(name)

    def required(self, name: str, example: str) -> Node:
        """Return the value of a key that must be there."""
        child = self.node(name)
        if child is None:
            raise self.place(name).error(f"is missing; expected, for example, {example}.")
        return child

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        child = self.node(name)
        return None if child is None else text_of(child)

    def whole(self, name: str, default: int, low: int, high: int = 2**63) -> int:
        """Return a whole number of at least ``low`` and below ``high``."""
        child = self.node(name)
        if child is None:
            return default
        value = child.value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
            quoted = isinstance(value, str) and value.strip().isdecimal()
            raise child.error(
                f"is {_shown(child)}; expected a whole number of at least {low}"
                + (", without quotes." if quoted else ".")
            )
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        child = self.node(name)
        if child is None:
            return default
        if not isinstance(child.value, bool):
            raise child.error(f"is {_shown(child)}; expected true or false.")
        return child.value

    def items(self, name: str) -> tuple[Node, ...]:
        """Return the texts of a list, each once, with their lines."""
        child = self.node(name)
        if child is None:
            return ()
        if not isinstance(child.value, tuple):
            raise child.error(f"is {_shown(child)}; expected a list, such as [{_shown(child)}].")
        seen: set[str] = set()
        for item in child.value:
            if text_of(item) in seen:
                raise item.error(f"is {item.value!r}, which is in the list twice.")
            seen.add(text_of(item))
        return child.value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list, each once."""
        return tuple(text_of(item) for item in self.items(name))


def text_of(node: Node) -> str:
    """Return a text that is not empty, without line breaks or control characters."""
    if isinstance(node.value, int | float):
        raise node.error(f"is {_shown(node)}, which is no text; put it in quotes.")
    if not isinstance(node.value, str) or not node.value.strip():
        raise node.error(f"is {_shown(node)}; expected a text.")
    if any(unicodedata.category(sign) in UNSEEN or sign in TURNING for sign in node.value):
        raise node.error(f"is {node.value!r}; expected a text of one line, without special signs.")
    return node.value


def _shown(node: Node) -> str:
    """Return a value as it is shown in an error."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, tuple):
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return repr(node.value)
