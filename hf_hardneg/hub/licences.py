"""Licences: the names that the Hub has for them, and which one a set of several sources has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from hf_hardneg.errors import listing
from hf_hardneg.hub.facts import SourceFact

__all__ = ["LICENCES", "UNKNOWN", "Family", "Inherited", "family_of", "inherited", "licence_of"]

UNKNOWN = "unknown"


class Family(IntEnum):
    """What a licence asks of whoever passes on what is made from the work, the strictest last.

    The order is that of what a reader may still do, not of what a court would say: public domain
    asks nothing; permissive ones ask that the author is named; share-alike ones that what is made
    stands under the same licence; those restricted in use forbid some uses, by a list; the next
    ones forbid commercial use, the next but one that and ask to share alike; those without
    derivatives forbid to pass on anything made from the work, which a mined set may be; and of
    unknown ones nothing can be said, so that nothing may be promised. Within a family the table
    has the stricter, or the later version, last.
    """

    public_domain = 0
    permissive = 1
    share_alike = 2
    restricted_use = 3
    non_commercial = 4
    non_commercial_share_alike = 5
    no_derivatives = 6
    unknown = 7


FAMILIES: dict[Family, str] = {
    Family.public_domain: "cc0-1.0 pddl unlicense wtfpl",
    Family.permissive: (
        "apache-2.0 mit afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause "
        "bsd-3-clause-clear c-uda cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cdla-permissive-1.0 "
        "cdla-permissive-2.0 ecl-2.0 etalab-2.0 isc lppl-1.3c odc-by openmdw-1.0 postgresql "
        "ofl-1.1 ncsa zlib"
    ),
    Family.share_alike: (
        "cc-by-sa-3.0 cc-by-sa-4.0 cdla-sharing-1.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 agpl-3.0 "
        "gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr ms-pl mpl-2.0 odbl osl-3.0"
    ),
    Family.restricted_use: (
        "openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 "
        "bigcode-openrail-m openrail++ llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma "
        "grok2-community apple-ascl"
    ),
    Family.non_commercial: (
        "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 deepfloyd-if-license intel-research h-research "
        "apple-amlr fair-noncommercial-research-license"
    ),
    Family.non_commercial_share_alike: "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0",
    Family.no_derivatives: "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0",
    Family.unknown: f"cc {UNKNOWN} other",
}
"""The identifiers of https://huggingface.co/docs/hub/repositories-licenses by what they ask.

``cc`` is the name of a whole family of licences and says nothing; nor does ``other``.
"""

_FAMILY = {name: family for family, names in FAMILIES.items() for name in names.split()}
LICENCES = frozenset(_FAMILY)
"""Every identifier that a card's ``license`` may have."""

LATER = re.compile(r"(cc-by-(?:nc-)?sa)-(\d\.\d)")
"""Share-alike licences that allow works from them to stand under a later version of themselves
(Creative Commons BY-SA 3.0 and BY-NC-SA 3.0, section 4(b))."""
ALIKE = (Family.share_alike, Family.non_commercial_share_alike)


@dataclass(frozen=True, slots=True)
class Inherited:
    """Which licence a set has, and why.

    Attributes:
        licence: ``None`` where none can be stated.
        why: in a sentence.
    """

    licence: str | None
    why: str


def family_of(licence: str | None) -> Family:
    """Return what a licence asks; of one that the Hub has no name for nothing is known."""
    return _FAMILY.get(licence or UNKNOWN, Family.unknown)


def licence_of(sources: Sequence[SourceFact], asked: str | None = None) -> str | None:
    """Return the licence of a set: the strictest of its sources' and the one that is asked for.

    Models are no sources of its texts: what they score is not made from them.

    Args:
        sources: what it is made from.
        asked: what its publisher wants it to have; it is taken where it is not less strict.

    Returns:
        A name; ``unknown`` where the licence of a source is not known; ``None`` where there is
        nothing to go by, or where the licences exclude each other.
    """
    return inherited(sources, asked).licence


def inherited(sources: Sequence[SourceFact], asked: str | None = None) -> Inherited:
    """Return the licence of a set with the reason, see :func:`licence_of`."""
    texts = [one for one in sources if one.role != "model"]
    given = [(one.name, (one.licence or UNKNOWN).strip().lower()) for one in texts]
    names = sorted(
        {licence for _, licence in given} | ({asked.strip().lower()} if asked else set())
    )
    if not names:
        return Inherited(None, "No source is named whose licence it could have.")
    if UNKNOWN in names:
        whose = sorted({name for name, licence in given if licence == UNKNOWN})
        of = f" of {listing(whose)}" if whose else ""
        return Inherited(UNKNOWN, f"The licence{of} is not known, so that of the set is not.")
    strictest = max(names, key=lambda name: (family_of(name), _place(name), name))
    against = [one for one in names if _exclude(strictest, one)]
    if against:
        return Inherited(None, _conflict(strictest, against))
    if not texts:
        return Inherited(
            strictest, "Its publisher states it; those of its sources are not recorded."
        )
    if len(names) == 1:
        return Inherited(strictest, "All that it is made from has this licence.")
    others = listing(name for name in names if name != strictest)
    return Inherited(strictest, f"The strictest of what it is made from; beside it: {others}.")


def _place(name: str) -> int:
    """Return where a licence stands within its family: later ones ask as much or more."""
    names = FAMILIES[family_of(name)].split()
    return names.index(name) if name in names else len(names)


def _exclude(strictest: str, other: str) -> bool:
    """Return whether nothing can be made from both, as far as their families tell."""
    if strictest == other:
        return False
    family = family_of(other)
    if family in ALIKE:
        one, two = LATER.fullmatch(strictest), LATER.fullmatch(other)
        return not (one and two and one[1] == two[1])
    # Terms of their own, each in its own words: that of two of them one holds is not known.
    own = family in (Family.restricted_use, Family.unknown)
    return own or (family == Family.non_commercial and not other.startswith("cc-"))


def _conflict(strictest: str, against: Sequence[str]) -> str:
    names = listing([strictest, *against])
    return (
        f"The licences {names} ask different things of what is made from the works, and none of "
        "them allows what another one asks. Which holds is not for this card to guess: ask the "
        "owners of the sources."
    )
