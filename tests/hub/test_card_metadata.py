"""The metadata of a card: what the Hub takes and what it refuses."""

from __future__ import annotations

import pytest

from hf_hardneg.errors import FormatError
from hf_hardneg.hub.card_parts import metadata_text
from hf_hardneg.hub.metadata import check_card, size_of, split_card


def card(metadata: str) -> str:
    return f"---\n{metadata}\n---\n# A set\n"


@pytest.mark.parametrize(
    "metadata",
    [
        "license: cc-by-sa-4.0",
        "license: other\nlicense_name: psf-2.0",
        "license: unknown\nlanguage:\n- en\n- 'no'\n- zh-Hant",
        "size_categories:\n- n<1K\ntags: [a, b]\npretty_name: A set",
        "configs:\n- config_name: ids\n  data_files: data/ids/*.parquet\n  default: true",
        "configs:\n- config_name: a\n  data_files:\n  - split: train\n    path: [x.csv, y.csv]",
        "",
    ],
)
def test_taken(metadata: str) -> None:
    assert check_card(card(metadata)) == []


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ("license: cc-by-sa-40", "Did you mean 'cc-by-sa-4.0'"),
        ("license: 4", "license"),
        ("language: english", "language"),
        ("language: no", "quote"),
        ("language: [EN]", "language"),
        ("size_categories: [10K]", "n<1K"),
        ("pretty_name: 7", "pretty_name"),
        ("pretty_name: [a]", "pretty_name"),
        ("tags: [a, 1]", "tags"),
        ("task_categories: [true]", "task_categories"),
        ("configs: train", "list"),
        ("configs:\n- data_files: a", "config_name"),
        ("configs:\n- config_name: a/b", "config_name"),
        ("configs:\n- config_name: a\n- config_name: a", "twice"),
        (
            "configs:\n- {config_name: a, default: true}\n- {config_name: b, default: true}",
            "default",
        ),
        ("configs:\n- config_name: a\n  data_files: /etc/passwd", "outside"),
        ("configs:\n- config_name: a\n  data_files: a/../../b", "outside"),
        ("configs:\n- config_name: a\n  data_files:\n  - path: x", "split"),
        ("configs:\n- config_name: a\n  data_files:\n  - split: train", "path"),
        ("license: mit\nlicense: mit", "twice"),
        ("tags: [a", "YAML"),
        ("- a", "list"),
    ],
)
def test_refused(metadata: str, word: str) -> None:
    problems = check_card(card(metadata))
    assert len(problems) == 1
    assert word in problems[0]


def test_a_card_without_metadata_is_refused() -> None:
    assert len(check_card("# A set\n")) == 1


@pytest.mark.parametrize(
    ("rows", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12, "n>1T")],
)
def test_sizes(rows: int, size: str) -> None:
    assert size_of(rows) == size


def test_metadata_comes_back_as_it_was() -> None:
    values = {"language": ["no", "en"], "pretty_name": "a\n---\nlicense: mit", "tags": ["yes", "1"]}
    read, body = split_card(metadata_text(values) + "# a\n")
    assert (read, body) == (values, "# a\n")


def test_a_key_that_stands_twice_is_an_error() -> None:
    with pytest.raises(FormatError, match="'a' stands twice"):
        split_card("---\na: 1\na: 2\n---\n")
