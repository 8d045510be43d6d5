"""What the Hub on loopback answers: the requests of its real client that a push and a load make."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
import uuid
from typing import Any
from urllib.parse import quote, unquote

import hub_oauth
import yaml
from hub_handler import ORGANISATIONS
from hub_store import Discussion, Entry, HubFault, Repo, now
from hub_xet import XetRoutes

NAME = r"[\w.-]+/[\w.-]+"
API = re.compile(rf"/api/(models|datasets|spaces)/({NAME})(?:/(.*))?")
BATCH = re.compile(rf"/(?:(datasets|spaces)/)?({NAME})\.git/info/lfs/objects/batch")
FILE = re.compile(rf"/(?:(datasets|spaces)/)?({NAME})/resolve/(refs/pr/\d+|[^/]+)/(.+)")
FRONT = re.compile(r"\A\s*---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
SMALL = 10 << 20


def card_problems(text: str) -> list[str]:
    """Return what is wrong with the metadata of a card: a small part of the real rules."""
    front = FRONT.match(text)
    try:
        values = yaml.safe_load(front[1]) if front else {}
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(values, dict):
        return ["metadata must be a mapping"]
    licences = values.get("license", [])
    known = ("mit", "apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "unknown", "other")
    listed = licences if isinstance(licences, list) else [licences]
    found = [f'"license" {one!r} is not known' for one in listed if one not in known]
    configs = values.get("configs") or []
    if not isinstance(configs, list):
        return [*found, '"configs" must be a list']
    if any("config_name" not in one for one in configs):
        found.append('"configs[].config_name" is required')
    if sum(one.get("default") is True for one in configs) > 1:
        found.append('"configs" has more than one default')
    return found


class HubRoutes(XetRoutes):
    """Requests by their paths."""

    def route(self) -> None:
        if self.url == "/api/whoami-v2":
            self.whoami()
        elif self.url == "/api/validate-yaml":
            problems = card_problems(self.json()["content"])
            errors = [{"message": one} for one in problems]
            self.send_json({"errors": errors, "warnings": []}, 400 if errors else 200)
        elif self.settings.oauth is not None and self.url in hub_oauth.PATHS:
            self.settings.oauth.answer(self)
        elif self.url == "/api/repos/create":
            self.create_repo()
        elif found := API.fullmatch(self.url):
            self.repo_request(found[1], found[2], found[3] or "")
        elif found := BATCH.fullmatch(self.url):
            self.lfs_batch(found[1] or "models", found[2])
        elif self.url.startswith("/_lfs/"):
            self.lfs_request(*self.url.removeprefix("/_lfs/").split("/"))
        elif found := FILE.fullmatch(self.url):
            self.resolve_file(found[1] or "models", found[2], unquote(found[3]), unquote(found[4]))
        else:
            raise HubFault(404, f"not known here: {self.command} {self.url}")

    def whoami(self) -> None:
        user = self.user(needed=True)
        assert user is not None
        orgs = [
            {"type": "org", "name": name, "roleInOrg": members[user.name]}
            for name, members in ORGANISATIONS.items()
            if user.name in members
        ]
        auth = {"type": "access_token", "accessToken": {"displayName": "t", "role": user.role}}
        self.send_json({"type": "user", "name": user.name, "orgs": orgs, "auth": auth})

    def create_repo(self) -> None:
        asked, user = self.json(), self.user(needed=True)
        assert user is not None
        namespace, kind = asked.get("organization") or user.name, asked.get("type", "model") + "s"
        name = f"{namespace}/{asked['name']}"
        if self.role_in(namespace) != "write" or not self.may_create():
            raise HubFault(403, f'You don\'t have the rights to create under "{namespace}"')
        with self.store.lock:
            if (kind, name) in self.store.repos:
                there = self.web(self.store.repos[kind, name])
                self.send_json({"error": "You already created this repo", "url": there}, 409)
                return
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            repo = self.store.create(kind, name, private=private, author=user.name)
            if self.settings.oauth is not None and (grant := self.grant()):
                self.settings.oauth.created[kind, name] = grant.app
        self.send_json({"url": self.web(repo), "name": name})

    def web(self, repo: Repo) -> str:
        prefix = "" if repo.kind == "models" else f"{repo.kind}/"
        return f"{self.base}/{prefix}{repo.name}"

    def repo_request(self, kind: str, name: str, rest: str) -> None:
        what, _, raw = rest.partition("/")
        more = unquote(raw)
        if what in ("", "revision"):
            self.send_json(self.info(self.repo(kind, name), more or "main"))
        elif what == "tree":
            self.tree(self.repo(kind, name, content=True), raw)
        elif what == "paths-info":
            self.paths_info(self.repo(kind, name, content=True), more)
        elif what == "refs":
            self.refs(self.repo(kind, name))
        elif what == "commits":
            self.commits(self.repo(kind, name), more)
        elif what == "branch":
            self.branch(kind, name, more)
        elif what == "preupload":
            self.preupload(kind, name, more)
        elif what == "commit":
            self.commit(kind, name, more)
        elif what in ("xet-read-token", "xet-write-token"):
            self.xet_token(kind, name, what, more)
        elif what == "discussions":
            self.discussion_request(self.repo(kind, name), more)
        else:
            raise HubFault(404, f"not known here: {self.command} {self.url}")

    # Reading.

    def info(self, repo: Repo, revision: str) -> dict[str, Any]:
        commit = self.store.resolve(repo, revision)
        card: Any = {}
        if "README.md" in commit.tree:
            text = self.store.file_of(commit.tree["README.md"]).read_text(encoding="utf-8")
            front = FRONT.match(text)
            broken = card_problems(text)
            card = yaml.safe_load(front[1]) if front and not broken else {}
        return {
            "_id": "0" * 24, "id": repo.name, "author": repo.namespace, "sha": commit.sha,
            "lastModified": commit.date, "createdAt": commit.date, "private": repo.private,
            "gated": "auto" if repo.gated else False, "disabled": False, "tags": [],
            "downloads": 0, "likes": 0, "cardData": card,
            "siblings": [{"rfilename": path} for path in sorted(commit.tree)],
        }  # fmt: skip

    def entry(self, path: str, tree: dict[str, Entry]) -> dict[str, Any] | None:
        if path in tree:
            return tree[path].told(path)
        under = sorted((one, tree[one].oid) for one in tree if one.startswith(f"{path}/"))
        oid = hashlib.sha1(json.dumps(under).encode()).hexdigest()
        return {"type": "directory", "path": path, "oid": oid, "size": 0} if under else None

    def tree(self, repo: Repo, raw: str) -> None:
        revision, _, inside = raw.partition("/")
        commit, folder = self.store.resolve(repo, unquote(revision)), unquote(inside).strip("/")
        deep = self.asked.get("recursive", ["false"])[0].lower() in ("true", "1")
        names: set[str] = set()
        for path in commit.tree:
            if folder and not path.startswith(f"{folder}/"):
                continue
            parts = path.split("/")
            first = folder.count("/") + 1 if folder else 0
            ends = range(first + 1, len(parts) + 1) if deep else [first + 1]
            names |= {"/".join(parts[:end]) for end in ends}
        if folder and not names:
            raise HubFault(404, f"{folder} does not exist", "EntryNotFound")
        start, size = int(self.asked.get("cursor", ["0"])[0]), self.settings.page_size
        headers = {}
        if start + size < len(names):
            kept = "&".join(f"{key}={quote(values[0])}" for key, values in self.asked.items()
                            if key != "cursor")  # fmt: skip
            address = f"{self.base}{self.url}?{kept}&cursor={start + size}"
            headers["Link"] = f'<{address}>; rel="next"'
        page = sorted(names)[start : start + size]
        self.send_json([self.entry(name, commit.tree) for name in page], headers=headers)

    def paths_info(self, repo: Repo, revision: str) -> None:
        tree = self.store.resolve(repo, revision).tree
        found = [self.entry(path.strip("/"), tree) for path in self.json()["paths"]]
        self.send_json([one for one in found if one is not None])

    def refs(self, repo: Repo) -> None:
        told: dict[str, list[dict[str, str]]] = {
            "branches": [], "tags": [], "converts": [], "pullRequests": []
        }  # fmt: skip
        names = {"heads": "branches", "tags": "tags", "pr": "pullRequests"}
        for ref, sha in repo.refs.items():
            _, kind, name = ref.split("/", 2)
            told[names[kind]].append({"name": name, "ref": ref, "targetCommit": sha})
        self.send_json(told)

    def commits(self, repo: Repo, revision: str) -> None:
        found = self.store.history(self.store.resolve(repo, revision).sha)
        self.send_json(
            [
                {"id": one.sha, "title": one.title, "message": one.message, "date": one.date,
                 "authors": [{"user": one.author}]}
                for one in found
            ]
        )  # fmt: skip

    def resolve_file(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self.repo(kind, name, content=True)
        commit = self.store.resolve(repo, revision)
        entry = commit.tree.get(path)
        if entry is None:
            raise HubFault(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{entry.sha256 or entry.oid}"'}
        if entry.sha256:
            linked = {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
            headers |= linked | self.xet_headers(kind, name, commit.sha, entry)
        self.send_file(self.store.file_of(entry), headers)

    # Writing.

    def branch(self, kind: str, name: str, branch: str) -> None:
        with self.store.lock:
            repo = self.repo(kind, name, write=True)
            if f"refs/heads/{branch}" in repo.refs:
                raise HubFault(409, f"Reference already exists: {branch}")
            repo.refs[f"refs/heads/{branch}"] = self.store.resolve(repo, "main").sha
        self.send_json({})

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self.writable(kind, name, self.ref(revision))
        commit = self.store.resolve(repo, revision)
        rules = self.store.file_of(commit.tree[".gitattributes"]).read_text().splitlines()
        large = [rule.split()[0] for rule in rules if "filter=lfs" in rule]
        ignored = []
        if ".gitignore" in commit.tree:
            ignored = self.store.file_of(commit.tree[".gitignore"]).read_text().split()
        told = []
        for file in self.json()["files"]:
            path, last = file["path"], file["path"].rpartition("/")[2]
            is_large = any(fnmatch.fnmatch(last, rule) for rule in large) or file["size"] > SMALL
            entry = commit.tree.get(path)
            told.append(
                {"path": path, "uploadMode": "lfs" if is_large else "regular",
                 "shouldIgnore": any(fnmatch.fnmatch(last, rule) for rule in ignored),
                 "oid": (entry.sha256 or entry.oid) if entry else None}
            )  # fmt: skip
        self.send_json({"files": told, "commitOid": commit.sha})

    def lfs_batch(self, kind: str, name: str) -> None:
        asked, told = self.json(), []
        self.writable(kind, name, self.ref(asked.get("ref", {}).get("name", "main")))
        for file in asked["objects"]:
            one = {"oid": file["oid"], "size": file["size"]}
            if not self.store.path(file["oid"]).is_file():
                one["actions"] = self.upload_actions(file, "multipart" in asked["transfers"])
            told.append(one)
        self.send_json({"transfer": "basic", "objects": told})

    def upload_actions(self, file: dict[str, Any], multipart: bool) -> dict[str, Any]:
        ticket, limit = uuid.uuid4().hex, self.settings.multipart_over
        self.settings.pending[ticket] = file
        verify = {"href": f"{self.base}/_lfs/verify/{ticket}"}
        if not (multipart and file["size"] > limit):
            return {"upload": {"href": f"{self.base}/_lfs/put/{ticket}"}, "verify": verify}
        parts = {"chunk_size": str(limit)}
        for number in range(1, -(-file["size"] // limit) + 1):
            parts[str(number)] = f"{self.base}/_lfs/part/{ticket}/{number}"
        upload = {"href": f"{self.base}/_lfs/complete/{ticket}", "header": parts}
        return {"upload": upload, "verify": verify}

    def lfs_request(self, what: str, ticket: str, number: str = "") -> None:
        file = self.settings.pending.get(ticket)
        if file is None:
            raise HubFault(403, "Request has expired")
        if what == "part":
            self.store.path(f"{ticket}.{int(number):05d}").write_bytes(self.content)
            tag = {"ETag": hashlib.md5(self.content).hexdigest()}
            return self.send_json({}, headers=tag)
        if what == "verify":
            there = self.store.path(file["oid"]).is_file()
            return self.send_json({}, 200 if there else 404)
        content = self.content
        if what == "complete":
            parts = sorted(self.store.folder.glob(f"{ticket}.*"))
            content = b"".join(part.read_bytes() for part in parts)
        if len(content) != file["size"] or hashlib.sha256(content).hexdigest() != file["oid"]:
            raise HubFault(400, "LFS content does not match its oid or size")
        self.store.path(file["oid"]).write_bytes(content)
        return self.send_json({})

    def commit(self, kind: str, name: str, revision: str) -> None:
        lines = [json.loads(line) for line in self.content.splitlines() if line.strip()]
        head = next(line["value"] for line in lines if line["key"] == "header")
        ref = self.ref(revision)
        with self.store.lock:
            repo, user = self.writable(kind, name, ref), self.user(needed=True)
            assert user is not None
            if ref not in repo.refs:
                raise HubFault(400, f"{revision} is not a branch or a pull request")
            parent = repo.refs[ref]
            if head.get("parentCommit") not in (None, parent):
                raise HubFault(412, "A commit has happened since. Please refresh and try again.")
            tree = dict(self.store.commits[parent].tree)
            for line in lines:
                self.apply(line["key"], line["value"], tree)
            made = self.store.add(
                tree, parent, user.name, head["summary"], head.get("description", "")
            )
            repo.refs[ref] = made.sha
        told = {"success": True, "commitOid": made.sha,
                "commitUrl": f"{self.web(repo)}/commit/{made.sha}"}  # fmt: skip
        self.send_json(told)

    def apply(self, key: str, value: dict[str, Any], tree: dict[str, Entry]) -> None:
        """Do one operation of a commit to a tree."""
        path = value.get("path", "")
        if key == "file":
            content = base64.b64decode(value["content"])
            if path == "README.md" and (problems := card_problems(content.decode())):
                raise HubFault(400, f"Invalid metadata in README.md: {'; '.join(problems)}")
            tree[path] = self.store.keep(content)
        elif key == "lfsFile":
            self.take_from_xet(value["oid"])
            tree[path] = self.store.large(value["oid"])
        elif key == "deletedFile":
            if tree.pop(path, None) is None:
                raise HubFault(404, "A file with this name doesn't exist", "EntryNotFound")
        elif key != "header":
            raise HubFault(400, f"unknown operation {key}")

    # Pull requests.

    def discussion_request(self, repo: Repo, number: str) -> None:
        with self.store.lock:
            if number:
                found = [one for one in repo.discussions if str(one.number) == number]
                if not found:
                    raise HubFault(404, "Discussion not found")
                self.send_json(self.told(repo, found[0]))
            elif self.command == "POST":
                asked, user = self.json(), self.user(needed=True)
                assert user is not None
                if user.role == "read":
                    raise HubFault(403, "Forbidden: this token may only read")
                text = asked.get("description", "")
                one = Discussion(len(repo.discussions) + 1, asked["title"], text, user.name)
                repo.discussions.append(one)
                repo.refs[f"refs/pr/{one.number}"] = repo.refs["refs/heads/main"]
                self.send_json(self.told(repo, one))
            else:
                told = [self.told(repo, one) for one in repo.discussions]
                self.send_json({"discussions": told, "count": len(told), "start": 0})

    def told(self, repo: Repo, one: Discussion) -> dict[str, Any]:
        author = {"name": one.author}
        data = {"edited": False, "hidden": False, "latest": {"raw": one.text}}
        event = {"id": "0", "type": "comment", "createdAt": now(), "author": author, "data": data}
        return {
            "num": one.number, "title": one.title, "author": author, "createdAt": now(),
            "status": one.status, "isPullRequest": True, "diff": "", "events": [event],
            "repo": {"name": repo.name, "type": repo.kind.removesuffix("s")},
            "changes": {"base": "refs/heads/main", "mergeCommitId": None},
            "filesWithConflicts": [],
        }  # fmt: skip
