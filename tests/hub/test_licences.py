"""Which licence a set inherits."""

from __future__ import annotations

import itertools

import pytest

from hf_hardneg.hub.facts import SourceFact
from hf_hardneg.hub.licences import FAMILIES, LICENCES, Family, family_of, inherited, licence_of


def sources(*licences: str | None) -> list[SourceFact]:
    return [SourceFact("corpus", f"s{place}", None, one) for place, one in enumerate(licences)]


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (("cc-by-4.0", "cc-by-sa-4.0"), "cc-by-sa-4.0"),
        (("mit", "cc0-1.0"), "mit"),
        (("cc-by-nc-4.0", "cc-by-4.0"), "cc-by-nc-4.0"),
        (("cc-by-sa-3.0", "cc-by-sa-4.0"), "cc-by-sa-4.0"),
        (("cc-by-nc-3.0", "cc-by-nc-4.0"), "cc-by-nc-4.0"),
        (("cc-by-nd-4.0", "cc-by-nc-nd-4.0"), "cc-by-nc-nd-4.0"),
        (("cc-by-nc-sa-4.0", "cc-by-nc-4.0"), "cc-by-nc-sa-4.0"),
        (("psf-2.0", "mit"), "psf-2.0"),
        (("mit", None), "unknown"),
        (("cc-by-sa-4.0", "gfdl"), None),
        (("cc-by-sa-4.0", "cc-by-nc-4.0"), None),
        (("cc-by-sa-4.0", "cc-by-nc-sa-4.0"), None),
        (("llama3", "gemma"), None),
        (("psf-2.0", "my-own"), None),
        ((), None),
    ],
)
def test_the_stricter_wins(licences: tuple[str | None, ...], expected: str | None) -> None:
    for order in itertools.permutations(licences):
        assert licence_of(sources(*order)) == expected


def test_what_is_asked_for_cannot_be_looser() -> None:
    assert licence_of(sources("cc-by-sa-4.0"), "mit") == "cc-by-sa-4.0"
    assert licence_of(sources("mit"), "cc-by-nc-4.0") == "cc-by-nc-4.0"
    assert licence_of(sources(None), "mit") == "unknown"
    assert licence_of((), "MIT") == "mit"


def test_the_reason_names_what_excludes_what() -> None:
    found = inherited(sources("gfdl", "cc-by-sa-4.0"))
    assert "gfdl" in found.why
    assert "cc-by-sa-4.0" in found.why
    assert "s1" in inherited(sources("mit", None)).why


def test_models_are_no_sources_of_texts() -> None:
    model = SourceFact("model", "org/model", None, "cc-by-nc-4.0")
    assert licence_of([*sources("mit"), model]) == "mit"


def test_no_licence_is_in_two_families() -> None:
    assert sum(len(names.split()) for names in FAMILIES.values()) == len(LICENCES)
    assert family_of("whatever") == Family.unknown


def test_two_parts_of_one_source_may_differ() -> None:
    parts = [SourceFact(role, "org/set", None, one) for role, one in
             (("queries", "cc-by-sa-4.0"), ("corpus", "mit"))]  # fmt: skip
    assert licence_of(parts) == licence_of(parts[::-1]) == "cc-by-sa-4.0"
    assert "mit" in inherited(parts).why
