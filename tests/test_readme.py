"""The README does what it says: its blocks run, its tables are true, its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hf_hardneg.strategy import PRESETS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"(<!-- not run: [^>]*-->\n)?```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language: str, page: str = README) -> list[str]:
    """Blocks of a page in one language, without those that say that they are not run."""
    return [text for skipped, kind, text in FENCE.findall(page) if kind == language and not skipped]


def test_python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)  # the README's own code
    printed = capsys.readouterr().out
    assert "['email']" in printed
    assert "['anchor', 'positive', 'negative_1']" in printed
    assert names["miner"].strategy == "bm25@50+margin(relative=0.05)+random"
    assert printed.count("Mined with bm25@100") == 2


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_python_blocks_of_the_docs_run(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a comment says is printed is printed."""
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")  # classes are pickled by their place
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    said: list[str] = []
    for block in blocks("python", page.read_text(encoding="utf-8")):
        exec(compile(block, page.name, "exec"), names)
        said += re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in said if line not in printed] == []


def beir_folder(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{i}", "text": f"article {i} about mail and keys"} for i in range(9)]
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    (folder / "corpus.jsonl").write_text(lines)
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "mail keys"}) + "\n")
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td3\t1\n")


def test_command_lines_run(tmp_path: Path) -> None:
    beir_folder(tmp_path / "beir-folder")
    commands = [
        block.replace("\\\n", " ") for block in blocks("bash") if block.startswith("hf-hardneg")
    ]
    assert commands
    for command in commands:
        _, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", "hf_hardneg", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "mined" / "hardneg" / "report.json").exists()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for block in blocks("bash"):
        for target in re.findall(r"^make (\w[\w-]*)", block, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_preset_is_in_the_table() -> None:
    named = set(re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE))
    assert set(PRESETS) == named


@pytest.mark.parametrize("page", ["README.md", *sorted(p.name for p in (ROOT / "docs").glob("*"))])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    if path.suffix != ".md":
        pytest.skip("not a page")
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
