"""YAML as nodes that know their line. Nothing in a file is executed.

Read by PyYAML's safe loader as far as its nodes: no object is constructed from a tag. What a plain
word means follows YAML 1.2's core schema: ``no`` is the language and not false, ``1e-3`` is a
number, a date is a text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from hf_hardneg.errors import RecipeError

__all__ = ["Node", "Value", "dump_yaml", "node_of", "places", "read_yaml", "scalar_of"]

MAX_BYTES = 256 * 1024
MAX_NODES = 5_000
"""With aliases written out: a recipe of a few lines can name millions of nodes by aliases."""
MAX_DEPTH = 20
TABS = "YAML is indented by spaces, not by tabs."
QUOTES = "See whether a bracket or a colon is missing; a text with such signs goes in quotes."

BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
INT = re.compile(r"^[-+]?[0-9]+$")
FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
TAG = "tag:yaml.org,2002:"

Value: TypeAlias = "bool | int | float | str | tuple[Node, ...] | dict[str, Node] | None"


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a recipe.

    Attributes:
        value: a scalar, a tuple of nodes, or nodes by key.
        where: ``file.yaml, line 7``, or ``--set KEY`` for what was set from outside.
        key: its keys joined by dots, such as ``mining.seed``; empty for the whole.
    """

    value: Value
    where: str
    key: str = ""

    def error(self, message: str) -> RecipeError:
        """Return an error that says where, and which key."""
        return RecipeError(f"{self.where}: {self.key + ' ' if self.key else ''}{message}")

    def plain(self) -> Any:  # noqa: ANN401
        """Return the value without lines, as Python's own lists and dicts."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain words of YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which also puts what YAML 1.2 takes for a number in quotes."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401
        """Write every value out."""
        return True


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", BOOL, "tTfF"),
    ("int", INT, "-+0123456789"),
    ("float", FLOAT, "-+.0123456789"),
    ("null", NULL, ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(TAG + _tag, _pattern, list(_first))
_Dumper.add_implicit_resolver(TAG + "float", FLOAT, list("-+.0123456789"))


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return values as YAML, in their order; :func:`read_yaml` of it gives equal values."""
    text: str = yaml.dump(
        dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96
    )
    return text


def read_yaml(path: Path, shown: str) -> Node:
    """Read a file of one YAML mapping.

    Args:
        path: the file.
        shown: what it is called in errors.

    Raises:
        RecipeError: it cannot be read, is no YAML, too large, or no mapping.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{shown}: cannot be read: {error.strerror or error}.") from error
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{shown}: more than {MAX_BYTES:,} bytes; a recipe is a page of YAML.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecipeError(f"{shown}, line {line}: not UTF-8; save it as UTF-8.") from error
    node = _composed(text, shown)
    if node is None:
        raise RecipeError(f"{shown}: empty; expected keys such as version, name and data.")
    whole = _Converter(shown).node(node, "", 0)
    if not isinstance(whole.value, dict):
        raise whole.error("this is no mapping; expected keys such as version, name and data.")
    return whole


def scalar_of(text: str) -> Any:  # noqa: ANN401
    """Return what a text means as YAML, as a value without lines: ``3``, ``true``, ``[a, b]``.

    Raises:
        RecipeError: it is no YAML.
    """
    node = _composed(text, "the value")
    return None if node is None else _Converter("the value").node(node, "", 0).plain()


def _composed(text: str, shown: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{shown}, line {mark.line + 1}" if mark else shown
        why = " ".join(part for part in (error.context, error.problem) if part)
        hint = TABS if "\\t" in why else QUOTES
        raise RecipeError(
            f"{where}: this is no YAML that a recipe can be: {why}. {hint}"
        ) from error
    except yaml.reader.ReaderError as error:
        where = f"{shown}, line {text[: int(error.position)].count(chr(10)) + 1}"
        raise RecipeError(
            f"{where}: a control character (code {error.character!r}); remove it."
        ) from error
    except RecursionError as error:
        raise RecipeError(
            f"{shown}: nested too deeply; a recipe has {MAX_DEPTH} levels."
        ) from error
    return node


class _Converter:
    """Makes nodes of ours from PyYAML's, and counts them."""

    def __init__(self, shown: str) -> None:
        self._shown, self._count = shown, 0

    def node(self, node: yaml.Node, key: str, depth: int, line: int | None = None) -> Node:
        """Convert a node; ``line`` is that of its key, which tells more than its own."""
        line = node.start_mark.line + 1 if line is None else line
        bare = Node(None, f"{self._shown}, line {line}", key)
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            raise bare.error(
                f"is nested more than {MAX_DEPTH} deep, or the aliases stand for more than "
                f"{MAX_NODES:,} values. Write the values out."
            )
        if isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
            return replace(bare, value=self._mapping(node, bare, depth))
        if isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
            items = [
                self.node(item, f"{key}[{place}]", depth + 1)
                for place, item in enumerate(node.value)
            ]
            return replace(bare, value=tuple(items))
        if isinstance(node, yaml.ScalarNode):
            return replace(bare, value=self._scalar(node, bare))
        raise bare.error(f"has the tag {node.tag!r}; a recipe holds plain values only.")

    def _mapping(self, node: yaml.MappingNode, bare: Node, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode) or name.tag != TAG + "str" or not name.value:
                shown = repr(name.value) if isinstance(name, yaml.ScalarNode) else "a list"
                raise RecipeError(
                    f"{self._shown}, line {line}: the key {shown} is no text; put it in quotes, or "
                    "see whether a dash or a colon stands where it should not."
                )
            key = f"{bare.key}.{name.value}" if bare.key else name.value
            if name.value in found:
                raise RecipeError(
                    f"{self._shown}, line {line}: {key} stands twice, first at "
                    f"{found[name.value].where}. Keep one."
                )
            found[name.value] = self.node(value, key, depth + 1, line)
        return found

    def _scalar(self, node: yaml.ScalarNode, bare: Node) -> Value:
        kind, text = node.tag.removeprefix(TAG), node.value
        if kind == "str":
            return str(text)
        if kind == "null":
            return None
        try:
            if kind == "bool" and BOOL.match(text):
                return bool(text.lower() == "true")
            if kind == "int" and INT.match(text):
                return int(text)
            if kind == "float" and FLOAT.match(text):
                number = float(text)
                if math.isfinite(number):
                    return number
        except ValueError as error:  # thousands of digits
            raise bare.error("is a number with too many digits.") from error
        raise bare.error(
            f"is {text!r} with the tag {node.tag!r}; a recipe holds plain values only."
        )


def node_of(value: object, where: str, key: str) -> Node:
    """Return a node of a Python value.

    Raises:
        RecipeError: it is neither a scalar, a list nor a dict with texts as keys.
    """
    bare = Node(None, where, key)
    if isinstance(value, float) and not math.isfinite(value):
        raise bare.error(f"is {value!r}; expected a finite number.")
    if value is None or isinstance(value, bool | int | float | str):
        return replace(bare, value=value)
    if isinstance(value, list | tuple):
        items = (node_of(item, where, f"{key}[{place}]") for place, item in enumerate(value))
        return replace(bare, value=tuple(items))
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        found = {name: node_of(item, where, f"{key}.{name}") for name, item in value.items()}
        return replace(bare, value=found)
    raise bare.error(
        f"is a {type(value).__name__}; expected a text, a number, a list or a mapping."
    )


def places(node: Node) -> Iterator[tuple[str, str]]:
    """Yield every key and where it stands."""
    yield node.key, node.where
    children: Iterable[Node] = ()
    if isinstance(node.value, dict):
        children = node.value.values()
    elif isinstance(node.value, tuple):
        children = node.value
    for child in children:
        yield from places(child)
