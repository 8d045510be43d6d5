"""Training on what strategies mined: the same start and steps, kept runs, scores by query."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_cases import Setting, known_words, without_seconds
from datasets import Dataset
from tiny_models import save_bi_encoder

from hf_hardneg import Corpus
from hf_hardneg.errors import CostError, ModelError, ParameterError, QueryError
from hf_hardneg.evaluation import training_runs
from hf_hardneg.evaluation.compare_figures import ranking_values
from hf_hardneg.evaluation.compare_plot import draw, points_of
from hf_hardneg.evaluation.comparison import ComparisonTable
from hf_hardneg.evaluation.held_out import HeldOut, load_held_out
from hf_hardneg.evaluation.training import (
    Training,
    load_model,
    rows_fingerprint,
    steps_of,
    train,
    train_and_score,
)
from hf_hardneg.evaluation.training_device import training_device
from hf_hardneg.evaluation.training_runs import KeptRuns
from hf_hardneg.evaluation.training_scores import rank_held_out


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("training")
    return Setting(
        known_words(folder / "beir"), save_bi_encoder(folder / "model"), folder / "cache"
    )


STRATEGIES = "random; bm25"


def trained(setting: Setting, **changes: Any) -> ComparisonTable:
    return setting.compared(STRATEGIES, train=setting.training(), **changes)


@pytest.fixture(scope="module")
def table(setting: Setting) -> ComparisonTable:
    return trained(setting)


def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Return a list that gets the seed of every run that is made, not found."""
    made: list[int | None] = []

    def counted(rows: Dataset | None, *arguments: Any, **options: Any) -> Any:
        made.append(None if rows is None else options["seed"])
        return train_and_score(rows, *arguments, **options)

    monkeypatch.setattr(training_runs, "train_and_score", counted)
    return made


def test_every_strategy_and_baseline_is_scored(setting: Setting, table: ComparisonTable) -> None:
    names = ["untrained", "in-batch", "random", "bm25"]
    assert [one.name for one in table.trained] == names
    assert [len(one.measures["MRR@10"].seeds) for one in table.trained] == [1, 2, 2, 2]
    assert [one.steps for one in table.trained] == [0, 2, 2, 2]
    assert [one.rows for one in table.trained] == [0, 10, 10, 10]  # q0 has two positives
    assert [one.measures["MRR@10"].gain is None for one in table.trained] == [
        False, False, True, False,
    ]  # fmt: skip
    assert len(setting.kept_runs()) == 1 + 3 * 2


def test_the_untrained_model_is_scored_as_it_is(setting: Setting, table: ComparisonTable) -> None:
    held_out = load_held_out(setting.collection.folder, split="test")
    corpus = Corpus(setting.collection.folder, cache_dir=setting.cache)
    model = load_model(setting.training())
    texts = corpus.texts(range(len(corpus)))
    queries = model.encode_query(held_out.texts, normalize_embeddings=True)
    documents = model.encode_document(texts, normalize_embeddings=True)
    reciprocal = []
    for line, name in zip(queries @ documents.T, held_out.ids, strict=True):
        order = np.argsort(-line, kind="stable")[:10]
        hits = [document in held_out.judgements[name] for document in corpus.ids(order)]
        reciprocal.append(1 / (1 + hits.index(True)) if any(hits) else 0.0)
    entry = table.training_of("untrained")
    assert entry is not None
    assert entry.measures["MRR@10"].mean == pytest.approx(np.mean(reciprocal))


def test_seeds_and_negatives_make_a_difference(setting: Setting, tmp_path: Path) -> None:
    """Whatever is the same for all strategies, the weights do not end the same."""
    import torch

    training = setting.training(steps=3)
    pairs = {
        "anchor": ["red car", "blue boat", "cold river", "warm road"] * 2,
        "positive": ["north city", "south field", "east day", "west night"] * 2,
    }
    plain = Dataset.from_dict(pairs)
    hard = plain.add_column("negative_1", ["red boat"] * 8)  # type: ignore[call-arg]

    def weights(rows: Dataset, seed: int) -> Any:
        model = load_model(training)
        train(model, rows, training, seed=seed, steps=3)
        return torch.cat([own.detach().flatten() for own in model.parameters()])

    same, again = weights(plain, 0), weights(plain, 0)
    assert torch.equal(same, again)
    assert not torch.equal(same, weights(plain, 1))
    assert not torch.equal(same, weights(hard, 0))


def test_a_second_call_trains_nothing(
    setting: Setting, table: ComparisonTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, before = count_runs(monkeypatch), setting.kept_runs()
    again = trained(setting)
    assert made == []
    assert setting.kept_runs() == before
    assert again.to_json() == table.to_json()  # the seconds, too, are those of the first time


def test_without_resume_all_runs_are_made_anew(
    setting: Setting, table: ComparisonTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, before = count_runs(monkeypatch), setting.kept_runs()
    again = trained(setting, resume=False)
    assert len(made) == len(before) == 7
    assert setting.kept_runs() == before
    assert without_seconds(again.to_dict()) == without_seconds(table.to_dict())


def test_an_interrupted_comparison_goes_on(
    setting: Setting, table: ComparisonTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def cut_short(rows: Dataset | None, *arguments: Any, **options: Any) -> Any:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(options["seed"])
        return train_and_score(rows, *arguments, **options)

    monkeypatch.setattr(training_runs, "train_and_score", cut_short)
    with pytest.raises(KeyboardInterrupt):
        trained(setting, cache_dir=tmp_path)
    assert len(list((tmp_path / "compare" / "runs").glob("*/run.json"))) == 3
    left = count_runs(monkeypatch)
    again = trained(setting, cache_dir=tmp_path)
    assert len(left) == 7 - 3
    assert without_seconds(again.to_dict()) == without_seconds(table.to_dict())


def test_whatever_decides_a_run_is_in_its_key(
    setting: Setting, table: ComparisonTable, tmp_path: Path
) -> None:
    held_out = load_held_out(setting.collection.folder, split="test")
    corpus = Corpus(setting.collection.folder, cache_dir=setting.cache)
    rows = Dataset.from_dict({"anchor": ["a"], "positive": ["b"]})

    def folder(
        rows: Dataset | None = rows, seed: int = 0, steps: int = 2, held_out: HeldOut = held_out,
        corpus: Corpus = corpus, **changes: Any,
    ) -> Path:  # fmt: skip
        training = setting.training(**changes)
        return KeptRuns(tmp_path, held_out, corpus, training, resume=True).folder(rows, seed, steps)

    copied, other = tmp_path / "copied", save_bi_encoder(tmp_path / "other", seed=1)
    shutil.copytree(setting.model, copied)
    # A model is known by its weights, not by its name; the other seeds are other runs.
    assert folder() == folder(model=str(copied)) == folder(seeds=(5,)) == folder(epochs=9)
    fewer = HeldOut(held_out.ids[:2], held_out.texts[:2], held_out.judgements)
    regraded = HeldOut(
        held_out.ids, held_out.texts,
        {name: dict.fromkeys(own, 2) for name, own in held_out.judgements.items()},
    )  # fmt: skip
    different = [
        folder(), folder(None), folder(seed=1), folder(steps=3), folder(held_out=fewer),
        folder(held_out=regraded), folder(corpus=Corpus({"d9": "x"}, cache_dir=tmp_path)),
        folder(model=str(other)), folder(learning_rate=0.01), folder(batch_size=5),
        folder(warmup=0.5), folder(max_length=7), folder(precision="bfloat16"),
        folder(score_precision="bfloat16"), folder(loss="CachedMultipleNegativesRankingLoss"),
        folder(rows.add_column("negative_1", ["c"])),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert table.trained


def test_a_run_of_another_device_is_another_run(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    held_out = load_held_out(setting.collection.folder, split="test")
    corpus = Corpus(setting.collection.folder, cache_dir=setting.cache)

    def folder(device: str | None = None) -> Path:
        training = setting.training(device=device)
        return KeptRuns(tmp_path, held_out, corpus, training, resume=True).folder(None, 0, 0)

    folders = [folder("cpu")]
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert folder() == folders[0]  # what is taken if none is named is what counts
    if torch.cuda.is_available():
        assert folder() == folder("cuda") == folder("cuda:0") != folders[0]
        folders.append(folder())
    threads = torch.get_num_threads()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: threads + 1)
        folders.append(folder("cpu"))
        patch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
        folders.append(folder("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
        for name in ("one", "two"):
            patch.setattr(torch.cuda, "get_device_name", lambda _, name=name: name)
            folders.append(folder("cuda"))
        assert folder() == folders[-1]
        with pytest.raises(ParameterError, match="CUDA_VISIBLE_DEVICES=1"):
            folder("cuda:1")
        assert training_device("cuda")["name"] == "two"
    assert len(set(folders)) == len(folders)
    with pytest.raises(ParameterError, match="expected one of PyTorch"):
        folder("no such device")
    if not torch.cuda.is_available():
        with pytest.raises(ParameterError, match="sees no GPU of CUDA"):
            folder("cuda")


def test_each_step_has_the_batch_that_was_asked_for(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer takes as many times the batch as there are GPUs; here it is told of three."""
    from transformers import TrainingArguments

    own = TrainingArguments._setup_devices.func  # type: ignore[attr-defined]

    def three(arguments: Any) -> Any:
        device = own(arguments)
        arguments._n_gpu = 3
        return device

    told = cached_property(three)
    told.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", told)
    training, model = setting.training(batch_size=2), load_model(setting.training())
    words = ["red car", "blue boat", "cold river", "warm road"]
    rows = Dataset.from_dict({"anchor": words, "positive": words[::-1]})
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0]["input_ids"])))
    train(model, rows, training, seed=0, steps=2)
    assert set(seen) == {2}


@pytest.mark.parametrize(
    "changes", [{"loss": "CachedMultipleNegativesRankingLoss"}, {"precision": "bfloat16",
                "score_precision": "bfloat16"}, {"max_length": 4}]
)  # fmt: skip
def test_every_way_of_training_runs(changes: dict[str, Any], setting: Setting) -> None:
    found = setting.compared("random", train=setting.training(seeds=(0,), **changes), baselines=[])
    assert not found.failed
    assert found.settings["training"].items() >= changes.items()


def test_rows_are_known_by_their_texts_and_order() -> None:
    rows = Dataset.from_dict({"anchor": ["a", "b"], "positive": ["c", "d"]})
    more = Dataset.from_dict({"anchor": ["x", "a", "b"], "positive": ["y", "c", "d"]})
    same = more.select([1, 2])
    assert rows_fingerprint(rows) == rows_fingerprint(same)
    others = [rows.select([1, 0]), rows.rename_column("positive", "other"), rows.select([0]),
              Dataset.from_dict({"anchor": ["a", "c"], "positive": ["b", "d"]})]  # fmt: skip
    assert len({rows_fingerprint(one) for one in [rows, *others]}) == 5


def test_seen_queries_are_refused_unless_allowed(setting: Setting) -> None:
    folder = setting.collection.folder
    seen = load_held_out(folder, split="train")
    with pytest.raises(QueryError, match=r"9 of 9 held-out queries are training queries.*'q0'"):
        setting.compared("random", train=setting.training(), held_out=seen)
    found = setting.compared(
        "random", train=setting.training(allow_seen=True, seeds=(0,)), held_out=seen, baselines=[]
    )
    assert found.settings["training"]["held_out_queries_seen_in_training"] == 9
    assert any("9 held-out queries are training queries too" in note for note in found.notes)


def test_short_rows_are_filled_or_left_out(setting: Setting) -> None:
    strategy = "bm25@2+margin(relative=0.2)"
    common: dict[str, Any] = {"num_negatives": 1}
    filled = setting.compared(strategy, train=setting.training(seeds=(0,)), baselines=[], **common)
    kept = filled.strategies[0]
    assert 0 < kept.rows_short < 9
    [entry] = filled.trained
    assert (entry.rows, entry.left_out, entry.filled) == (10, 0, kept.rows_short)
    dropped = setting.compared(
        strategy, train=setting.training(seeds=(0,), short_rows="drop"), baselines=[], **common
    )
    [entry] = dropped.trained
    assert entry.rows == 10 - entry.left_out
    assert (entry.left_out >= kept.rows_short, entry.filled) == (True, 0)
    assert entry.steps == 2


def test_a_strategy_that_leaves_no_rows_is_said(setting: Setting) -> None:
    nothing = "bm25+score(max_score=-1)"
    found = setting.compared(
        f"random; {nothing}", settings={}, train=setting.training(seeds=(0,), short_rows="drop"),
        baselines=[],
    )  # fmt: skip
    assert [one.name for one in found.trained] == ["random"]
    assert "no rows to train on" in found.strategies[1].training_error
    assert found.failed == [found.strategies[1]]


def test_without_the_first_there_are_no_gains(setting: Setting) -> None:
    found = setting.compared(
        "bm25+score(max_score=-1); random", settings={},
        train=setting.training(seeds=(0,), short_rows="drop"),
    )  # fmt: skip
    assert [one.name for one in found.trained] == ["untrained", "in-batch", "random"]
    assert all(one.measures["MRR@10"].gain is None for one in found.trained)
    assert points_of(found) == []
    assert any("no gains" in note for note in found.notes)


def test_it_says_before_it_starts_what_it_takes(setting: Setting, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(CostError, match=r"not begun.*--max-hours 1e-09"):
        trained(setting, cache_dir=tmp_path, max_hours=1e-9, say=said.append)
    assert said[0].startswith("Training: 6 runs of 2 steps, about ")
    assert not (tmp_path / "compare" / "runs").exists()


def test_what_is_given_is_checked(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="no held-out queries"):
        setting.compared("random", train=setting.training(), held_out=None)
    with pytest.raises(ModelError, match="nowhere"):
        setting.compared("random", train=setting.training(model=str(tmp_path / "nowhere")))
    for changes in ({"steps": 0}, {"epochs": 0}, {"learning_rate": float("nan")}, {"seeds": ()},
                    {"seeds": (1, 1)}, {"loss": "TripletLoss"}, {"warmup": 1.0},
                    {"short_rows": "keep"}, {"batch_size": 1}):  # fmt: skip
        with pytest.raises(ParameterError, match=next(iter(changes))):
            setting.training(**changes)


@pytest.mark.parametrize(
    ("rows", "epochs", "expected"), [(13_219, 3, 156), (10, 1, 1), (257, 0.5, 1), (512, 2, 4)]
)
def test_steps_of_epochs(rows: int, epochs: float, expected: int) -> None:
    assert steps_of(Training("m", epochs=epochs, batch_size=256), rows) == expected


def test_ties_go_to_the_document_that_stands_first(setting: Setting, tmp_path: Path) -> None:
    corpus = Corpus({"b": "red", "a": "red", "c": "north"}, cache_dir=tmp_path)
    held_out = HeldOut(["q"], ["red"], {"q": {"a": 1}})
    ranking = rank_held_out(load_model(setting.training()), held_out, corpus)
    assert ranking["q"][:2] == ["b", "a"]
    assert ranking_values(ranking, held_out)["MRR@10"].tolist() == [0.5]


def test_the_drawing_has_a_point_for_each_strategy(table: ComparisonTable) -> None:
    points = points_of(table)
    assert [point.label for point in points] == [name.strip() for name in STRATEGIES.split(";")]
    assert (points[0].gain, points[0].gain_ends) == (0, None)
    drawing = draw(table)
    assert drawing is not None
    assert drawing == draw(table)
    for point in points:
        assert point.label in drawing
    assert "<dc:date>" not in drawing


def test_kept_runs_are_plain_json(setting: Setting, table: ComparisonTable) -> None:
    assert table.trained
    for path in setting.kept_runs():
        kept = json.loads(path.read_text())
        assert sorted(kept["values"]) == ["MRR@10", "nDCG@10"]
        assert len(kept["values"]["MRR@10"]) in (3, 9)  # held-out queries
