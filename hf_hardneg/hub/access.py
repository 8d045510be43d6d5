"""Who may publish where: the token, the rights, the repository and the branch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hf_hardneg.errors import HubError, listing

if TYPE_CHECKING:
    from hf_hardneg.hub.remote import Identity, Remote
    from hf_hardneg.hub.retries import Retries

__all__ = ["Access", "check_name", "check_revision", "find_token"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PULL_REQUEST = re.compile(r"refs/pr/\d+")


def check_name(repository: str) -> None:
    """Refuse what is no name of a repository, before anything is asked of the Hub.

    Raises:
        HubError: it is not ``namespace/name``, or has characters that a name cannot have.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    expected = "expected NAMESPACE/NAME, as in 'alice/scifact-hard-negatives'"
    if repository.count("/") != 1:
        raise HubError(f"{repository!r} is no name of a repository; {expected}.")
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise HubError(f"{repository!r} is no name of a repository; {expected}: {error}") from None


def check_revision(revision: str | None, create_pr: bool) -> None:
    """Refuse a revision that nothing can be committed to.

    Raises:
        HubError: a commit instead of a branch, or a branch together with a pull request.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        raise HubError(f"revision={revision!r} is a commit; expected a branch to commit to.")
    if create_pr and revision not in (None, "main"):
        raise HubError(
            f"A pull request goes to main, and revision={revision!r} was given; leave out one."
        )


def find_token(token: str | None) -> str:
    """Return the access token: what was given, else that of ``huggingface_hub``.

    Raises:
        HubError: there is none, or it is no token. The message does not have it.
    """
    from huggingface_hub import get_token

    found = (token if token is not None else get_token() or "").strip()
    if not found:
        raise HubError(
            "No access token was found, and publishing needs one that may write. Log in with "
            "'hf auth login', or set HF_TOKEN."
        )
    if not re.fullmatch(r"[!-~]+", found):
        raise HubError(
            "The access token has blanks or characters that no token has (it is not shown here). "
            "Copy it anew from the settings of your account."
        )
    return found


class Access:
    """Makes sure that a push may happen, and has somewhere to go.

    Args:
        remote: the repository.
        retries: runs what may fail for a while.
    """

    def __init__(self, remote: Remote, retries: Retries) -> None:
        """Ask whose token it is."""
        self.remote = remote
        self.retries = retries
        self.identity: Identity = retries.run("asking whose token it is", remote.whoami)

    def check_rights(self, *, create_pr: bool) -> None:
        """Refuse a token that may not write there.

        Raises:
            HubError: a read-only token, or a namespace of somebody else.
        """
        who, namespace = self.identity, self.remote.name.partition("/")[0]
        if who.role == "read":
            raise HubError(
                f"The access token of {who.name!r} may only read. Make one that may write, in the "
                "settings of your account."
            )
        if create_pr or namespace == who.name:
            return
        if namespace not in who.organisations:
            orgs = listing(sorted(who.organisations))
            raise HubError(
                f"{self.remote.name!r} is in the namespace {namespace!r}; the access token is of "
                f"{who.name!r}, whose organisations are: {orgs}. Publish in one of these, or "
                "propose it there with create_pr (--pr)."
            )
        if who.organisations[namespace] == "read":
            raise HubError(
                f"{who.name!r} may only read in the organisation {namespace!r}. Ask there for the "
                "right to write, or propose it with create_pr (--pr)."
            )

    def ready(self, *, private: bool | None, revision: str, create_pr: bool) -> None:
        """Make sure that the repository and the branch are there.

        Raises:
            HubError: it is a model or a Space; its visibility is not the one asked for; a pull
                request in a repository that does not exist; the revision is a tag, or a pull
                request that does not exist.
        """
        self.retries.run("preparing the repository", lambda: self._repository(private, create_pr))
        if revision != "main":
            self.retries.run("preparing the branch", lambda: self._branch(revision))

    def check_repository(self, *, private: bool | None, create_pr: bool) -> bool:
        """Refuse a repository that :meth:`ready` would refuse; create none.

        Returns:
            Whether it exists.

        Raises:
            HubError: see :meth:`ready`.
        """
        return self.retries.run(
            "looking at the repository", lambda: self._there(private, create_pr)
        )

    def _repository(self, private: bool | None, create_pr: bool) -> None:
        if not self._there(private, create_pr):
            self.remote.create(private)
            self.retries.say(f"{self.remote.name}: created")

    def _there(self, private: bool | None, create_pr: bool) -> bool:
        """Return whether the repository exists; refuse one that cannot be published in."""
        name = self.remote.name
        state = self.remote.state()
        if state is None:
            kind = self.remote.other_kind()
            if kind is not None:
                raise HubError(f"{name!r} is a {kind}, and no data set. Take another name.")
            if create_pr:
                raise HubError(
                    f"There is no data set {name!r}, or this token does not see it; a pull request "
                    "needs one. Publish without create_pr (--pr) to create it."
                )
            return False
        if private is not None and private != state.private:
            is_now, asked = ("private", "public") if state.private else ("public", "private")
            raise HubError(
                f"{name!r} exists and is {is_now}; {asked} was asked for. Nothing was sent. Change "
                "its visibility in its settings, or leave private out."
            )
        return True

    def _branch(self, revision: str) -> None:
        if _PULL_REQUEST.fullmatch(revision):
            self.remote.head(revision)
            return
        branches, tags = self.remote.refs()
        if revision in tags:
            raise HubError(f"revision={revision!r} is a tag; expected a branch to commit to.")
        if revision not in branches:
            self.remote.create_branch(revision)
            self.retries.say(f"{self.remote.name}: branch {revision} created from main")
