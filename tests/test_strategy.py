"""The strategy string: what it means, that it comes back, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import (
    BM25Retriever,
    Corpus,
    CrossEncoderDenoiser,
    DenseRetriever,
    HybridRetriever,
    MarginFilter,
    MultiVectorRetriever,
    RandomRetriever,
    RandomSampler,
    RankFilter,
    RunRetriever,
    ScoreFilter,
    TopSampler,
)
from hf_hardneg.errors import HardNegError, ParameterError, StrategyError
from hf_hardneg.retrievers import JoinedRetriever, Retriever
from hf_hardneg.strategy import PRESETS, Strategy, assemble, build, check, parse

DOCUMENTS = ["red car", "blue boat", "green train"]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("strategy")
    return {"corpus": Corpus(DOCUMENTS, cache_dir=folder), "cache_dir": folder, "seed": 3}


def made(text: str, context: dict[str, Any], **options: Any) -> Strategy:
    check(text, options)
    return build(text, context, options)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("bm25", "bm25@100"),
        (" bm25 @ 200 ", "bm25@200"),
        ("bm25(top_k=7, k1=0.9)", "bm25@7(k1=0.9)"),
        ("bm25 ( k1 = 1.5 )", "bm25@100"),
        ("random", "random@100(seed=3)"),
        ("random@5(seed=0)", "random@5(seed=0)"),
        ("bm25+random", "bm25@100+random"),
        ("random+random", "random@100(seed=3)+random"),
        ("random+rank(range_min=3)+top", "random@100(seed=3)+rank(range_min=3)"),
        ("margin", "bm25@100+margin"),
        ("top", "bm25@100"),
        ("denoised", "bm25@100+denoised"),
        ("margin + denoised", "bm25@100+margin+denoised"),
        ("bm25@5+random+denoised+rank(range_max=9)+margin(margin=1)",
         "bm25@5+rank(range_max=9)+margin(margin=1.0)+denoised+random"),
        ("margin(margin=1)+margin(relative=0.1)",
         "bm25@100+margin(margin=1.0)+margin(relative=0.1)"),
        ("bm25(stopwords=['a', \"it's\"], stemmer=None)",
         "bm25@100(stemmer=None, stopwords=['a', \"it's\"])"),
        ("bm25\n  + margin(\n    relative=0.1\n  )", "bm25@100+margin(relative=0.1)"),
        ("multi-vector", "bm25@100+multi-vector"),
        ("bm25@7 + multi-vector @ 7", "bm25@7+multi-vector"),
        ("bm25@200+multi-vector(top_k=100, model='m')+margin",
         "bm25@200+multi-vector(model='m', top_k=100)+margin"),
        ("random+multi-vector@9+margin+random",
         "random@100(seed=3)+multi-vector(top_k=9)+margin+random"),
        ("bm25,dense+multi-vector", "bm25@100,dense@100+multi-vector"),
        ("bm25,dense@9+fusion(top_k=8)+multi-vector@5+multi-vector(model='b', top_k=3)+denoised",
         "bm25@100,dense@9+fusion(top_k=8)+multi-vector(top_k=5)"
         "+multi-vector(model='b', top_k=3)+denoised"),
    ],
)  # fmt: skip
def test_the_canonical_string(text: str, canonical: str, context: dict[str, Any]) -> None:
    strategy = made(text, context)
    assert str(strategy) == canonical
    again = made(canonical, context)
    assert again == strategy
    assert str(again) == canonical


def test_what_the_stages_are(context: dict[str, Any]) -> None:
    strategy = made("random@9+rank(range_min=2)+denoised(threshold=0.2)+random", context)
    corpus = context["corpus"]
    assert strategy.retriever == RandomRetriever(corpus, top_k=9, seed=3)
    assert strategy.retriever.corpus is corpus
    assert strategy.filters == (RankFilter(range_min=2),)
    assert strategy.vetoes == (CrossEncoderDenoiser(threshold=0.2),)
    assert strategy.vetoes[0].cache_dir == context["cache_dir"]  # type: ignore[attr-defined]
    assert strategy.sampler == RandomSampler()
    assert made("bm25", context).sampler == TopSampler()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_strategy(name: str, context: dict[str, Any]) -> None:
    strategy = made(name, context)
    assert strategy == made(PRESETS[name].strategy, context)
    assert strategy == made(f"  {name.replace('+', ' + ')} ", context)
    assert PRESETS[name].about
    assert PRESETS[name].source


def test_a_miners_arguments_go_to_the_one_stage_that_has_them(context: dict[str, Any]) -> None:
    strategy = made("margin+denoised", context, margin=0.1, threshold=0.7, top_k=40, k1=1)
    assert str(strategy) == "bm25@40(k1=1.0)+margin(margin=0.1)+denoised(threshold=0.7)"


numbers = st.floats(0, 3).map(lambda value: round(value, 3))
words = st.text(st.sampled_from("ab+,()'\"\\ @=é\n#{}[]"), max_size=8)
filters = st.one_of(
    st.builds(RankFilter, range_min=st.integers(1, 9), range_max=st.none() | st.integers(10, 20)),
    st.builds(ScoreFilter, min_score=st.none() | numbers, max_score=st.floats(4, 1e30)),
    st.builds(MarginFilter, margin=numbers),
    st.builds(MarginFilter, relative=st.floats(0, 1)),
    st.builds(MarginFilter, percentile=st.floats(0, 1), cut=st.none() | st.floats(-9, 9)),
    st.builds(
        CrossEncoderDenoiser,
        model=words,
        threshold=st.floats(-5, 0.5),
        keep_top_k=st.integers(1, 99),
        positive_margin=st.none() | numbers,
        promote=st.booleans(),
        activation=st.sampled_from(["sigmoid", "identity", "model"]),
        revision=st.none() | words,
    ),
)


def single_retrievers(corpus: Corpus) -> st.SearchStrategy[Retriever]:
    return st.one_of(
        st.builds(
            BM25Retriever,
            st.just(corpus),
            top_k=st.integers(1, 500),
            k1=st.floats(0.1, 9),
            method=st.sampled_from(["lucene", "bm25+"]),
            stopwords=st.none() | st.lists(words, max_size=3),
        ),
        st.builds(
            DenseRetriever,
            st.just(corpus),
            model=words,
            top_k=st.integers(1, 500),
            query_prompt=st.none() | words,
            truncate_dim=st.none() | st.integers(1, 99),
            similarity=st.sampled_from([None, "dot", "euclidean"]),
            storage=st.sampled_from(["float32", "int8"]),
            memory_gb=st.floats(0.1, 99),
        ),
        st.builds(RandomRetriever, st.just(corpus), seed=st.integers(0, 2**70)),
    )


def reranked(first: Retriever) -> st.SearchStrategy[Retriever]:
    return st.builds(
        MultiVectorRetriever,
        st.just(first),
        model=words,
        top_k=st.none() | st.integers(1, first.top_k),
        query_prompt=st.none() | words,
        max_length=st.none() | st.integers(1, 99),
        storage=st.sampled_from(["float32", "float16"]),
    )


def retrievers(corpus: Corpus) -> st.SearchStrategy[Retriever]:
    """Single ones, joined ones, and either scored anew."""
    single = single_retrievers(corpus)
    joined = st.builds(
        HybridRetriever,
        st.lists(single, min_size=2, max_size=3),
        rrf_k=st.floats(0, 99),
        top_k=st.none() | st.integers(1, 99),
    )
    plain = st.one_of(single, joined)
    once = plain.flatmap(reranked)
    return st.one_of(plain, once, once.flatmap(reranked))


def searching(retriever: Retriever) -> tuple[Retriever, ...]:
    """Those that search themselves."""
    parts = retriever.parts if isinstance(retriever, JoinedRetriever) else ()
    return tuple(part for own in parts for part in searching(own)) or (retriever,)


@given(data=st.data())
def test_any_strategy_comes_back_from_its_string(data: st.DataObject, context: Any) -> None:
    corpus = context["corpus"]
    retriever = data.draw(retrievers(corpus))
    stages = data.draw(st.lists(filters, max_size=3))
    if not retriever.scored:
        stages = [s for s in stages if isinstance(s, RankFilter | CrossEncoderDenoiser)]
    sampler = data.draw(st.sampled_from([TopSampler(), RandomSampler()]))
    strategy = assemble(retriever, stages, sampler)
    text = str(strategy)
    again = build(text, context, {})
    assert again == strategy
    assert str(again) == text
    parsed = parse(text)
    depths = [part.top_k for part in searching(retriever)]
    assert [call.arguments["top_k"] for call in parsed.retrievers] == depths
    kinds = [*strategy.filters, *strategy.vetoes]
    rest = parsed.stages[: len(kinds)]
    assert [call.name for call in rest] == [stage.name for stage in kinds]
    assert [dict(call.arguments) for call in rest] == [stage.parameters() for stage in kinds]


def test_joined_retrievers(context: dict[str, Any]) -> None:
    text = "bm25@7,dense@3(model='m'),dense@4(model='n')"
    fusion = "fusion(by='weighted', weights=[2.0, 1.0, 0.0], top_k=9)"
    strategy = made(f"{text}+{fusion}+margin(margin=0.1)", context)
    assert str(strategy) == f"{text}+{fusion}+margin(margin=0.1)"
    joined = strategy.retriever
    assert isinstance(joined, HybridRetriever)
    assert [part.top_k for part in joined.retrievers] == [7, 3, 4]
    assert joined.source_names == ("bm25", "dense", "dense-2")
    assert made(f"{text}+margin", context).retriever.top_k == 14
    given = made("bm25,dense", context, method="lucene", rrf_k=5, model="m")
    assert str(given) == "bm25@100,dense@100(model='m')+fusion(rrf_k=5.0)"
    for options, said in (
        ({"top_k": 3}, "'top_k' is a parameter of several stages, 'bm25' and 'dense' and"),
        ({"weights": [1]}, "expected 2 numbers, one for each retriever"),
        ({"k": 1}, "no stage of this strategy has a parameter 'k'"),
    ):
        with pytest.raises(ParameterError, match=said):
            made("bm25,dense", context, **options)
    with pytest.raises(ParameterError, match="fusion has no parameter 'k'"):
        made("bm25,dense+fusion(k=1)", context)
    with pytest.raises(StrategyError, match="adds up scores, and 'random' gives none"):
        made("bm25,random+fusion(by='weighted')", context)


def test_candidates_that_are_scored_anew(context: dict[str, Any]) -> None:
    text = "bm25@7,random@3(seed=3)+fusion(rrf_k=5.0)+multi-vector(model='m', top_k=4)"
    strategy = made(text, context)
    assert str(strategy) == text
    late = strategy.retriever
    assert isinstance(late, MultiVectorRetriever)
    assert isinstance(late.first, HybridRetriever)
    assert late.source_names == ("bm25", "random")
    assert late.corpus is context["corpus"]
    assert late.cache_dir == context["cache_dir"]
    given = made("bm25@9+multi-vector", context, storage="float16", model="m", k1=1)
    assert str(given) == "bm25@9(k1=1.0)+multi-vector(model='m', storage='float16')"
    for told, options, said in (
        ("bm25+multi-vector", {"top_k": 3}, "two stages, 'bm25' and 'multi-vector'. Say which"),
        ("dense+multi-vector", {"model": "m"}, "parameter of two stages, 'dense' and 'multi-ve"),
        ("multi-vector(models='m')", {}, "has no parameter 'models'. Did you mean 'model'"),
        ("multi-vector(first='bm25')", {}, "multi-vector has no parameter 'first'"),
        ("bm25+multi-vector", {"storages": 1}, "'storages'. Did you mean 'storage'"),
        ("bm25", {"document_prompt": "d"}, ", multi-vector: add "),
    ):
        for refuse in (lambda: check(told, options), lambda: build(told, context, options)):  # noqa: B023
            with pytest.raises(ParameterError) as error:
                refuse()
            assert said in str(error.value)
    with pytest.raises(ParameterError, match="top_k=9, and 'bm25' lists only 5 for each query"):
        made("bm25@5+multi-vector@9", context)
    with pytest.raises(ParameterError, match="works on the lists of other retrievers itself"):
        HybridRetriever([late, late])


def test_a_run_with_awkward_signs_in_its_name(context: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "a+b, (c)='d\\"
    run.write_text("q1 Q0 0 1 1.5 t\n")
    strategy = assemble(RunRetriever(context["corpus"], run=run), [MarginFilter(margin=1)])
    assert made(str(strategy), context) == strategy


REFUSED = [
    ("", "the strategy is ''; expected a string"),
    ("  ", "Presets: bm25, dense, sparse"),
    ("bm26", "unknown stage 'bm26'. Did you mean 'bm25'?"),
    ("BM25", "unknown stage 'BM25'. Did you mean 'bm25'?"),
    ("bm25+denoise", "unknown stage 'denoise'. Did you mean 'denoised'?"),
    ("bm25+quite-hard", "unknown stage 'quite-hard'"),
    ("bm25+bm25", "unknown stage 'bm25'"),
    ("bm25+", "'' is not a stage"),
    ("+bm25", "'' is not a stage"),
    ("bm25++margin", "'' is not a stage"),
    ("bm25@", "is not a stage"),
    ("bm25@ten", "is not a stage"),
    ("bm25@-3", "is not a stage"),
    ("25", "is not a stage"),
    ("bm25(k1=1", "is not a stage"),
    ("bm25)k1=1(", "is not a stage"),
    ("bm25(k1=1)(b=1)", "cannot be read"),
    ("bm25(k1=1).x(b=1)", "cannot be read"),
    ("bm25(1)", "cannot be read"),
    ("bm25(k1)", "cannot be read"),
    ("bm25(k1=)", "cannot be read"),
    ("bm25(**{'k1': 1})", "'**' is not known"),
    ("bm25(k1=1, k1=2)", "'k1' is given twice"),
    ("bm25@5(top_k=5)", "depth is given twice"),
    ("bm25(k1=" + "-" * 100_000 + "1)", "cannot be read"),
    ("bm25(k1=" + "(" * 10_000 + "1" + ")" * 10_000 + ")", "cannot be read"),
    ("bm25(stopwords={[]: 1})", "cannot be read"),
    ("bm25+fusion", "'fusion' joins several retrievers and stands right after them"),
    ("bm25,dense+margin+fusion", "stands right after them"),
    ("bm25,dense+fusion+fusion", "stands right after them"),
    ("fusion", "unknown stage 'fusion'"),
    ("bm25+multi-vector+fusion", "'fusion' joins several retrievers and stands right after them"),
    ("bm25,dense+multi-vector+fusion", 'stands right after them: "bm25,dense+fusion('),
    ("bm25+margin+multi-vector", "'multi-vector' scores the candidates of retrievers anew and"),
    ("bm25+multi-vektor", "unknown stage 'multi-vektor'. Did you mean 'multi-vector'?"),
    ("bm25,multi-vector", "unknown stage 'multi-vector'"),
    ("bm25,margin", "unknown stage 'margin'"),
    ("bm25+top+random", "2 samplers: top, random; expected at most one"),
    ("random+margin", "'margin' needs scores"),
    ("random+score(min_score=1)+margin", "'score' needs scores"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[text[:20] for text, _ in REFUSED])
def test_strings_that_make_no_sense(text: str, said: str, context: dict[str, Any]) -> None:
    for refuse in (lambda: check(text, {}), lambda: build(text, context, {})):
        with pytest.raises(StrategyError) as error:
            refuse()
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("bm25(k3=1)", {}, "bm25 has no parameter 'k3'. Did you mean 'k1'"),
        ("bm25+margin(treshold=1)", {}, "margin has no parameter 'treshold'"),
        ("denoised(treshold=1)", {}, "Did you mean 'threshold'"),
        ("denoised@20", {}, "denoised has no parameter 'top_k'"),
        ("run", {}, "run needs the parameter 'run'"),
        ("bm25(corpus='x')", {}, "bm25 has no parameter 'corpus'"),
        ("denoised(cache_dir='x')", {}, "denoised has no parameter 'cache_dir'"),
        ("margin(margin=-1)", {}, "margin: margin=-1"),
        ("bm25", {"relative": 0.1}, "It belongs to margin, semi-hard: add '+margin(relative=...)'"),
        ("bm25+margin", {"relativ": 0.1}, "Did you mean 'relative'"),
        ("bm25", {"nonsense": 1}, "no stage of this strategy has a parameter 'nonsense'"),
        ("margin+margin", {"relative": 0.1}, "parameter of two stages, 'margin' and 'margin'"),
        ("denoised+denoised", {"threshold": 0.1}, "'denoised' and 'denoised'"),
        ("bm25@5", {"top_k": 9}, "'top_k' of 'bm25' is given twice: 5"),
        ("margin(relative=0.1)", {"relative": 0.2}, "given twice: 0.1 in the strategy string"),
        ("margin(relative=0.1)", {"margin": 0.2}, "margin and relative are both given"),
    ],
)
def test_parameters_that_make_no_sense(
    text: str, options: dict[str, Any], said: str, context: dict[str, Any]
) -> None:
    for refuse in (lambda: check(text, options), lambda: build(text, context, options)):
        with pytest.raises(ParameterError) as error:
            refuse()
        assert said in str(error.value)


def test_a_parameter_that_the_string_sets_for_all_but_one(context: dict[str, Any]) -> None:
    text = "bm25@7,dense(model='m')+denoised"
    given = made(text, context, model="n")
    assert str(given) == "bm25@7,dense@100(model='m')+denoised(model='n')"
    with pytest.raises(ParameterError, match="'model' is a parameter of two stages, 'dense' and"):
        made("dense+denoised", context, model="n")


def test_a_parameter_of_two_different_stages_names_both(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RankFilter, "defaults", classmethod(lambda cls: {"k1": 1, "range_min": 1}))
    with pytest.raises(
        ParameterError, match="'k1' is a parameter of two stages, 'bm25' and 'rank'"
    ):
        build("bm25+rank", context, {"k1": 2})


@pytest.mark.parametrize(
    "code",
    [
        "__import__('pathlib').Path({path!r}).touch()",
        "open({path!r}, 'w')",
        "[open({path!r}, 'w') for _ in (1,)]",
        "(lambda: open({path!r}, 'w'))()",
        "f\"{{open({path!r}, 'w')}}\"",
    ],
)
def test_code_in_a_string_is_never_run(code: str, context: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ran"
    inside = code.format(path=str(path))
    for text in (f"bm25(k1={inside})", f"bm25({inside}, k1=1)", f"bm25+margin(margin={inside})"):
        with pytest.raises(HardNegError):
            build(text, context, {})
    assert not path.exists()


def test_objects_in_the_wrong_place(context: dict[str, Any]) -> None:
    retriever = BM25Retriever(context["corpus"])
    with pytest.raises(StrategyError, match="is not a retriever"):
        assemble(MarginFilter(), [])
    with pytest.raises(StrategyError, match="neither a filter nor a veto nor a sampler"):
        assemble(retriever, [retriever])
    with pytest.raises(StrategyError, match="2 samplers: random, top"):
        assemble(retriever, [RandomSampler()], TopSampler())
    with pytest.raises(StrategyError, match="'random' is not a sampler"):
        assemble(retriever, [], "random")  # type: ignore[arg-type]
    with pytest.raises(StrategyError, match="needs scores"):
        assemble(RandomRetriever(context["corpus"]), [MarginFilter()])
