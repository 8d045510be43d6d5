"""Several strategies in one string."""

from __future__ import annotations

import pytest

from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.evaluation.strategy_list import strategy_list, with_settings, written_out
from hf_hardneg.presets import PRESETS
from hf_hardneg.strategy import parse


def test_they_are_split_at_semicolons() -> None:
    text = "random; bm25@50 ;\ndense+margin(relative=0.05); bm25,dense+denoised;"
    expected = ["random", "bm25@50", "dense+margin(relative=0.05)", "bm25,dense+denoised"]
    assert strategy_list(text) == expected
    assert strategy_list(expected) == expected


def test_a_semicolon_in_quotes_or_brackets_separates_nothing() -> None:
    text = "dense(query_prompt='a; b'); dense(query_prompt=\"it's; so\")+margin"
    assert strategy_list(text) == [
        "dense(query_prompt='a; b')",
        'dense(query_prompt="it\'s; so")+margin',
    ]


@pytest.mark.parametrize("text", ["", " ; ;", []])
def test_none_is_refused(text: str | list[str]) -> None:
    with pytest.raises(StrategyError, match="expected one or more"):
        strategy_list(text)


def test_one_that_stands_twice_is_refused() -> None:
    with pytest.raises(StrategyError, match="'bm25' stands twice"):
        strategy_list("bm25; random; bm25")


def test_the_fault_is_said_with_its_strategy() -> None:
    with pytest.raises(StrategyError, match="strategy 'bm52': unknown stage 'bm52'"):
        strategy_list("random; bm52")
    with pytest.raises(ParameterError, match=r"strategy 'bm25\+margin\(relativ=1\)'"):
        strategy_list("random; bm25+margin(relativ=1)")


@pytest.mark.parametrize("name", PRESETS)
def test_a_strategy_written_out_is_the_same(name: str) -> None:
    parsed = parse(PRESETS[name].strategy)
    assert parse(written_out(parsed)) == parsed


def test_a_setting_reaches_every_stage_of_its_name() -> None:
    found = with_settings(
        ["random", "nv-retriever", "bm25,dense+denoised", "dense(model='own')"],
        {"dense.model": "small", "denoised.model": "judge", "relative": 0.1},
    )
    assert found == [
        "random",
        "dense(model='small')+margin(relative=0.05)",
        "bm25,dense(model='small')+denoised(model='judge')",
        "dense(model='own')",
    ]


def test_an_alias_is_the_stage_it_stands_for() -> None:
    [found] = with_settings(["bm25+rocketqa"], {"denoised.threshold": 0.5})
    assert parse(found).stages[0].arguments == {"threshold": 0.5}


def test_without_settings_the_strategies_stay_as_they_are() -> None:
    assert with_settings(["nv-retriever", "bm25 + margin"], {}) == ["nv-retriever", "bm25 + margin"]


def test_a_setting_of_two_stages_has_to_name_one() -> None:
    with pytest.raises(ParameterError) as refused:
        with_settings(["random", "dense+denoised"], {"model": "small"})
    said = str(refused.value)
    assert "'model' is a parameter of several stages of 'dense+denoised': dense, denoised." in said
    assert "set each: dense.model=... and denoised.model=..." in said
    each = {"dense.model": "small", "denoised.model": "judge"}  # what it says does it
    assert with_settings(["dense+denoised"], each) == [
        "dense(model='small')+denoised(model='judge')"
    ]


def test_a_setting_that_nobody_has_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"dense\.modl.*Did you mean 'dense\.model'"):
        with_settings(["random", "dense"], {"dense.modl": "small"})
    with pytest.raises(ParameterError, match="no strategy has a stage with the parameter"):
        with_settings(["random", "bm25"], {"dense.model": "small"})
