"""Two cards into one: ours beside, or instead of, the one that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_hardneg.errors import HubError
from hf_hardneg.hub.card_parts import ROOT, Block, Card

__all__ = ["merge_cards", "place_card", "sidecar_home"]

THEIRS = "the card in the repository"
OURS = "the card to publish"
NAMES = ("license_name", "license_link")
"""Metadata that says what ``license: other`` is."""
DATA = ("configs", "dataset_info")
LISTS = (
    "annotations_creators", "language", "language_creators", "license", "multilinguality",
    "size_categories", "source_datasets", "tags", "task_categories", "task_ids",
)  # fmt: skip
"""Metadata that may be one value or a list."""


def merge_cards(existing: str, ours: str, *, name: str = THEIRS, instead: bool = False) -> str:
    """Return one card for the configs of both; merging ours in again changes nothing.

    A card that holds nothing beside what we publish now is replaced. Otherwise:

    - metadata: configs and ``dataset_info`` of ours replace those of the same name, others stay.
      Where there are others, the rest tells of both: what may be a list (licence, language, tags,
      task categories, ...) is united; any other key stays as it was, and is added where it was
      missing; there is one default config: theirs. Where there are none, what ours says goes,
      tags are united, and keys that ours does not have stay.
    - body: what does not stand between our marks stays to the letter. A block of ours that tells
      of nothing but the configs published now is replaced, else ours is put at the end. A block
      that tells of some of them and of others stays, without their names in its mark and with a
      line that says which were published anew.

    Args:
        existing: the card that is there.
        ours: the card to put there, with a block between our marks.
        name: what errors call the card that is there.
        instead: the one block of ours that is there is an earlier one of the same set, whatever
            configs it names; these go with it. Several blocks are told apart by their configs.

    Raises:
        HubError: ours has no mark, or theirs cannot be read: broken YAML, ``configs`` that are no
            list of configs, half a mark.
    """
    theirs, mine = Card.read(existing, name), Card.read(ours, OURS)
    own = _own(mine) | (set(theirs.marked) if instead and len(theirs.blocks) == 1 else set())
    others = [one for one in theirs.named_configs(name) if one["config_name"] not in own]
    if _nothing_beside(theirs, mine, own, others):
        return ours
    alone = not others and set(theirs.marked) <= own
    metadata = _described(theirs, mine, alone=alone) | _data(theirs, mine, own, name)
    return str(Card(metadata, tuple(_body(theirs, mine, own))))


def sidecar_home(existing: str | None, ours: str) -> str:
    """Return the folder for our recipe, report and plots: ``hardneg/``, if nobody lives there.

    Publications beside each other in one repository each have their own recipe and report. One
    that is there already keeps its folder; one that comes later gets ``hardneg/CONFIG/``.
    """
    own = _own(Card.read(ours, OURS))
    blocks = Card.read(existing, THEIRS).blocks if existing is not None else ()
    taken = {block.home for block in blocks if not set(block.configs) <= own}
    kept = [block.home for block in blocks if set(block.configs) <= own]
    first = Card.read(ours, OURS).marked[0]
    numbered = [f"{ROOT}{first}-{number}/" for number in range(2, len(taken) + 3)]
    wanted = [*sorted(kept, key=lambda home: home != ROOT), ROOT, f"{ROOT}{first}/", *numbered]
    return next(home for home in wanted if home not in taken)


def place_card(ours: str, home: str, sidecars: Sequence[str]) -> str:
    """Return our card for sidecars in ``home``: paths in its blocks lead there."""
    if home == ROOT:
        return ours
    card = Card.read(ours, OURS)
    parts = [part.at(home, sidecars) if isinstance(part, Block) else part for part in card.parts]
    return str(Card(card.metadata, tuple(parts)))


def _own(mine: Card) -> set[str]:
    if len(mine.blocks) != 1:
        raise HubError(
            f"{OURS[0].upper()}{OURS[1:]} has {len(mine.blocks)} parts between marks of ours; "
            "expected one, with '<!-- hf-hardneg: CONFIG,CONFIG -->' before it and "
            "'<!-- /hf-hardneg -->' behind. Write the card anew with hf-hardneg card."
        )
    return set(mine.marked)


def _nothing_beside(
    theirs: Card, mine: Card, own: set[str], others: Sequence[Mapping[str, Any]]
) -> bool:
    """Return whether a card has nothing that is not put there anew now."""
    outside = theirs.outside in ("", mine.outside)
    return bool(theirs.blocks) and not others and set(theirs.marked) <= own and outside


def _described(theirs: Card, mine: Card, *, alone: bool) -> dict[str, Any]:
    """Return the metadata but for what tells of data files; ``alone``: all configs are ours."""
    ours = {key: value for key, value in mine.metadata.items() if key not in DATA}
    merged = {key: value for key, value in theirs.metadata.items() if key not in DATA}
    if alone and "license" in ours:  # the name of another licence is none of this one
        merged = {key: value for key, value in merged.items() if key not in NAMES}
    for key, value in ours.items():
        if key == "tags" or (key in LISTS and not alone):
            merged[key] = _united(merged.get(key), value)
        elif alone or key not in merged:
            merged[key] = value
    return merged


def _data(theirs: Card, mine: Card, own: set[str], name: str) -> dict[str, Any]:
    """Return configs and ``dataset_info`` of both; what is ``own`` is as ours has it, or gone."""
    ours = mine.named_configs(OURS)
    named = {one["config_name"] for one in ours}
    kept = [one for one in theirs.named_configs(name) if one["config_name"] not in own - named]
    configs = _one_default(_by_name(kept, ours), named)
    told = [one for one in _infos(theirs.metadata) if one["config_name"] not in own - named]
    values = {"configs": configs, "dataset_info": _by_name(told, _infos(mine.metadata))}
    return {key: value for key, value in values.items() if value}


def _united(theirs: Any, ours: Any) -> Any:  # noqa: ANN401
    """Return the values of both, theirs first; a single one stays single."""
    values: list[Any] = []
    for given in (theirs, ours):
        listed = given if isinstance(given, list) else [given]
        values += [one for one in listed if one is not None and one not in values]
    return values if isinstance(theirs, list) or isinstance(ours, list) or len(values) > 1 else (
        values[0] if values else None
    )  # fmt: skip


def _infos(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return ``dataset_info`` as a list: a single one needs no name, and then means "default"."""
    given = metadata.get("dataset_info") or []
    listed = given if isinstance(given, list) else [{"config_name": "default", **given}]
    return [one if "config_name" in one else {"config_name": "default", **one} for one in listed]


def _by_name(
    theirs: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    merged = {one["config_name"]: one for one in theirs}
    return list((merged | {one["config_name"]: one for one in ours}).values())


def _one_default(configs: list[dict[str, Any]], own: set[str]) -> list[dict[str, Any]]:
    """Return the configs with one default at most: theirs goes before ours."""
    defaults = [one["config_name"] for one in configs if one.get("default") is True]
    kept = next((name for name in defaults if name not in own), defaults[0] if defaults else None)
    return [
        {key: value for key, value in one.items() if key != "default" or one["config_name"] == kept}
        for one in configs
    ]


def _body(theirs: Card, mine: Card, own: set[str]) -> list[str | Block]:
    """Return the body: their text, and our block in the place of the first that it replaces."""
    parts: list[str | Block] = []
    placed = False
    for part in theirs.parts:
        if isinstance(part, str):
            parts.append(part)
        elif set(part.configs) <= own:
            parts += [] if placed else mine.blocks
            placed = True
        else:
            parts.append(_narrowed(part, own))
    if not placed:
        parts += [_gap(parts), *mine.blocks, "\n"]
    return parts


def _gap(parts: Sequence[str | Block]) -> str:
    """Return what makes an empty line behind the parts."""
    before = "".join(map(str, parts[-2:]))
    return (
        "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    )


def _narrowed(block: Block, own: set[str]) -> Block:
    """Return a block that tells of others too, with a line on those that are published anew."""
    anew = [name for name in block.configs if name in own]
    if not anew:
        return block
    names = ", ".join(f"`{name}`" for name in anew)
    note = f"\n_Published anew since then, with a part of its own in this card: {names}._\n"
    rest = tuple(name for name in block.configs if name not in own)
    return Block(rest, block.text + note)
