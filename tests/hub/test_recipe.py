"""Recipes: what is read, what is refused and where, and the way back to YAML."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.errors import RecipeError
from hf_hardneg.hub.recipe import load_recipe, read_overrides
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.source_names import Source

BASE = """\
version: 1
name: small
data:
  queries: BeIR/scifact:queries@main
  corpus: BeIR/scifact:corpus
  judgements: BeIR/scifact-qrels
  split: train
mining:
  strategy: bm25+denoised
  settings: {threshold: 0.2}
  seed: 7
outputs: [n-tuple, ids]
"""

Load = Callable[..., Recipe]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def call(
        text: str | bytes = BASE, overrides: dict[str, Any] | None = None, **more: Any
    ) -> Recipe:
        path = tmp_path / "r.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_recipe(path, overrides, **more)

    return call


def changed(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


def test_a_recipe_is_read(load: Load, tmp_path: Path) -> None:
    recipe = load()
    assert recipe.data.queries == Source("BeIR/scifact", "main", "queries")
    assert recipe.data.corpus == Source("BeIR/scifact", None, "corpus")
    assert (recipe.mining.seed, recipe.mining.num_negatives) == (7, 5)
    assert recipe.outputs == ("n-tuple", "ids")
    assert recipe.folder == tmp_path
    assert recipe.mining_call() == ("bm25+denoised", {"threshold": 0.2})


def test_the_numbers_of_a_preset_are_the_default(load: Load) -> None:
    text = changed("bm25+denoised\n  settings: {threshold: 0.2}", "lighton")
    mining = load(text).mining
    assert (mining.num_negatives, mining.underfilled) == (10, "drop")
    assert load(text, {"mining.num_negatives": 3}).mining.num_negatives == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("  seed: 7", "  sede: 7", 11, "unknown key 'sede' of mining. Did you mean 'seed'?"),
        ("name: small", "name: small\nnames: x", 3, "unknown key 'names'. Did you mean 'name'?"),
        (
            "  seed: 7",
            "  seed: 7\n  seed: 8",
            12,
            "stands twice, first at r.yaml, line 11",
        ),
        ("  seed: 7", "  seed: many", 11, "mining.seed is 'many'; expected a whole number"),
        ("  seed: 7", "  seed: true", 11, "mining.seed is true; expected a whole number"),
        ("  seed: 7", "  seed: '7'", 11, "at least 0, without quotes"),
        ("  seed: 7", "  seed: -1", 11, "expected a whole number of at least 0"),
        ("  seed: 7", "  seed: " + "9" * 30, 11, "expected a whole number"),
        ("  seed: 7", "  underfilled: dorp", 11, "Did you mean 'drop'?"),
        ("version: 1", "version: 2", 1, "reads version 1 alone"),
        ("name: small", "name: 12", 2, "put it in quotes"),
        ("name: small", "name: a/b", 2, "expected letters"),
        ("  seed: 7", "  seed: [7]", 11, "is a list; expected a whole number"),
        ("bm25+denoised", "bm25+denoisd", 9, "Did you mean 'denoised'?"),
        ("threshold: 0.2", "treshold: 0.2", 10, "no stage of this strategy has a parameter"),
        ("threshold: 0.2", "denoised.treshold: 0.2", 10, "Did you mean 'threshold'?"),
        ("threshold: 0.2", "margin.cut: 0.2", 10, "no stage 'margin' is in the strategy"),
        ("threshold: 0.2", "threshold: 2.5", 10, "threshold"),
        ("threshold: 0.2", "seed: 3", 10, "a key beside: mining.seed"),
        ("threshold: 0.2", "model: /models/x", 10, "is not relative to the recipe's folder"),
        ("threshold: 0.2", "model: ../x", 10, "has '..' in it"),
        ("threshold: 0.2", "model: 'http://u:pw@h/x'", 10, "a password in it"),
        ("bm25+denoised", "bm25+denoised(model='http://u:pw@h')", 9, "a password in it"),
        ("outputs:", 'publish: {tags: ["a\\u202eb"]}\noutputs:', 12, "text of one line"),
        ("bm25+denoised", "bm25+denoised(model='./x')", 9, "denoised.model: ./..."),
        ("[n-tuple, ids]", "\n  - n-tuple\n  - n-tupel", 14, "Did you mean 'n-tuple'?"),
        ("[n-tuple, ids]", "[ids, ids]", 12, "in the list twice"),
        ("[n-tuple, ids]", "ids", 12, "expected a list"),
        ("[n-tuple, ids]", "[]", 12, "missing or empty"),
        ("BeIR/scifact:corpus", "/data/corpus.jsonl", 5, "is not relative to the recipe's folder"),
        ("BeIR/scifact:corpus", "~/corpus.jsonl", 5, "is not relative"),
        ("BeIR/scifact:corpus", "C:\\\\corpus.jsonl", 5, "is not relative"),
        ("BeIR/scifact:corpus", "a/../../corpus.jsonl", 5, "has '..' in it"),
        ("BeIR/scifact:corpus", "{source: a/b@x, revision: y}", 5, "is given twice"),
        ("BeIR/scifact:corpus", "{source: c.jsonl, revision: y}", 5, "belongs to data on the Hub"),
        ("BeIR/scifact:corpus", "{sourc: a/b}", 5, "Did you mean 'source'?"),
        ("BeIR/scifact:corpus", "{config: x}", 5, "data.corpus.source is missing"),
        ("  corpus: BeIR/scifact:corpus\n", "", 3, "no corpus"),
        ("  split: train", "  builtin: stdlib-docstrings", 4, "stands beside builtin"),
        ("data:", "data: x", 4, "mapping values are not allowed"),
        (
            "outputs:",
            "evaluation: {false_negatives: [hiden]}\noutputs:",
            12,
            "Did you mean 'hidden'?",
        ),
        ("outputs:", "evaluation: {false_negatives: [judged]}\noutputs:", 12, "belong together"),
        ("outputs:", "evaluation: {compare: /x}\noutputs:", 12, "is not relative"),
        ("outputs:", "evaluation: {held_out: {split: x}}\noutputs:", 12, "queries is missing"),
        ("outputs:", "publish: {repository: alice}\noutputs:", 12, "expected owner/name"),
        ("outputs:", "publish: {language: [English]}\noutputs:", 12, "expected a code"),
        ("outputs:", "publish: {private: 'yes'}\noutputs:", 12, "expected true or false"),
        ("outputs:", 'publish: {tags: ["a\\nb"]}\noutputs:', 12, "text of one line"),
        ("outputs:", "environment: [HF_TOKEN]\noutputs:", 12, "nothing secret"),
        ("outputs:", "environment: [a-b]\noutputs:", 12, "name of a variable"),
        ("name: small", "name: ${NAME}", 2, "does not name under environment"),
        ("name: small", "name: !!python/object/apply:os.getcwd []", 2, "plain values"),
        ("name: small", "name: !!int x", 2, "plain values"),
        ("name: small", "? [a]\n: b", 2, "the key a list is no text"),
        ("name: small", "7: b", 2, "the key '7' is no text"),
        ("name: small", "name: &a [*a]", 2, "nested more than"),
        ("name: small", "name: small\n\x07", 3, "control character"),
        ("name: small", "name: [", 4, "no YAML"),
    ],
)
def test_what_is_refused_with_its_line(
    load: Load, old: str, new: str, line: int, said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(changed(old, new))
    assert str(caught.value).startswith(f"r.yaml, line {line}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["version", "name", "data", "mining", "outputs"])
def test_what_must_be_there(load: Load, key: str) -> None:
    values = yaml.safe_load(BASE)
    del values[key]
    with pytest.raises(RecipeError, match=rf"line 1: {key} is missing"):
        load(yaml.safe_dump(values))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "empty"),
        (b"- a\n- b\n", "line 1: this is no mapping"),
        (b"name: a\n\xff: 1", "line 2: not UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "line 1: not UTF-8"),
        (b"a:\n\tb: 1\n", "YAML is indented by spaces, not by tabs"),
        (b"a: 1\n---\nb: 2\n", "line 2: this is no YAML that a recipe can be"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested"),
        (b"a: '" + b"x" * 300_000 + b"'", "more than 262,144 bytes"),
    ],
)
def test_files_that_are_no_recipe(load: Load, text: bytes, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load(text)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off(load: Load) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(RecipeError, match=r"line \d+: .*aliases"):
        load("\n".join(lines))


def test_aliases_of_a_few_values_are_fine(load: Load) -> None:
    text = changed("[n-tuple, ids]", "[ids]\npublish: {language: &l [en, de], tags: *l}")
    assert load(text).publish.tags == ("en", "de")


def test_words_mean_what_they_say(load: Load) -> None:
    text = changed("threshold: 0.2", "threshold: 1e-3")
    text += "publish: {language: [no, en], tags: [on, '2024', 2024-01-01, '1e5', '-1E-3']}\n"
    recipe = load(text)
    assert recipe.mining.settings == {"threshold": 0.001}
    assert recipe.publish.language == ("no", "en")
    assert recipe.publish.tags == ("on", "2024", "2024-01-01", "1e5", "-1E-3")
    assert load(recipe.to_yaml()) == recipe


# -- settings ---------------------------------------------------------------------------------


def test_a_setting_goes_to_its_stage(load: Load) -> None:
    text = changed("threshold: 0.2", "denoised.model: org/model@rev, bm25.k1: 0.9")
    strategy, options = load(text).mining_call()
    assert strategy == "bm25+denoised"
    assert options == {"model": "org/model", "revision": "rev", "k1": 0.9}


def test_a_parameter_of_two_stages_is_written_into_the_strategy(load: Load) -> None:
    text = changed("bm25+denoised", "dense@50+denoised")
    text = text.replace("threshold: 0.2", "denoised.model: org/c@x, dense.model: org/d")
    strategy, options = load(text).mining_call()
    assert options == {}
    assert strategy == ("dense(top_k=50, model='org/d')+denoised(revision='x', model='org/c')")
    with pytest.raises(RecipeError, match=r"line 10: .*parameter of two stages"):
        load(changed("bm25+denoised", "dense+denoised").replace("threshold: 0.2", "model: org/c"))


def test_a_path_in_a_setting_starts_in_the_folder(load: Load, tmp_path: Path) -> None:
    recipe = load(changed("threshold: 0.2", "model: ./tiny"))
    with pytest.raises(RecipeError, match=r"line 10: mining.settings.model is './tiny', and there"):
        recipe.mining_call()
    (tmp_path / "tiny").mkdir()
    assert recipe.mining_call()[1] == {"model": str((tmp_path / "tiny").resolve())}


# -- what is set from outside -----------------------------------------------------------------


def test_overrides_are_laid_over(load: Load) -> None:
    pairs = ["mining.seed=3", "data.queries.revision=abc", "mining.settings.denoised.threshold=0.1",
             "outputs=[triplet]", "data.split=null"]  # fmt: skip
    recipe = load(changed("threshold: 0.2", "top_k: 50"), read_overrides(pairs))
    assert recipe.mining.seed == 3
    assert recipe.data.queries == Source("BeIR/scifact", "abc", "queries")
    assert recipe.mining.settings == {"top_k": 50, "denoised.threshold": 0.1}
    assert (recipe.outputs, recipe.data.split) == (("triplet",), None)


def test_another_source_does_not_keep_the_revision_of_the_old_one(load: Load) -> None:
    for other in ("other/set", {"source": "other/set"}):
        assert load(BASE, {"data.queries": other}).data.queries == Source("other/set")
    long = changed("BeIR/scifact:queries@main", "{source: BeIR/scifact, revision: main}")
    for other in ("other/set", {"source": "other/set"}):
        assert load(long, {"data.queries": other}).data.queries == Source("other/set")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"mining.sede": 3},
            "--set mining.sede: unknown key 'sede' of mining. Did you",
        ),
        ({"mining.seed": "x"}, "--set mining.seed: mining.seed is 'x'"),
        ({"mining.settings.treshold": 1}, "--set mining.settings.treshold: "),
        ({"mining..seed": 1}, "expected keys joined by dots"),
        ({"mining.settings.threshold": float("nan")}, "expected a finite number"),
        ({"name": object()}, "is a object"),
        ({"data.corpus": "/etc/passwd"}, "--set data.corpus: data.corpus is '/etc/passwd'"),
        ({"include": "x.yaml"}, "included by the recipe alone"),
    ],
)
def test_an_override_is_checked_like_the_rest(
    load: Load, overrides: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(BASE, overrides)
    assert said in str(caught.value)


@pytest.mark.parametrize("pair", ["mining.seed", "=3", "a=[", "a=!!python/name:os.system x"])
def test_what_is_no_override(pair: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        read_overrides([pair])
    with pytest.raises(RecipeError, match="given twice"):
        read_overrides(["a=1", "a=2"])


# -- includes, links, variables ---------------------------------------------------------------


def test_later_files_win(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "more.yaml").write_text("mining: {seed: 8, settings: {top_k: 30}}\n")
    recipe = load("include: [base.yaml, more.yaml]\nname: mine\nmining: {num_negatives: 2}\n")
    assert (recipe.name, recipe.mining.seed, recipe.mining.num_negatives) == ("mine", 8, 2)
    assert recipe.mining.settings == {"threshold": 0.2, "top_k": 30}
    (tmp_path / "base.yaml").write_text(changed("bm25+denoised", "denoisd"))
    with pytest.raises(RecipeError, match=r"base.yaml, line 9: .*denoisd"):
        load("include: base.yaml\n")


def test_a_circle_of_includes_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: x\ninclude: r.yaml\n")
    with pytest.raises(RecipeError, match=r"a.yaml, line 2: include goes in a circle: r.yaml -> a"):
        load("include: a.yaml\n")
    with pytest.raises(RecipeError, match=r"circle: r.yaml -> r.yaml"):
        load("include: r.yaml\n")


@pytest.mark.parametrize("name", ["/etc/hosts", "../x.yaml", "~/x.yaml", "non.yaml", "''", "[[a]]"])
def test_an_include_is_a_file_of_the_folder(load: Load, name: str, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("")
    with pytest.raises(RecipeError, match=r"r.yaml, line 2: include") as caught:
        load(f"name: x\ninclude: {name}\n")
    assert name != "non.yaml" or "Did you mean 'none.yaml'?" in str(caught.value)


def test_links_do_not_lead_out(load: Load, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "x.yaml").write_text(BASE)
    (outside / "c.jsonl").write_text('{"_id": "1", "text": "a"}\n')
    os.symlink(outside, tmp_path / "link")
    with pytest.raises(RecipeError, match="leads out of the recipe's folder"):
        load("include: link/x.yaml\n")
    with pytest.raises(RecipeError, match=r"line 5: data.corpus.* leads out"):
        load(changed("BeIR/scifact:corpus", "link/c.jsonl"))
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    with pytest.raises(RecipeError, match="leads out"):
        load("include: loop\n")


def test_a_name_that_is_a_path_too_is_asked_about(load: Load, tmp_path: Path) -> None:
    (tmp_path / "BeIR/scifact").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"Write \./BeIR/scifact"):
        load()
    local = load(BASE.replace("BeIR/scifact:corpus", "./BeIR/scifact").replace(
        "BeIR/scifact:queries@main", "./BeIR/scifact"))  # fmt: skip
    assert local.data.corpus == Source("./BeIR/scifact")
    assert local.data.corpus.is_local
    assert load(local.to_yaml()) == local


def test_variables_are_used_where_they_are_named(load: Load) -> None:
    text = changed("name: small", "name: ${WHO}-set\nenvironment: [WHO, PLACE]")
    text = text.replace("BeIR/scifact:corpus", "${PLACE}/docs:c@r")
    recipe = load(text, environment={"WHO": "me", "PLACE": "org"})
    assert recipe.name == "me-set"
    assert recipe.data.corpus == Source("org/docs", "r", "c")
    again = recipe.to_yaml()
    assert "${WHO}-set" in again
    assert "${PLACE}/docs:c@r" in again
    assert load(again, environment={"WHO": "me", "PLACE": "org"}) == recipe
    with pytest.raises(RecipeError, match=r"line 2: name uses \$\{WHO\}, which is not set"):
        load(text, environment={})
    with pytest.raises(RecipeError, match=r"line 6: data.corpus is '/etc/docs"):
        load(text, environment={"WHO": "me", "PLACE": "/etc"})


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "x.yaml")
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path)


# -- the way back -----------------------------------------------------------------------------

words = st.text("abz019._-", min_size=1, max_size=8).map(lambda text: f"a{text}")
odd = st.text(
    st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8
) | st.sampled_from(
    [
        "no",
        "1e5",
        "null",
        "~",
        "0x1",
        "1_0",
        "=",
        "<<",
        "- a",
        "a: b",
        "#x",
        "'",
        "1:30",
        "2024-01-01",
    ]
)
hub = st.builds(
    lambda a, b, c, r: f"{a}/{b}x" + (f":{c}" if c else "") + (f"@{r}" if r else ""),
    words, words, st.none() | words, st.none() | words,
)  # fmt: skip
source = hub | st.fixed_dictionaries(
    {"source": words.map(lambda name: f"{name}.jsonl")}, optional={"split": odd, "licence": odd}
)
recipes = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "name": words,
        "data": st.just({"builtin": "stdlib-docstrings"})
        | st.fixed_dictionaries(
            {"queries": source, "corpus": source},
            optional={
                "judgements": source,
                "split": odd,
                "columns": st.fixed_dictionaries(
                    {}, optional={"query": odd, "positive_ids": odd, "document_text": odd}
                ),
            },
        ),
        "mining": st.fixed_dictionaries(
            {"strategy": st.sampled_from(["bm25+denoised", "rocketqa", "bm25@50+denoised+margin"])},
            optional={
                "settings": st.fixed_dictionaries(
                    {}, optional={"threshold": st.floats(0, 0.9), "denoised.model": hub}
                ),
                "num_negatives": st.integers(1, 99),
                "seed": st.integers(0, 2**63 - 1),
                "underfilled": st.sampled_from(["keep", "drop", "error", "fill"]),
            },
        ),
        "outputs": st.lists(
            st.sampled_from(["n-tuple", "ids", "pool"]), min_size=1, max_size=3, unique=True
        ),
    },
    optional={
        "evaluation": st.just({})
        | st.fixed_dictionaries(
            {"false_negatives": st.just(["hidden", "judged"]), "judgements": source},
            optional={"held_out": st.fixed_dictionaries({"queries": source}), "compare": words},
        ),
        "publish": st.fixed_dictionaries(
            {},
            optional={
                "private": st.booleans(),
                "licence": odd,
                "language": st.lists(st.sampled_from(["no", "en", "pt-BR"]), unique=True),
                "pretty_name": odd,
                "tags": st.lists(odd, unique=True, max_size=3),
            },
        ),
    },
)


@given(recipes)
def test_a_recipe_comes_back_from_its_yaml(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "round-trip"
    folder.mkdir(exist_ok=True)
    path = folder / "r.yaml"
    # JSON is YAML, and quotes every text.
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    recipe = load_recipe(path)
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(path) == recipe
    # A reader of YAML 1.1 finds the same values.
    assert yaml.safe_load(recipe.to_yaml()) == recipe.to_dict()
