"""Publish a folder on the Hub: one commit that is there whole or not at all, whatever fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hf_hardneg.errors import HubError
from hf_hardneg.hub.access import Access, check_name, check_revision, find_token
from hf_hardneg.hub.card import check_card
from hf_hardneg.hub.card_merging import merge_cards
from hf_hardneg.hub.changes import Changes, changes, check_there
from hf_hardneg.hub.failures import explained
from hf_hardneg.hub.publication import CARD, Content, Publication
from hf_hardneg.hub.remote import Remote, RemoteFile
from hf_hardneg.hub.retries import Retries

__all__ = ["Pushed", "check_access", "merge_cards", "push_folder"]

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        repository: ``namespace/name``.
        url: address of its page, or of the branch's.
        commit: the commit that holds the set.
        revision: branch, or reference of the pull request, that it is on.
        pull_request: address of the pull request, if there is one.
        tries: 1 where nothing failed; each failure that was borne adds 1.
        unchanged: the repository held exactly this already, and no commit was made.
    """

    repository: str
    url: str
    commit: str
    revision: str
    pull_request: str | None
    tries: int
    unchanged: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can have it."""
        return asdict(self)


def push_folder(
    folder: str | os.PathLike[str],
    repository: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    append: bool = False,
    token: str | None = None,
    message: str | None = None,
    say: Callable[[str], object] | None = None,
    waits: Callable[[int], float] | None = None,
    endpoint: str | None = None,
    check: Callable[[str], list[str]] | None = None,
) -> Pushed:
    """Publish a folder in one commit: data, card, recipe, report and plots.

    Every try reads the repository anew, works out what differs, and commits that on top of the
    commit that it read, so that a change by others in between is never lost. Statuses 408, 409,
    412, 425, 429 (after the time that the server names) and from 500 on, time-outs and dropped
    connections are tried again, ten times in all. When the answer to a commit was lost, the next
    try finds the commit and makes no second one. What the repository holds already is not sent.

    A repository that does not exist is created. In one that does, configs of ours are replaced:
    shards under ``data/CONFIG/`` that the new version lacks go in the same commit. All other files
    and configs stay, and the cards are merged (:func:`merge_cards`).

    Args:
        folder: as ``hf-hardneg run`` writes it.
        repository: ``namespace/name`` of a data set; the namespace is the user of the token, or an
            organisation that they may write to.
        private: who sees a repository that is created. Default: as the Hub has it for the
            namespace. For one that exists it must be as it is.
        revision: a branch, created from ``main`` if it is not there. Default ``main``.
        create_pr: open one pull request against ``main`` instead; in a repository of anyone. One
            of an earlier try with the same content is gone on with.
        append: put ours beside a card and files that hf-hardneg did not write.
        token: an access token. Default: that of ``huggingface_hub`` (``HF_TOKEN``, or the login).
        message: title of the commit and of the pull request.
        say: is told what happens; never of the token.
        waits: seconds to wait after the n-th failure. Default: growing from 2 to 60.
        endpoint: address of the Hub. Default: ``HF_ENDPOINT``, else huggingface.co.
        check: returns what the Hub would refuse in a card. Default:
            ``hf_hardneg.hub.card.check_card``.

    Raises:
        HubError: the folder or the name cannot be published; no token, or one without the rights;
            a model or a Space of that name; a card that is not ours without ``append``; the Hub
            refused, or did not answer within the tries.
    """
    check_name(repository)
    check_revision(revision, create_pr)
    secret = find_token(token)
    failure: HubError | None = None
    try:
        publication = Publication.read(folder, secret)
        look = check or check_card
        problems = look(publication.card)
        if problems:
            raise HubError(
                f"The Hub would refuse {CARD}: {'; '.join(problems)}. Mend it; nothing was sent."
            )
        remote = Remote(repository, secret, endpoint)
        push = _Push(
            publication, remote, Retries(waits, _redacting(say, secret)), look,
            revision or MAIN, append, _title(message, publication),
        )  # fmt: skip
        access = Access(remote, push.retries)
        access.check_rights(create_pr=create_pr)
        access.ready(private=private, revision=push.revision, create_pr=create_pr)
        return push.as_pull_request(access.identity.name) if create_pr else push.run()
    except Exception as error:
        failure = explained(error, repository, secret)
        if failure is None:
            raise
    # Not inside the handler: the error handled there would be kept behind ours.
    raise failure


def check_access(
    repository: str,
    *,
    configs: Sequence[str] = (),
    private: bool | None = None,
    create_pr: bool = False,
    append: bool = False,
    token: str | None = None,
    say: Callable[[str], object] | None = None,
    waits: Callable[[int], float] | None = None,
    endpoint: str | None = None,
) -> None:
    """Refuse a repository, or a token, with which :func:`push_folder` could not publish.

    For whoever works long before there is something to publish. Nothing is created.

    Args:
        repository: ``namespace/name`` of a data set.
        configs: names of what is going to be published, on ``main``.
        private: who is to see it.
        create_pr: it is to be a pull request.
        append: put ours beside a card and files that hf-hardneg did not write.
        token: an access token. Default: that of ``huggingface_hub``.
        say: is told what happens; never of the token.
        waits: seconds to wait after the n-th failure. Default: growing from 2 to 60.
        endpoint: address of the Hub. Default: ``HF_ENDPOINT``, else huggingface.co.

    Raises:
        HubError: no name of a data set; no token, or one without the rights; a model or a Space of
            that name; another visibility; a pull request where there is no repository; a card or
            files that are not ours without ``append``; data in the place of ours; no answer.
    """
    check_name(repository)
    secret = find_token(token)
    failure: HubError | None = None
    try:
        retries = Retries(waits, _redacting(say, secret))
        remote = Remote(repository, secret, endpoint)
        access = Access(remote, retries)
        access.check_rights(create_pr=create_pr)
        if access.check_repository(private=private, create_pr=create_pr):
            _, files, card = retries.run("reading the repository", lambda: _there(remote, MAIN))
            check_there(configs, files, card, append=append)
    except Exception as error:
        failure = explained(error, repository, secret)
        if failure is None:
            raise
    if failure is not None:
        raise failure


def _there(remote: Remote, revision: str) -> tuple[str, Mapping[str, RemoteFile], str | None]:
    """Return the head of a branch, its files, and the text of its card."""
    head = remote.head(revision)
    files = remote.files(head)
    if CARD not in files:
        return head, files, None
    try:
        return head, files, remote.read(CARD, head).decode()
    except UnicodeDecodeError as error:
        raise HubError(f"The card in the repository is not UTF-8: {error}.") from error


def _redacting(say: Callable[[str], object] | None, token: str) -> Callable[[str], object]:
    if say is None:
        return lambda _: None
    return lambda text: say(text.replace(token, "[token]"))


def _title(message: str | None, publication: Publication) -> str:
    """Return the title of the commit: one line."""
    title = " ".join((message or "").split())
    return title or f"Publish {', '.join(publication.configs)} with hf-hardneg"


@dataclass
class _Push:
    """One push under way.

    Attributes:
        parents: the commits that something was committed on top of, without an answer that said
            how it went. Not empty: the commit may be there.
    """

    publication: Publication
    remote: Remote
    retries: Retries
    check: Callable[[str], list[str]]
    revision: str
    append: bool
    title: str
    pull_request: str | None = None
    parents: list[str] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """Line by which the commit or the pull request of this content is known again."""
        return f"hf-hardneg-push: {self.publication.key(self.remote.name, self.title)}"

    @property
    def description(self) -> str:
        """Text below the title."""
        return f"Published with hf-hardneg.\n\n{self.mark}"

    def run(self) -> Pushed:
        """Bring the content there, and make sure that it is."""
        commit, made = self.retries.run("publishing", self._try)
        return self._pushed(commit, unchanged=not made)

    def as_pull_request(self, author: str) -> Pushed:
        """Do so on a pull request; none is opened where nothing differs."""
        head, found = self.retries.run("reading the repository", self._read)
        if found.none:
            return self._pushed(head, unchanged=True)
        reference, self.pull_request = self.retries.run(
            "opening the pull request", lambda: self._open(author)
        )
        self.retries.say(f"pull request: {self.pull_request}")
        self.revision = reference
        return self.run()

    def _open(self, author: str) -> tuple[str, str]:
        """Return the pull request of this content: one that is open, else a new one."""
        found = self.remote.pull_request(author, self.title, self.mark)
        return found or self.remote.open_pull_request(self.title, self.description)

    def _try(self) -> tuple[str, bool]:
        """Return the commit that holds the content, and whether this push made it."""
        if self.parents:
            landed = self.remote.commit_with(self.mark, self.revision, self.parents)
            if landed is not None:
                return landed, True
        head, found = self._read()
        if found.none:
            return head, bool(self.parents)
        self._tell(found)
        self.parents.append(head)
        commit = self.remote.commit(
            found.changed, found.deleted, parent=head, revision=self.revision,
            message=self.title, description=self.description,
        )  # fmt: skip
        self.retries.run("looking at what has arrived", lambda: self._verify(commit, found))
        return commit, True

    def _read(self) -> tuple[str, Changes]:
        """Return the head, and what has to change on top of it."""
        head, files, card = _there(self.remote, self.revision)
        return head, changes(self.publication, files, card, append=self.append, check=self.check)

    def _tell(self, found: Changes) -> None:
        size = sum(content.size for content in found.changed.values())
        deleted = f", {len(found.deleted)} to delete" if found.deleted else ""
        self.retries.say(
            f"{self.remote.name}, {self.revision}: {len(found.changed)} of {len(found.expected)} "
            f"files to send, {_size(size)}{deleted}"
        )

    def _verify(self, commit: str, found: Changes) -> None:
        """Make sure that a commit holds everything: a .gitignore there may leave files out."""
        files = self.remote.files(commit)

        def there(path: str, content: Content) -> bool:
            return path in files and files[path].holds(content)

        missing = [path for path, content in found.expected.items() if not there(path, content)]
        if missing:
            raise HubError(
                f"Commit {commit} lacks {', '.join(missing[:5])} of {len(missing)} files that were "
                "sent. A .gitignore in the repository may name them; take them out of it, and "
                "publish again."
            )

    def _pushed(self, commit: str, *, unchanged: bool) -> Pushed:
        at = "" if self.revision == MAIN else f"/tree/{self.revision}"
        url = self.remote.url + at
        said = "nothing differs, no commit was made" if unchanged else f"published, commit {commit}"
        self.retries.say(f"{url}: {said}")
        return Pushed(
            self.remote.name, url, commit, self.revision, self.pull_request, self.retries.tries,
            unchanged,
        )  # fmt: skip


def _size(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"
