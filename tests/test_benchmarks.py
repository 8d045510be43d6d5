"""The benchmarks on a tiny collection: same work on both sides, complete results. No times."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tiny_models import WORDS, save_bi_encoder, save_cross_encoder

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from benchmarks import (  # noqa: E402
    cli,
    compare,
    estimates,
    false_negative_coverage,
    gpu,
    growth,
    lazy_veto,
    mine_bm25,
    miner_hash,
    presets,
    processes,
    risk_curves,
    select_from_pool,
    stage_speed,
)
from benchmarks.context import Context  # noqa: E402
from benchmarks.data import find_collection  # noqa: E402
from benchmarks.drawing import draw_growth, draw_risk  # noqa: E402
from benchmarks.errors import BenchmarkError  # noqa: E402
from benchmarks.preset_table import page  # noqa: E402
from benchmarks.results import Figure, problems, write  # noqa: E402
from hf_hardneg.devices import found_gpu  # noqa: E402
from hf_hardneg.presets import PRESETS  # noqa: E402

FIGURES = (
    mine_bm25, select_from_pool, lazy_veto, miner_hash, gpu, estimates, growth, presets,
    stage_speed, false_negative_coverage,
)  # fmt: skip
HEADER = "query-id\tcorpus-id\tscore\n"


def write_collection(folder: Path, documents: int, queries: int) -> None:
    """Write a collection of random words; every query has one or two positives."""
    noise = random.Random(documents)
    (folder / "qrels").mkdir(parents=True)
    with gzip.open(folder / "corpus.jsonl.gz", "wt") as out:
        for number in range(documents):
            text = " ".join(noise.choices(WORDS, k=12))
            record = {"_id": f"d{number}", "title": f"title {number % 5}" * (number % 2)}
            out.write(json.dumps({**record, "text": text}) + "\n")
    splits = {name: (folder / "qrels" / f"{name}.tsv").open("w") for name in ("train", "test")}
    for out in splits.values():
        out.write(HEADER)
    with (folder / "queries.jsonl").open("w") as out:
        for number in range(queries):
            text = " ".join(noise.choices(WORDS, k=3))
            out.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
            for document in noise.sample(range(documents), 1 + number % 2):
                name = "train" if number % 3 else "test"
                splits[name].write(f"q{number}\td{document}\t1\n")
    for out in splits.values():
        out.close()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("benchmarks")
    write_collection(folder / "data" / "debian-packages", 300, 40)
    write_collection(folder / "data" / "medquad", 120, 30)
    return Context(
        data=folder / "data",
        model=save_cross_encoder(folder / "model"),
        repeat=2,
        work=folder / "work",
        trial=False,
        queries=15,
        gigabytes=0.0001,
    )


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the sides in this process: the imports alone would take a minute."""

    def run_side(side: str, arguments: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
        module, function = side.split(":")
        call = getattr(import_module(f"benchmarks.sides.{module}"), function)
        measured = call(**json.loads(json.dumps(dict(arguments), default=str)))
        values = {**measured.values, "peak_mib": 1.0, "imports_mib": 1.0}
        return json.loads(json.dumps({**values, **measured.after()}))  # type: ignore[no-any-return]

    for figure in FIGURES:
        monkeypatch.setattr(figure, "run_side", run_side)
    monkeypatch.setattr(mine_bm25, "SETTINGS", {**mine_bm25.SETTINGS, "threads": 0})


def taken(figure: Figure, folder: Path) -> dict[str, Any]:
    """Write a result and read it again."""
    path, _ = write(figure, folder)
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == f"{result['name']}.json"
    assert problems(result) == []
    assert all(result["checks"].values())
    return result


@pytest.mark.usefixtures("in_process")
def test_mine_bm25(context: Context, tmp_path: Path) -> None:
    result = taken(mine_bm25.run(context), tmp_path)
    assert result["data"]["documents"] == 300
    assert result["data"]["judgements"].keys() == {"train", "test"}
    sides = [run["side"] for run in result["runs"]]
    assert sides[5:] == sides[:5][::-1], "sides alternate"
    assert result["medians"]["hf-hardneg"]["queries"] == 40
    assert len(result["ratios"]["wall"]["repeats"]) == 2
    assert [target["limit"] for target in result["targets"]] == [1.3, 1.3]
    assert any("bare bm25s gives" in check for check in result["checks"])


@pytest.mark.usefixtures("in_process")
def test_select_from_pool(context: Context, tmp_path: Path) -> None:
    result = taken(select_from_pool.run(context), tmp_path)
    assert set(select_from_pool.STRATEGIES) == set(result["ratios"])
    assert "select gives the negatives and scores of the first run" in result["checks"]
    assert result["medians"]["select"]["negatives"] > 0


@pytest.mark.usefixtures("in_process")
def test_lazy_veto(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_veto, "THRESHOLDS", [0.9, 0.1])
    result = taken(lazy_veto.run(context), tmp_path)
    assert sum("the same negatives" in check for check in result["checks"]) == 2
    few, many = (result["medians"][f"lazy, threshold {limit}"]["pairs"] for limit in (0.9, 0.1))
    assert few < many <= result["medians"]["all first"]["pairs"]
    assert result["runs"][0]["survival"]["0.1"] < result["runs"][0]["survival"]["0.9"]


@pytest.mark.usefixtures("in_process")
def test_miner_hash(context: Context, tmp_path: Path) -> None:
    result = taken(miner_hash.run(context), tmp_path)
    assert result["data"]["index_bytes"] >= 100_000
    assert "mining does not change the hash" in result["checks"]
    assert len(result["targets"]) == 3


@pytest.mark.usefixtures("in_process")
def test_gpu(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU and with tiny models: that it runs, and that the search is exact."""
    model = save_bi_encoder(tmp_path / "model")
    monkeypatch.setattr(gpu, "minilm", lambda _: model)
    monkeypatch.setattr(gpu, "ENCODERS", {gpu.JUDGED: (False, "bfloat16")})
    monkeypatch.setattr(gpu, "BLOCK", 170)
    tiny = replace(context, device="cpu", documents=400, repeat=1)
    result = taken(gpu.run(tiny), tmp_path)
    assert result["settings"]["gpu"] == "cpu"
    assert result["medians"]["search"]["queries_per_second"] > 0
    assert [target["limit"] for target in result["targets"]] == [4.0, 4.0]
    assert any("what faiss finds on the CPU" in check for check in result["checks"])


@pytest.mark.skipif(found_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_it_is_left_out_and_refused_by_name(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "gpu" not in cli._names(cli._arguments([]))
    assert "gpu" in cli._names(cli._arguments(["--device", "cpu"]))
    assert cli.main(["gpu", "--out", str(tmp_path / "out")]) == 2
    assert "torch sees no GPU here" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_side_runs_in_a_fresh_process(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    collection = find_collection(context.data, "debian-packages")
    arguments = {"corpus": collection.corpus, "queries": collection.queries, "k": 10,
                 **mine_bm25.SETTINGS, "threads": 0, "compiled": False}  # fmt: skip
    values = processes.run_side("bare_bm25:search", arguments, tmp_path)
    assert values["documents"] == 300
    assert values["peak_mib"] >= 0
    assert values["imports_mib"] > 10
    with pytest.raises(BenchmarkError, match="no such file"):
        processes.run_side("bare_bm25:search", {**arguments, "corpus": "no such file"}, tmp_path)


def test_the_fastest_settings_are_found_and_kept(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_side(side: str, arguments: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
        seconds = 10.0 + (arguments["tokenizer"] == "class") + 2 * (arguments["csc"] == "numpy")
        return {"seconds": seconds + 4 * (arguments["threads"] == 0), "peak_mib": 1.0}

    monkeypatch.setattr(mine_bm25, "run_side", run_side)
    monkeypatch.setattr(mine_bm25, "cores", lambda: 2)
    collection = find_collection(context.data, "debian-packages")
    best, trials = mine_bm25._fastest(context, collection)
    assert best == {"tokenizer": "function", "csc": "scipy", "threads": 2}
    assert len(trials) == 8


@pytest.mark.usefixtures("in_process")
def test_estimates(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoised = f"bm25+denoised(model={str(context.model)!r})"
    jobs = [("bm25", "medquad", "bm25", 0), ("denoised", "medquad", denoised, 7)]
    monkeypatch.setattr(estimates, "_jobs", lambda _: jobs)
    monkeypatch.setattr(estimates, "COLLECTIONS", ("medquad",))
    result = taken(estimates.run(context), tmp_path)
    assert set(result["ratios"]) == {"medquad, bm25", "medquad, denoised"}
    assert len(result["runs"]) == 8
    assert {run["rows"] for run in result["runs"] if "denoised" in run["side"]} == {7}
    times = [target for target in result["targets"] if "expected and taken" in target["about"]]
    assert len(result["targets"]) == 3 * len(times)
    for target, ratio in zip(times, result["ratios"].values(), strict=True):
        share = ratio["median"]
        assert target["value"] == pytest.approx(max(share, 1 / share), abs=1e-3)
    assert all(run["phases"] for run in result["runs"] if run["side"].startswith("expected"))


@pytest.mark.usefixtures("in_process")
def test_growth(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "DOCUMENTS", (200, 400))
    monkeypatch.setattr(growth, "QUERIES", (20, 40))
    monkeypatch.setattr(growth, "FIXED_QUERIES", 20)
    monkeypatch.setattr(growth, "FIXED_DOCUMENTS", 400)
    monkeypatch.setattr(growth, "STRATEGIES", {"bm25": "bm25@9", "dense": "dense@9"})
    figure = growth.run(replace(context, out=tmp_path, repeat=1))
    result = taken(figure, tmp_path)
    sizes = [(run["documents"], run["queries"]) for run in result["runs"] if run["side"] == "bm25"]
    assert sizes == [(200, 20), (400, 20), (400, 40)]
    assert all(run["rows_out"] == run["queries"] for run in result["runs"])
    drawn = (tmp_path / "growth.svg").read_text()
    assert "</svg>" in drawn
    assert str(tmp_path) not in drawn
    draw_growth(figure, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn


def test_different_work_is_no_result() -> None:
    figure = Figure("a", "b")
    with pytest.raises(BenchmarkError, match="the sides agree"):
        figure.check("the sides agree", False)


def test_a_result_that_contradicts_itself_is_not_written(tmp_path: Path) -> None:
    figure = Figure("a", "b")
    figure.add("one", 0, {"seconds": 2.0})
    with pytest.raises(BenchmarkError, match="neither targets nor checks"):
        write(figure, tmp_path)
    figure.target("at most 1", 2.0, 1.0)
    _, result = write(figure, tmp_path)
    assert result["targets"][0]["met"] is False
    result["targets"][0]["met"] = True
    assert problems(result)
    del result["machine"]
    assert problems(result) == ["machine is missing or of the wrong type"]


def test_a_collection_is_known_by_its_content(context: Context, tmp_path: Path) -> None:
    packed = find_collection(context.data, "medquad")
    folder = tmp_path / "medquad"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_bytes(gzip.decompress(packed.corpus.read_bytes()))
    (folder / "queries.jsonl").write_bytes(packed.queries.read_bytes())
    for path in packed.judgements:
        (folder / "qrels" / path.name).write_bytes(path.read_bytes())
    plain = find_collection(tmp_path, "medquad")
    assert plain.describe() == packed.describe()
    lines = plain.join_judgements(tmp_path / "all.tsv").read_text().splitlines()
    assert lines[0] + "\n" == HEADER
    assert len(lines) - 1 == sum(plain.describe()["judgements"].values())
    assert HEADER.strip() not in lines[1:]


def test_missing_data_is_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert cli.main(["mine_bm25", *arguments]) == 2
    shown = " ".join(capsys.readouterr().out.split())
    assert "there is no collection 'debian-packages'" in shown
    assert "--data" in shown
    assert not (tmp_path / "out").exists()
    assert cli.main(["lazy_veto", *arguments, "--model", str(tmp_path / "none")]) == 2
    assert "--model" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["speed"], ["--repeat", "0"]])
def test_wrong_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(words)


@pytest.mark.usefixtures("in_process")
def test_the_command_shows_a_table_and_says_whether_targets_are_met(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    words = ["miner_hash", "--gigabytes", "0.0001", "--repeat", "1", "--out", str(tmp_path)]
    code = cli.main(words)
    shown = capsys.readouterr().out
    result = json.loads((tmp_path / "miner_hash.json").read_text())
    assert code == int(not all(target["met"] for target in result["targets"]))
    assert "pickle bytes" in shown
    monkeypatch.setattr(miner_hash, "LIMIT_MS", 0.0)
    assert cli.main(words) == 1
    assert "NOT MET" in capsys.readouterr().out


def test_it_can_be_called_as_a_file() -> None:
    script = ROOT / "benchmarks" / "run.py"
    shown = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True
    )
    assert all(name in shown.stdout for name in cli.BENCHMARKS)


def texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from texts(name)
            yield from texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts(entry)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem
)
def test_committed_results_are_complete(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert path.stem == result["name"]
    assert result["name"] in cli.BENCHMARKS
    assert not [text for text in texts(result) if text.startswith(("/", "~")) or ":\\" in text]


def test_the_page_of_presets_is_made_of_the_committed_result() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "presets.json").read_text())
    shown = (ROOT / "docs" / "preset-figures.md").read_text(encoding="utf-8")
    assert shown == page(result)
    assert {run["preset"] for run in result["runs"]} | set(presets.LEFT_OUT) == set(PRESETS)


@pytest.fixture
def static(context: Context, tmp_path: Path) -> Iterator[None]:
    """An embedding model where the benchmarks look for the static one."""
    place = context.model.parent / "potion-4m-static"
    shutil.copytree(save_bi_encoder(tmp_path / "bi-encoder"), place)
    yield
    shutil.rmtree(place)


@pytest.mark.usefixtures("in_process", "static")
def test_presets(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "QUERIES", {"medquad": 0})
    monkeypatch.setattr(presets, "HIDING", "medquad")
    wanted = ("bm25", "random", "bge", "margin", "denoised", "hybrid")
    few = [case for case in presets.cases() if case.preset in wanted]
    monkeypatch.setattr(presets, "cases", lambda: iter(few))
    result = taken(presets.run(context), tmp_path)
    by_side = {run["side"]: run for run in result["runs"]}
    assert len(by_side) == len(few) == 9
    best = by_side["medquad: bm25, bm25"]
    assert best["yield"] == 1
    assert best["mean_rank"] >= 3
    assert 0 <= best["relevant"] < 1
    assert "mean_hardness" not in by_side["medquad: random, random"]
    assert by_side["medquad: denoised, bm25"]["asked"] > 0
    assert "| bm25 | bm25 | 100% |" in page(result)


def test_the_table_of_coverage_is_that_of_the_committed_result() -> None:
    path = ROOT / "benchmarks" / "results" / "false_negative_coverage.json"
    shown = false_negative_coverage.table(json.loads(path.read_text()))
    assert shown in (ROOT / "docs" / "false-negatives.md").read_text()


@pytest.mark.usefixtures("in_process", "static")
def test_false_negative_coverage(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_bi_encoder(tmp_path / "model")
    monkeypatch.setattr(false_negative_coverage, "minilm", lambda _: model)
    monkeypatch.setattr(false_negative_coverage, "COLLECTIONS", ("medquad",))
    monkeypatch.setattr(false_negative_coverage, "REPEATS", 2)
    result = taken(false_negative_coverage.run(context), tmp_path)
    sides = {run["side"].split(": ", 1)[1] for run in result["runs"]}
    assert set(false_negative_coverage.PROMISED) < sides
    for run in result["runs"]:
        assert run["repetitions"] == 2
        if run["told_nothing"] < 2:
            assert 0 <= run["covered"] <= 1
            assert run["low"] <= run["high"]
    assert result["data"]["medquad"]["queries"] == 30


@pytest.mark.usefixtures("in_process", "static")
def test_stage_speed(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: stage_speed.STAGES[name] for name in ("top", "importance", "distance-weighted")}
    monkeypatch.setattr(stage_speed, "STAGES", few)
    result = taken(stage_speed.run(context), tmp_path)
    assert [target["about"] for target in result["targets"]] == [
        about
        for name in few
        for about in (
            f"seconds of select with {name}", f"MiB of select with {name}, above the imports"
        )
    ]  # fmt: skip


def test_risk_curves_add_up_seeds_and_take_the_hardest(tmp_path: Path) -> None:
    def point(value: float, false: int, ranks: int, full: int) -> dict[str, float]:
        return {"value": value, "false": false, "cases": 50, "ranks": ranks, "chosen": 50,
                "full": full, "rows": 10}  # fmt: skip

    figure = Figure("risk_curves", "", settings={"labels": [200]})
    for seed, shift in enumerate((0, 2)):
        rules = [point(9, 1, 900, 10), point(5, 3 + shift, 500, 10), point(0, 20, 150, 10)]
        risk = [point(0, 0, 2_000, 4), point(0.5, 3, 400, 10), point(1, 20, 150, 10)]
        for family, points in (("skip the top", rules), ("risk, 200 labels", risk)):
            columns = risk_curves.columns(points)
            figure.add(f"vaswani, potion, {family}", seed, {"points": columns})
    for rule in ("relative margin", "absolute margin", "percentile margin", "highest score"):
        figure.add(f"vaswani, potion, {rule}", 0, {"points": columns})
    pooled = risk_curves.pooled(figure, "vaswani, potion, skip the top")
    assert [one["false"] for one in pooled] == [2, 8, 40]
    best = risk_curves.hardest(pooled, 0.08)
    assert best is not None
    assert (best["ranks"], best["chosen"]) == (1_000, 100)
    assert risk_curves.hardest(pooled, 0.07)["ranks"] == 1_800  # type: ignore[index]
    assert risk_curves.hardest(pooled, 0.01) is None
    served = risk_curves.pooled(figure, "vaswani, potion, risk, 200 labels")
    assert risk_curves.hardest(served, 0.0) is None  # it serves too few
    draw_risk(figure, tmp_path / "one.svg")
    draw_risk(figure, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.usefixtures("static")
def test_compare(context: Context, tmp_path: Path) -> None:
    strategies = "random; bm25; bm25@9,dense@9+denoised"
    part = compare.Part(
        compare.STATIC, strategies, {}, {"steps": 1, "batch_size": 4, "seeds": (0, 1)}
    )
    context = replace(context, out=tmp_path)
    result = taken(compare.take(context, "compare", part), tmp_path)
    by_side = {run["strategy"]: run for run in result["runs"]}
    assert list(by_side) == ["untrained", "in-batch", *strategies.split("; ")]
    assert by_side["bm25@9,dense@9+denoised"]["cross_encoder_calls"] > 0
    assert by_side["bm25"]["mrr_p"] <= 1
    written = sorted((tmp_path / f"compare-{compare.STATIC}").iterdir())
    assert [path.name for path in written] == [
        "compare.html", "compare.json", "figure.svg", "table.md",
    ]  # fmt: skip
    # Nothing says in which folders of this machine the models lie.
    for path in [tmp_path / "compare.json", *written]:
        assert str(context.model.parent) not in path.read_text(encoding="utf-8")
