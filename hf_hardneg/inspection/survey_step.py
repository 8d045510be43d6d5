"""Going through all rows for the overview, and keeping what was found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from hf_hardneg.cache import content_hash, explain_os_error, staging_folder
from hf_hardneg.inspection.kept import kept_folder, set_key
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.survey import Survey, Used, all_rows, survey_of

__all__ = ["SurveyStep", "kept_survey", "needs_scores", "survey_path"]


def needs_scores(inspected: InspectedSet) -> bool:
    """Return whether hardness has to be worked out, because no report says it."""
    return inspected.report is None or inspected.report.hardness is None


def survey_path(inspected: InspectedSet, key: str = "") -> Path:
    """Return the file that keeps what all rows say.

    Args:
        inspected: the set.
        key: what :func:`hf_hardneg.inspection.kept.set_key` gave for it, if that is known.
    """
    pool = "" if inspected.pool is None else inspected.pool.rows._fingerprint
    name = content_hash(pool, needs_scores(inspected))
    return kept_folder(key or set_key(inspected.mined)) / f"survey-{name}.json"


def kept_survey(path: Path) -> Survey | None:
    """Return the survey that a file keeps; ``None`` where there is none that can be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["by_count"] = {int(name): rows for name, rows in values["by_count"].items()}
        values["most_used"] = tuple(Used(**one) for one in values["most_used"])
        return Survey(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # none was written, or by another version: it is made anew


class SurveyStep:
    """Surveys all rows; begins anew if it was interrupted.

    Args:
        path: of the file that keeps what was found.
        inspected: the set.

    Attributes:
        found: what was found, ``None`` until all rows have been looked at.
    """

    name = "the overview"

    def __init__(self, path: Path, inspected: InspectedSet) -> None:
        """Read what is kept."""
        self._path, self._inspected = path, inspected
        self.found = kept_survey(path)
        self._done = 0 if self.found is None else len(inspected)

    @property
    def done(self) -> int:
        """Rows that have been looked at."""
        # The last row counts when what was found is kept, so that whoever waits finds it.
        return self.of if self.found is not None else min(self._done, self.of - 1)

    @property
    def of(self) -> int:
        """Rows."""
        return len(self._inspected)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Look at all rows."""
        if self.found is not None:
            return
        found = survey_of(
            self._inspected, all_rows(self.of), scores=needs_scores(self._inspected),
            step=self._note, stopped=stopped,
        )  # fmt: skip
        if found is None:
            self._done = 0
            return
        text = json.dumps(asdict(found), allow_nan=False)
        try:
            with staging_folder(self._path.parent, self._path.name) as staging:
                (staging / "survey").write_text(text, encoding="utf-8")
                (staging / "survey").replace(self._path)
        except OSError as error:
            raise explain_os_error(error, self._path) from error
        finally:
            self.found = found

    def _note(self, rows: int) -> None:
        self._done = rows
