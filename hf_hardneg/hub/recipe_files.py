"""The files of a recipe: what it includes, what is laid over it, and its variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hf_hardneg.errors import RecipeError, did_you_mean, listing
from hf_hardneg.hub.source_names import inside, path_fault, split_name
from hf_hardneg.hub.yaml_nodes import Node, node_of, read_yaml

__all__ = ["expanded", "overridden", "with_includes"]

MAX_FILES = 50
SOURCES = ("data.queries", "data.corpus", "data.judgements", "evaluation.judgements",
           "evaluation.held_out.queries", "evaluation.held_out.judgements")  # fmt: skip
SETTINGS = "mining.settings"
VARIABLE = re.compile(r"\$\{([^}]*)\}")
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$", re.ASCII)
SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY")


def with_includes(path: Path, folder: Path) -> Node:
    """Read a recipe and what it includes; what comes later wins, the recipe itself last.

    Args:
        path: the recipe.
        folder: where the paths of includes start, and what they must stay in.

    Raises:
        RecipeError: a file is not there, outside the folder, includes itself, or is no recipe.
    """
    return _included(path, folder, (), [])


def _shown(path: Path, folder: Path) -> str:
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:  # the recipe itself is a link
        return path.name


def _included(path: Path, folder: Path, above: tuple[Path, ...], read: list[Path]) -> Node:
    own = read_yaml(path, _shown(path, folder))
    read.append(path)
    if not isinstance(own.value, dict) or "include" not in own.value:
        return own
    wanted = own.value["include"]
    rest = {name: child for name, child in own.value.items() if name != "include"}
    whole: Node | None = None
    above = (*above, path.resolve())
    for item in wanted.value if isinstance(wanted.value, tuple) else (wanted,):
        place = _place(item, folder)
        if place in above:
            chain = " -> ".join(
                _shown(one, folder) for one in (*above[above.index(place) :], place)
            )
            raise item.error(f"goes in a circle: {chain}. Remove one of them.")
        if len(read) >= MAX_FILES:
            raise item.error(f"makes more than {MAX_FILES} files; a recipe has a few.")
        part = _included(place, folder, above, read)
        whole = part if whole is None else _laid_over(whole, part)
    mine = replace(own, value=rest)
    return mine if whole is None else _laid_over(whole, mine)


def _place(item: Node, folder: Path) -> Path:
    """Return the file that an include names."""
    if not isinstance(item.value, str) or not item.value:
        raise item.error(
            f"is {item.plain()!r}; expected a path inside the recipe's folder, or a list of them."
        )
    if fault := path_fault(item.value):
        raise item.error(f"is {item.value!r}, which {fault}; expected a path inside it.")
    place = inside(folder, item.value)
    if place is None:
        raise item.error(f"is {item.value!r}, which leads out of the recipe's folder.")
    if not place.is_file():
        there = sorted(
            entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml")
        )
        raise item.error(
            f"is {item.value!r}, and there is no such file.{did_you_mean(item.value, there)} "
            f"Beside the recipe: {listing(there)}."
        )
    return place


def _laid_over(base: Node, over: Node) -> Node:
    """Return ``over`` laid over ``base``: mappings key by key, anything else as a whole.

    Another source is another one as a whole: it never keeps the revision of the one below. A
    mapping without ``source`` changes the one below.
    """
    if not isinstance(over.value, dict):
        return over
    if over.key in SOURCES:
        if "source" in over.value:
            return over
        base = _long_form(base)
    if not isinstance(base.value, dict):
        return over
    found = dict(base.value)
    for name, child in over.value.items():
        found[name] = _laid_over(found[name], child) if name in found else child
    return replace(over, value=found)


def _long_form(node: Node) -> Node:
    """Return ``owner/name:config@revision`` as a mapping with source, config and revision."""
    if not isinstance(node.value, str):
        return node
    name, config, revision = split_name(node.value)
    parts = {"source": name, "config": config, "revision": revision}
    children = {
        key: Node(value, node.where, f"{node.key}.{key}") for key, value in parts.items() if value
    }
    return replace(node, value=children)


def overridden(node: Node, overrides: Mapping[str, Any]) -> Node:
    """Lay values over a recipe, by keys such as ``mining.seed``.

    Raises:
        RecipeError: a key is empty, or a value is no plain value.
    """
    for key, value in overrides.items():
        where = f"--set {key}"
        settings, dot, name = key.partition(f"{SETTINGS}.")
        parts = [*SETTINGS.split("."), name] if dot and not settings else key.split(".")
        if not all(parts):
            raise RecipeError(f"{where}: expected keys joined by dots, such as mining.seed.")
        if parts[0] == "include":
            raise RecipeError(f"{where}: a file is included by the recipe alone.")
        over = node_of(value, where, key)
        for depth in range(len(parts) - 1, -1, -1):
            over = Node({parts[depth]: over}, where, ".".join(parts[:depth]))
        node = _laid_over(node, over)
    return node


def expanded(
    node: Node, environment: Mapping[str, str] | None = None
) -> tuple[Node, tuple[str, ...], dict[str, tuple[str, str]]]:
    """Put in the variables that the recipe names under ``environment``.

    Args:
        node: the whole recipe.
        environment: variables; by default those of this process.

    Returns:
        The recipe, the names, and by key what was written and what it came to.

    Raises:
        RecipeError: a variable is not named, not set, or one that holds a secret.
    """
    known = os.environ if environment is None else environment
    values = node.value if isinstance(node.value, dict) else {}
    names = _names(values["environment"]) if "environment" in values else ()
    changed: dict[str, tuple[str, str]] = {}

    def put_in(child: Node) -> Node:
        if isinstance(child.value, dict):
            return replace(child, value={k: put_in(v) for k, v in child.value.items()})
        if isinstance(child.value, tuple):
            return replace(child, value=tuple(map(put_in, child.value)))
        if not isinstance(child.value, str) or "${" not in child.value:
            return child
        text = VARIABLE.sub(lambda match: _variable(child, match[1], names, known), child.value)
        key = child.key.removesuffix(".source")  # to_yaml may write a source in its short form
        changed[key] = changed[child.key] = (child.value, text)
        return replace(child, value=text)

    return put_in(node), names, changed


def _names(node: Node) -> tuple[str, ...]:
    """Return the names under ``environment``."""
    items = node.value if isinstance(node.value, tuple) else () if node.value is None else (node,)
    for item in items:
        if not isinstance(item.value, str) or not NAME.match(item.value):
            raise item.error(
                f"is {item.plain()!r}; expected the name of a variable such as DATA_NAME."
            )
        if SECRET.search(item.value.upper()):
            raise item.error(
                f"names {item.value!r}: a recipe is published, so nothing secret goes into it. "
                "The Hub's client finds its token by itself."
            )
    return tuple(dict.fromkeys(str(item.value) for item in items))


def _variable(node: Node, name: str, names: tuple[str, ...], environment: Mapping[str, str]) -> str:
    if name not in names:
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise node.error(
            f"uses ${{{name}}}, which the recipe does not name under environment.{hint} Named: "
            f"{listing(names)}."
        )
    if name not in environment:
        raise node.error(f"uses ${{{name}}}, which is not set. Set it: export {name}=...")
    return environment[name]
