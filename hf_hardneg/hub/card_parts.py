"""A data set card taken apart: metadata, what is ours in its body, and what is not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from hf_hardneg.errors import HubError

__all__ = ["ROOT", "Block", "Card", "UniqueLoader", "metadata_text"]

ROOT = "hardneg/"
"""Folder of the recipe, the report and the plots."""
_FRONT = re.compile(r"\A(\s*---[ \t]*\r?\n)(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!--[ \t]*(?:hf-hardneg:(?P<configs>[^\n>]*?)|(?P<end>/hf-hardneg))[ \t]*-->")
_HOME = re.compile(r"<!-- hf-hardneg files: (hardneg/[\w.-]+/) -->\n?")
_CONFIG = re.compile(r"[\w.-]+")


class UniqueLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, as the Hub does; PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping of the YAML."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for place, key in enumerate(keys) if key in keys[:place]]
        if twice:
            raise yaml.YAMLError(f"the key {twice[0]!r} stands twice")
        return super().construct_mapping(node, deep)


class _Loader(UniqueLoader):
    """Reads YAML as the Hub does: ``no`` is Norwegian and not False, a date stays a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":bool", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, which other readers of a card may not know."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401
        """Say that a value that stands twice is written twice."""
        return True


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between our marks.

    Attributes:
        configs: names in the opening mark.
        text: what stands between the marks, the newlines beside them included.
    """

    configs: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"<!-- hf-hardneg: {','.join(self.configs)} -->{self.text}<!-- /hf-hardneg -->"

    @property
    def home(self) -> str:
        """Folder of its recipe, report and plots, with a slash behind."""
        found = _HOME.search(self.text)
        return found[1] if found else ROOT

    def at(self, home: str, sidecars: Sequence[str]) -> Block:
        """Return it with the paths of ``sidecars``, which begin with ``hardneg/``, in ``home``."""
        if home == ROOT:
            return self
        text = self.text
        for path in sorted(sidecars, key=len, reverse=True):
            moved = (home + path.removeprefix(ROOT)).replace("\\", "\\\\")
            text = re.sub(rf"(?<![\w.-]){re.escape(path)}(?![\w-])", moved, text)
        return replace(self, text=f"\n<!-- hf-hardneg files: {home} -->{text}")


@dataclass(frozen=True, slots=True)
class Card:
    """A card taken apart.

    Attributes:
        metadata: the YAML in front.
        parts: the body in order: texts that are not ours, and blocks that are.
    """

    metadata: Mapping[str, Any]
    parts: tuple[str | Block, ...]

    @classmethod
    def read(cls, text: str, name: str) -> Card:
        """Take a card apart; ``name`` is what errors call it.

        Raises:
            HubError: the YAML in front cannot be read or is no mapping, or a mark of ours lacks
                its other half.
        """
        text = text.removeprefix("\ufeff")
        front = _FRONT.match(text)
        body = text[front.end() :] if front else text
        try:
            metadata = yaml.load(front[2], _Loader) if front else {}
        except (yaml.YAMLError, ValueError) as error:
            place = " ".join(str(error).split())
            raise HubError(
                f"The YAML in front of {name} cannot be read: {place}. Mend it there first."
            ) from error
        if metadata is None:
            metadata = {}
        if not isinstance(metadata, dict):
            raise HubError(
                f"The YAML in front of {name} is {type(metadata).__name__}; expected names with "
                "values (license: mit). Mend it there first."
            )
        return cls(metadata, tuple(_parts(body, name)))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is ours in the body."""
        return tuple(part for part in self.parts if isinstance(part, Block))

    @property
    def marked(self) -> tuple[str, ...]:
        """Configs that our marks name, each once, in order."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block.configs))

    @property
    def outside(self) -> str:
        """The body without what is ours."""
        return "".join(part for part in self.parts if isinstance(part, str)).strip()

    def named_configs(self, name: str) -> list[dict[str, Any]]:
        """Return ``configs`` of the metadata.

        Raises:
            HubError: they are not a list of mappings that each have a ``config_name``.
        """
        given = self.metadata.get("configs") or []
        if not isinstance(given, list) or not all(
            isinstance(one, dict) and isinstance(one.get("config_name"), str) for one in given
        ):
            raise HubError(
                f"'configs' in the YAML of {name} is {given!r:.200}; expected a list in which each "
                "has a config_name. Mend it there first."
            )
        return given

    def __str__(self) -> str:
        return metadata_text(self.metadata) + "".join(map(str, self.parts))


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """Return the YAML block of a card, with its two lines of dashes; empty for no metadata."""
    if not metadata:
        return ""
    written = yaml.dump(
        dict(metadata), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000
    )
    return f"---\n{written}---\n"


def _parts(body: str, name: str) -> list[str | Block]:
    """Split a body at our marks."""
    parts: list[str | Block] = []
    place, opened = 0, None
    for mark in _MARK.finditer(body):
        if (mark["end"] is None) != (opened is None):
            raise HubError(
                f"In {name} a mark {mark[0]!r} has no other half: what is ours stands between "
                "'<!-- hf-hardneg: CONFIG,CONFIG -->' and '<!-- /hf-hardneg -->'. Put the missing "
                "one back, or take the marks away, and do this again."
            )
        if opened is None:
            parts.append(body[place : mark.start()])
            opened = mark
        else:
            parts.append(
                Block(_configs(opened["configs"], name), body[opened.end() : mark.start()])
            )
            opened = None
        place = mark.end()
    if opened is not None:
        raise HubError(f"In {name} the mark {opened[0]!r} is not closed by '<!-- /hf-hardneg -->'.")
    parts.append(body[place:])
    return [part for part in parts if part != ""]


def _configs(text: str, name: str) -> tuple[str, ...]:
    names = tuple(one.strip() for one in text.split(","))
    if not all(_CONFIG.fullmatch(one) for one in names):
        raise HubError(
            f"In {name} our mark names {text.strip()!r}; expected names of configs with commas "
            "between, as in '<!-- hf-hardneg: n-tuple,ids -->'."
        )
    return names
