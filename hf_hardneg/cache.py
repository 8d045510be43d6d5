"""Folders on disk that are whole or absent, whoever is killed and however many build at once."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from hf_hardneg.errors import OutputError

__all__ = [
    "cache_root",
    "content_hash",
    "explain_os_error",
    "publish",
    "published_folder",
    "remember",
    "remembered",
    "staging_folder",
]

CACHE_VARIABLE = "HF_HARDNEG_CACHE"
DONE = "complete.json"


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds corpora, indexes, pools and pair scores.

    Args:
        cache_dir: a folder of the caller's choice. Default: the environment variable
            ``HF_HARDNEG_CACHE``, else ``hardneg`` in the Hugging Face cache (``HF_HOME``), else
            ``~/.cache/huggingface/hardneg``.
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser().absolute()
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(base).expanduser().absolute() / "hardneg"


def content_hash(*parts: object) -> str:
    """Return a stable 128-bit hash, 32 hexadecimal digits, of values that JSON can write."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return xxhash.xxh3_128_hexdigest(text.encode())


def explain_os_error(error: OSError, path: Path) -> OutputError:
    """Turn an error of the operating system into ours, with what to do about it."""
    # NumPy reports a write cut short without the number of the error.
    cut_short = error.errno is None and " requested and " in str(error)
    if cut_short or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = (
            "The disk, or your share of it, is full: free some space or choose another folder, "
            "then run again."
        )
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "The folder cannot be written: choose another with --output or --cache-dir."
    else:
        advice = "Nothing that was there before has been changed."
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {str(path)!r}: {reason}. {advice}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into ours."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise explain_os_error(error, path) from error


@contextmanager
def staging_folder(parent: Path, name: str = "staging") -> Iterator[Path]:
    """Give a fresh hidden folder in ``parent``; whatever is left of it afterwards is removed.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    with _explained(parent / name):
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def publish(staging: Path, final: Path) -> None:
    """Move a finished folder into place by one rename, so that it is whole or absent.

    When another process was first, its result stands. A folder of that name without the mark of
    a finished result was left by something else and is replaced.
    """
    (staging / DONE).write_text("{}\n")
    if (final / DONE).exists():
        return
    try:
        os.rename(staging, final)
    except OSError:
        if not (final / DONE).exists():
            shutil.rmtree(final, ignore_errors=True)
            os.rename(staging, final)


def published_folder(final: Path, build: Callable[[Path], Any]) -> Path:
    """Return ``final``, built once by ``build(staging_folder)`` if it is not there yet.

    Safe when several processes ask at once: one builds, the others wait. A process that is
    killed releases the lock and leaves nothing that could be taken for a result.
    """
    if (final / DONE).exists():
        return final
    with _explained(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(final) + ".lock"):
            if not (final / DONE).exists():
                _sweep(final)
                with staging_folder(final.parent, final.name) as staging:
                    build(staging)
                    publish(staging, final)
    return final


def remember(memo: Path, folder: Path) -> None:
    """Note in the file ``memo`` which folder beside its own a known input became.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    with staging_folder(memo.parent, memo.name) as staging:
        (staging / "note").write_text(folder.name)
        (staging / "note").replace(memo)


def remembered(memo: Path) -> Path | None:
    """Return the published folder that :func:`remember` noted, if it is still there."""
    if not memo.exists():
        return None
    folder = memo.parent.parent / memo.read_text().strip()
    return folder if (folder / DONE).exists() else None


def _sweep(final: Path) -> None:
    """Remove what killed builders of ``final`` left; whoever calls holds the lock."""
    for left in final.parent.glob(f".{glob.escape(final.name)}.????????"):
        shutil.rmtree(left, ignore_errors=True)
