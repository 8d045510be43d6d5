"""One data set repository on the Hub: what is read of it, and the one commit that is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hf_hardneg.hub.publication import Content

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

__all__ = ["Identity", "Remote", "RemoteFile", "State"]

KIND = "dataset"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is.

    Attributes:
        name: of the user.
        organisations: name and role ("read", "write", ...; None if not told).
        role: of the token: "read", "write", "fineGrained", ...; None if not told.
    """

    name: str
    organisations: Mapping[str, str | None]
    role: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a repository that exists."""

    private: bool


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the repository: Git's hash of it or its pointer, SHA-256 of a large one, bytes."""

    oid: str
    sha256: str | None
    size: int = 0

    def holds(self, content: Content) -> bool:
        """Return whether it is this content."""
        if self.sha256 is not None:
            return self.sha256 == content.sha256
        return self.oid == content.git_oid


@dataclass
class Remote:
    """A data set repository, reached with a token.

    Args:
        name: ``namespace/name``.
        token: an access token.
        endpoint: address of the Hub. Default: that of ``huggingface_hub`` (``HF_ENDPOINT``).
    """

    name: str
    token: str = field(repr=False)
    endpoint: str | None = None
    _operations: dict[str, CommitOperationAdd] = field(default_factory=dict, repr=False)

    @property
    def api(self) -> HfApi:
        """The client."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token, library_name="hf-hardneg")

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"{self.api.endpoint}/datasets/{self.name}"

    def whoami(self) -> Identity:
        """Ask whose token it is."""
        told = self.api.whoami()
        orgs = {one["name"]: one.get("roleInOrg") for one in told.get("orgs") or []}
        token = (told.get("auth") or {}).get("accessToken") or {}
        return Identity(told["name"], orgs, token.get("role"))

    def state(self) -> State | None:
        """Return what is known of the repository; None if there is none that the token sees."""
        info = self._info(KIND)
        return None if info is None else State(bool(info.private))

    def other_kind(self) -> str | None:
        """Return "model" or "Space" if a repository of the name is one, else None."""
        kinds = {"model": "model", "space": "Space"}
        return next((said for kind, said in kinds.items() if self._info(kind) is not None), None)

    def _info(self, kind: str) -> Any:  # noqa: ANN401
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        try:
            return self.api.repo_info(self.name, repo_type=kind)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None

    def create(self, private: bool | None) -> None:
        """Create it; status 409 if it is there already, or is being made."""
        self.api.create_repo(self.name, repo_type=KIND, private=private)

    def refs(self) -> tuple[set[str], set[str]]:
        """Return the names of its branches, and of its tags."""
        refs = self.api.list_repo_refs(self.name, repo_type=KIND)
        return {one.name for one in refs.branches}, {one.name for one in refs.tags}

    def create_branch(self, branch: str) -> None:
        """Create a branch from main; status 409 if it is there already."""
        self.api.create_branch(self.name, repo_type=KIND, branch=branch)

    def head(self, revision: str) -> str:
        """Return the commit that a branch or a pull request is at."""
        return str(self.api.repo_info(self.name, repo_type=KIND, revision=revision).sha)

    def files(self, commit: str) -> dict[str, RemoteFile]:
        """Return every file of a commit by its path."""
        from huggingface_hub.hf_api import RepoFile

        entries = self.api.list_repo_tree(
            self.name, recursive=True, revision=commit, repo_type=KIND
        )
        return {
            one.path: RemoteFile(one.blob_id, one.lfs.sha256 if one.lfs else None, one.size)
            for one in entries
            if isinstance(one, RepoFile)
        }

    def read(self, path: str, commit: str) -> bytes:
        """Return the bytes of a file, past every cache."""
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            get_session,
            hf_raise_for_status,
        )

        url = f"{self.url}/resolve/{commit}/{quote(path)}"
        answer = get_session().get(url, headers=build_hf_headers(token=self.token))
        hf_raise_for_status(answer)
        return bytes(answer.content)

    def commit(
        self,
        changed: Mapping[str, Content],
        deleted: Sequence[str],
        *,
        parent: str,
        revision: str,
        message: str,
        description: str,
    ) -> str:
        """Upload what is large, then commit everything on top of ``parent``; return the commit.

        Large files that the Hub has are not sent again; nor are those that an earlier call sent.
        """
        from huggingface_hub import CommitOperationDelete

        operations: list[Any] = [self._operation(path, changed[path]) for path in sorted(changed)]
        operations += [CommitOperationDelete(path, is_folder=False) for path in sorted(deleted)]
        made = self.api.create_commit(
            self.name,
            operations,
            commit_message=message,
            commit_description=description,
            repo_type=KIND,
            revision=revision,
            parent_commit=parent,
        )
        return str(made.oid)

    def _operation(self, path: str, content: Content) -> CommitOperationAdd:
        """Return the addition of a file: the one of an earlier try, which knows what was sent."""
        from huggingface_hub import CommitOperationAdd

        if isinstance(content.source, bytes):
            return CommitOperationAdd(path, content.source)
        if path not in self._operations:
            made = CommitOperationAdd(path, str(content.source))
            # It has been taken already; without it the client reads the file once more.
            made.upload_info.sha256 = bytes.fromhex(content.sha256)
            self._operations[path] = made
        return self._operations[path]

    def commit_with(self, mark: str, revision: str, since: Iterable[str]) -> str | None:
        """Return the commit after ``since`` whose message holds ``mark``, or None."""
        ends = set(since)
        for one in self.api.list_repo_commits(self.name, repo_type=KIND, revision=revision):
            if one.commit_id in ends:
                return None
            if mark in one.message or mark in one.title:
                return str(one.commit_id)
        return None

    def pull_request(self, author: str, title: str, mark: str) -> tuple[str, str] | None:
        """Return reference and address of the author's open pull request that holds ``mark``."""
        for one in self.api.get_repo_discussions(self.name, repo_type=KIND):
            ours = one.is_pull_request and one.author == author and one.title == title.strip()
            if ours and one.status in ("open", "draft"):
                details = self.api.get_discussion_details(self.name, one.num, repo_type=KIND)
                texts = (getattr(event, "content", "") for event in details.events)
                if any(mark in text for text in texts):
                    return str(details.git_reference), details.url
        return None

    def open_pull_request(self, title: str, description: str) -> tuple[str, str]:
        """Open a pull request against main; return its reference and address."""
        made = self.api.create_pull_request(
            self.name, title=title, description=description, repo_type=KIND
        )
        return str(made.git_reference), made.url
