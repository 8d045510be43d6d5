"""Labels in a data set repository of whoever made them, committed every few minutes."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_hardneg.checks import above
from hf_hardneg.errors import HardNegError, HubError
from hf_hardneg.hub.access import Access, check_name, find_token
from hf_hardneg.hub.failures import explained
from hf_hardneg.hub.remote import Remote
from hf_hardneg.hub.retries import Retries, status_of
from hf_hardneg.label_lines import PATTERN, label_lines, pattern_of

if TYPE_CHECKING:
    from huggingface_hub import CommitScheduler

__all__ = ["LabelCommits"]

FOLDER = "labels"
EVERY = 5.0
TRIES = 4
LARGEST = 200_000_000
"""Bytes of labels that are fetched at most: some hundred thousand labels."""


class LabelCommits:
    """Commits the files of labels in a folder to a data set repository, again and again.

    A repository that is not there is created, private. Each annotator and process has a file of
    their own, which is only appended to, so nobody overwrites another's labels, and a commit holds
    whole lines: :attr:`lock` is held while the files are looked at, and whoever appends holds it
    too (``LabelBook(..., lock=commits.lock)``). What the repository has already is fetched first:
    a Space that was built anew knows its labels again.

    Nothing is lost while the Hub cannot be reached: the labels stay in the folder, and the next
    commit has them.

    Args:
        repository: ``namespace/name`` of a data set.
        folder: of the labels.
        token: an access token that may write there. It stands in no message.
        every: minutes between two commits.
        pattern: which files; where several people share the folder, those of the token's owner,
            see :func:`hf_hardneg.label_lines.pattern_of`. Then whatever is fetched must be said by
            that person: the repository is theirs, and nobody speaks for another in it.
        endpoint: address of the Hub. Default: that of ``huggingface_hub`` (``HF_ENDPOINT``).

    Attributes:
        fetched: how many files were fetched.
        problem: why the last commit failed, without the token; empty if it did not.

    Raises:
        HubError: no name of a repository, a model or a Space of that name, a token that the Hub
            does not know or that may not write there, or labels in the repository that are none,
            are another's, or are more than 200 MB.
        ParameterError: ``every`` is not above 0.
        OutputError: the folder cannot be written.
    """

    def __init__(
        self,
        repository: str,
        folder: str | os.PathLike[str],
        token: str,
        every: float = EVERY,
        *,
        pattern: str = PATTERN,
        endpoint: str | None = None,
    ) -> None:
        """Make sure of the repository, fetch what it has, and begin."""
        above("label commits", "every", every, 0)
        check_name(repository)
        self.repository, self.pattern = repository, pattern
        self.problem = ""
        self.folder = Path(folder).expanduser().absolute()
        self._token = find_token(token)
        self._remote = Remote(repository, self._token, endpoint)
        try:
            self._ready()
            self.fetched = self._fetch()
            self._scheduler = self._started(every)
        except Exception as error:
            raise self._clear(error) from None

    def _clear(self, error: Exception) -> Exception:
        """Return an error without the token."""
        if isinstance(error, HardNegError) and not isinstance(error, HubError):
            return error
        if status_of(error) == 409:
            return HubError(
                f"{self.repository!r} exists, and this sign-in may not use it: it may use the "
                "repositories that it has created. Take another name."
            )
        return explained(error, self.repository, self._token) or error

    def _ready(self) -> None:
        access = Access(self._remote, Retries(tries=TRIES))
        access.check_rights(create_pr=False)
        access.ready(private=None if self._remote.state() else True, revision="main",
                     create_pr=False)  # fmt: skip

    def _fetch(self) -> int:
        """Write the files that the repository has and the folder has not; return how many."""
        retries = Retries(tries=TRIES)
        commit = retries.run("looking at the labels", lambda: self._remote.head("main"))
        files = retries.run("looking at the labels", lambda: self._remote.files(commit))
        wanted = {}
        for path in sorted(files):
            home, _, name = path.rpartition("/")
            if home != FOLDER or not fnmatchcase(name, self.pattern):
                continue
            if not (self.folder / name).exists():
                wanted[path] = name
        size = sum(files[path].size for path in wanted)
        if size > LARGEST:
            raise HubError(
                f"{self.repository!r} has {size / 1e6:,.0f} MB of labels, more than "
                f"{LARGEST / 1e6:,.0f} MB. Take another repository."
            )
        for path, name in wanted.items():
            content = retries.run("fetching labels", partial(self._remote.read, path, commit))
            self._keep(name, content)
        return len(wanted)

    def _keep(self, name: str, content: bytes) -> None:
        """Write a file once it is sure that it holds labels."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".fetched-") as scratch:
            path = Path(scratch) / name
            # Whoever reads the folder takes a line without its end for one that is being written.
            path.write_bytes(content if content.endswith(b"\n") else content + b"\n")
            try:
                people = {row.annotator for row in label_lines(path)}
            except HardNegError as error:
                reason = str(error).replace(f"{scratch}{os.sep}", "")
                raise HubError(
                    f"{self.repository!r} has a file of labels that is none: {reason} Mend it "
                    "there, or take another repository."
                ) from None
            others = sorted(who for who in people if self.pattern not in (PATTERN, pattern_of(who)))
            if others:
                raise HubError(
                    f"{self.repository!r} has labels of {others[0][:100]!r} in the file {name}, "
                    "and it may only bring labels of its owner. Remove them there, or take another "
                    "repository."
                )
            os.replace(path, self.folder / name)

    def _started(self, every: float) -> CommitScheduler:
        from huggingface_hub import CommitScheduler

        commits = self

        class Telling(CommitScheduler):
            """Says how the last commit went, and lets no token into the log."""

            def push_to_hub(self) -> Any:  # noqa: ANN401
                try:
                    made = super().push_to_hub()
                except Exception as error:
                    clear = commits._clear(error)
                    commits.problem = str(clear)
                    if commits._token in str(error):
                        raise clear from None
                    raise
                commits.problem = ""
                return made

        return Telling(
            repo_id=self.repository,
            repo_type="dataset",
            folder_path=self.folder,
            path_in_repo=FOLDER,
            every=every,
            private=True,
            allow_patterns=[self.pattern],
            hf_api=self._remote.api,
        )

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held while the files are looked at for a commit."""
        return self._scheduler.lock

    def push(self) -> None:
        """Commit now what has been added since the last commit.

        Raises:
            HubError: it cannot be committed; the labels stay in the folder.
        """
        try:
            Retries(tries=TRIES).run(
                "committing labels", lambda: self._scheduler.trigger().result()
            )
        except Exception as error:
            clear = self._clear(error)
            if isinstance(clear, HubError):
                raise HubError(
                    f"{clear} The labels are still in their folder; nothing is lost."
                ) from None
            raise clear from None

    def stop(self) -> None:
        """Commit what is left, and end.

        Raises:
            HubError: as :meth:`push`; it has ended all the same.
        """
        try:
            self.push()
        finally:
            self._scheduler.stop()
