"""Two cards into one: nothing of theirs is lost, nothing of ours is twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from publications import card

from hf_hardneg.errors import HubError
from hf_hardneg.hub.card_merging import place_card, sidecar_home
from hf_hardneg.hub.push import merge_cards

FOREIGN = """---
license: cc-by-4.0
language:
- no
pretty_name: Theirs
tags: [old, both]
released: 2020-01-02
configs:
- config_name: raw
  data_files: raw/*.csv
  default: true
---

# Theirs

A table:

| a | b |
| - | - |
"""


def metadata(text: str) -> dict[str, Any]:
    values = yaml.load(text.split("---\n")[1], yaml.BaseLoader)
    assert isinstance(values, dict)
    return values


def names(text: str) -> list[str]:
    return [one["config_name"] for one in metadata(text)["configs"]]


def body(text: str) -> str:
    return text.split("---\n", 2)[2]


def test_beside_a_foreign_card() -> None:
    ours = card(["ids"], tags=["both", "new"]).replace("license: mit", "license: mit\nx: 1")
    merged = merge_cards(FOREIGN, ours)
    assert metadata(merged) == {
        "license": ["cc-by-4.0", "mit"],
        "language": ["no"],
        "pretty_name": "Theirs",
        "tags": ["old", "both", "new"],
        "released": "2020-01-02",
        "configs": [
            {"config_name": "raw", "data_files": "raw/*.csv", "default": "true"},
            {"config_name": "ids",
             "data_files": [{"split": "train", "path": "data/ids/*.parquet"}]},
        ],
        "x": "1",
    }  # fmt: skip
    assert body(merged) == body(FOREIGN) + "\n" + body(ours)
    assert "language:\n- 'no'\n" in merged or "language:\n- no\n" in merged
    assert merge_cards(merged, ours) == merged


def test_our_part_is_replaced_where_it_stands() -> None:
    first = merge_cards(FOREIGN, card(["ids"], body="first"))
    around = first + "\nWritten below by hand.\n"
    again = merge_cards(around, card(["ids"], body="second"))
    assert body(again) == body(around).replace("first", "second")


def test_a_card_with_nothing_beside_is_replaced() -> None:
    old, new = card(["n-tuple", "ids"], tags=["old"]), card(["ids", "n-tuple"], licence="cc-by-4.0")
    assert merge_cards(old, new) == new
    assert merge_cards(card(["ids"]), new) == new
    assert merge_cards("", new) != ""


def test_a_config_published_anew_without_the_other() -> None:
    old = card(["n-tuple", "ids"], body="Of both.")
    merged = merge_cards(old, card(["ids"], body="Of ids."))
    assert names(merged) == ["n-tuple", "ids"]
    assert body(merged) == (
        "<!-- hf-hardneg: n-tuple -->\nOf both.\n\n"
        "_Published anew since then, with a part of its own in this card: `ids`._\n"
        "<!-- /hf-hardneg -->\n\n"
        "<!-- hf-hardneg: ids -->\nOf ids.\n<!-- /hf-hardneg -->\n"
    )
    both = card(["n-tuple", "ids"], body="Of both anew.")
    assert merge_cards(merged, both) == both


def test_one_default() -> None:
    ours = card(["ids", "corpus"]).replace("ids\n  data", "ids\n  default: true\n  data")
    merged = merge_cards(FOREIGN, ours)
    assert [one.get("default") for one in metadata(merged)["configs"]] == ["true", None, None]
    alone = merge_cards(FOREIGN.replace("  default: true\n", ""), ours)
    assert [one.get("default") for one in metadata(alone)["configs"]] == [None, "true", None]


def test_dataset_info() -> None:
    def told(text: str, info: str) -> str:
        return text.replace("---\n", f"---\ndataset_info:\n{info}", 1)

    theirs = told(FOREIGN, "  features: []\n  size: 1\n")
    ours = told(card(["ids"]), "- config_name: ids\n  size: 2\n")
    assert metadata(merge_cards(theirs, ours))["dataset_info"] == [
        {"config_name": "default", "features": [], "size": "1"},
        {"config_name": "ids", "size": "2"},
    ]


def test_a_card_without_metadata_and_one_with_other_line_ends() -> None:
    assert merge_cards("# Theirs\n", card(["ids"])) == card(["ids"]).replace(
        "---\n<!--", "---\n# Theirs\n\n<!--"
    )
    windows = FOREIGN.replace("\n", "\r\n")
    assert "# Theirs\r\n\r\nA table:\r\n" in merge_cards("\ufeff" + windows, card(["ids"]))


def test_ours_without_a_mark() -> None:
    with pytest.raises(HubError, match="has 0 parts between marks"):
        merge_cards(FOREIGN, FOREIGN)


CONFIGS = ["n-tuple", "ids", "corpus", "triplet"]
SETS = st.lists(st.sampled_from(CONFIGS), min_size=1, max_size=3, unique=True)


@given(pushes=st.lists(SETS, min_size=1, max_size=5), foreign=st.booleans())
def test_whatever_is_pushed_in_whatever_order(
    pushes: Sequence[Sequence[str]], foreign: bool
) -> None:
    """All configs stand once in the YAML and once in the marks; merging again changes nothing."""
    text = FOREIGN if foreign else ""
    for number, configs in enumerate(pushes):
        ours = card(configs, body=f"Push {number}.")
        text = merge_cards(text, ours)
        assert merge_cards(text, ours) == text
    pushed = {name for configs in pushes for name in configs}
    assert sorted(names(text)) == sorted(pushed | ({"raw"} if foreign else set()))
    marks = [line for line in text.splitlines() if line.startswith("<!-- hf-hardneg:")]
    marked = [name for mark in marks for name in mark.split()[2].split(",")]
    assert sorted(marked) == sorted(pushed)
    assert ("# Theirs" in text) is foreign
    assert f"Push {len(pushes) - 1}." in text


def test_the_order_of_pushes_does_not_matter_for_what_is_named() -> None:
    for order in itertools.permutations(CONFIGS):
        text = ""
        for config in order:
            text = merge_cards(text, card([config]))
        assert sorted(names(text)) == sorted(CONFIGS)


def test_publications_beside_each_other_have_folders_of_their_own() -> None:
    sidecars = ["hardneg/recipe.yaml", "hardneg/recipe.yaml.md", "hardneg/plots/a.png"]
    told = "[r](hardneg/recipe.yaml), ![](hardneg/plots/a.png), my-hardneg/recipe.yaml"
    first, second = card(["ids"], body=told), card(["n-tuple", "ids"], body=told)
    third = card(["corpus"], body=told)
    assert sidecar_home(None, first) == sidecar_home(FOREIGN, first) == "hardneg/"
    assert sidecar_home(first, card(["ids"])) == "hardneg/"
    home = sidecar_home(first, third)
    assert home == "hardneg/corpus/"
    placed = place_card(third, home, sidecars)
    assert "[r](hardneg/corpus/recipe.yaml), ![](hardneg/corpus/plots/a.png), my-hard" in placed
    merged = merge_cards(first, placed)
    assert sidecar_home(merged, third) == "hardneg/corpus/"
    assert sidecar_home(merged, first) == "hardneg/"
    assert sidecar_home(merged, second) == "hardneg/"
    both = merge_cards(second, place_card(first, sidecar_home(second, first), sidecars))
    assert sidecar_home(both, first) == "hardneg/ids/"
    assert sidecar_home(both, card(["n-tuple"])) == "hardneg/"


def test_where_all_configs_are_ours_what_ours_says_goes() -> None:
    """A licence or a size that was taken back must not stay beside the new one."""
    theirs = "---\nannotations: mine\ntags: [own]\nlicense: other\nlicense_name: x\n---\n# Mine\n"
    sized = "license: mit\nsize_categories: [n<1K]"
    first = merge_cards(theirs, card(["ids"], tags=["new"]).replace("license: mit", sized))
    told = metadata(first)
    assert (told["annotations"], told["license"], told["tags"]) == ("mine", "mit", ["own", "new"])
    assert "license_name" not in told
    anew = card(["ids"], licence="cc-by-4.0")
    again = merge_cards(first, anew.replace("configs:", "size_categories: [1K<n<10K]\nconfigs:"))
    assert metadata(again)["license"] == "cc-by-4.0"
    assert metadata(again)["size_categories"] == ["1K<n<10K"]
    assert "# Mine\n" in again


def test_instead_of_an_earlier_card_of_the_same_set() -> None:
    """On this machine one folder holds one set: its old configs are gone, those of others stay."""
    first = merge_cards(FOREIGN, card(["columns", "ids"], body="first"), instead=True)
    again = merge_cards(first + "\nMore of mine.\n", card(["triplet"], body="2nd"), instead=True)
    assert names(again) == ["raw", "triplet"]
    assert body(again) == (
        body(FOREIGN) + "\n<!-- hf-hardneg: triplet -->\n2nd\n<!-- /hf-hardneg -->\n"
        "\nMore of mine.\n"
    )
    assert merge_cards(again, card(["triplet"], body="2nd"), instead=True) == again
    assert names(merge_cards(first, card(["triplet"]))) == ["raw", "columns", "ids", "triplet"]


def test_a_key_that_stands_twice_is_not_lost_in_silence() -> None:
    with pytest.raises(HubError, match=r"YAML in front of my\.md .* 'license' stands twice"):
        merge_cards("---\nlicense: mit\nlicense: gpl\n---\n", card(["ids"]), name="my.md")
