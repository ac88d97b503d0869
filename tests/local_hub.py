"""What the real Hub clients send -> repositories in a folder: a Hub on 127.0.0.1.

    hub = LocalHub(folder).start()               # HF_ENDPOINT=hub.url  HF_HUB_DISABLE_XET=1
    hub.tokens["hf_abc"] = Account("user", "write")
    hub.fail("POST .*/commit/", 503, times=2)    # the next two commits are answered 503
    ...
    assert hub.requests("PUT /objects/")         # bytes did travel

It serves what this project's calls need of huggingface_hub 2.4, datasets 5.2 and transformers 5.23, and no more: an
unknown route is 404, a bug of its own 501 (which the clients do not retry). As on the real Hub, large files are
on another host, here another port. Endpoints: https://huggingface.co/docs/hub/api, and the clients' source.
"""

import base64
import hashlib
import io
import json
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub_cards import REPO_ID, card_errors, card_metadata

CUT = 0  # instead of a status: the connection is cut in the middle of the request's body
LOST = -1  # the connection is cut when the request was served
KINDS = ("models", "datasets", "spaces")
# Of the .gitattributes that the Hub puts into a new repository; what is binary or above 10 MB becomes LFS as well.
LFS_SUFFIXES = (".parquet", ".safetensors", ".bin", ".pt", ".npy", ".npz", ".arrow", ".gz", ".zip")
LFS_BYTES = 10_000_000
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class Account(NamedTuple):
    user: str
    role: str  # of the token: "read", "write" or "fineGrained"
    orgs: dict[str, str] = {}  # name -> "no_access", "read", "contributor" or "write"
    scoped: list[dict] = []  # of a fine-grained token

    def may_write(self, namespace: str, creator: str | None = None) -> bool:
        """Also to create a repository there, unless it has a creator."""
        in_org = self.orgs.get(namespace) == "write"
        in_org |= self.orgs.get(namespace) == "contributor" and creator in (None, self.user)
        return self.role != "read" and (namespace == self.user or in_org)


class Request(NamedTuple):
    """One line of the log."""

    method: str
    path: str  # unquoted, without the query
    status: int  # or CUT, LOST


@dataclass
class Fault:
    pattern: str
    status: int  # or CUT, LOST
    times: int
    retry_after: int | None = None


class HubError(Exception):
    """An answer of 400 or more."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **headers}


@dataclass
class Reply:
    body: Any = field(default_factory=dict)  # bytes or a file go as they are, the rest as JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Repository:
    """A repository as it stands in its JSON file: commits, and branches."""

    kind: str
    id: str
    private: bool
    branches: dict[str, str]
    commits: dict[str, dict]  # sha -> parent, title, author, files: {path: {oid, size, lfs}}

    def resolve(self, revision: str) -> str:
        """The commit of a branch, or of a commit."""
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    def files(self, revision: str = "main") -> dict[str, dict]:
        return self.commits[self.resolve(revision)]["files"]

    def history(self, revision: str = "main") -> list[dict]:
        """Commits, newest first; the last one made the repository."""
        found = []
        sha = self.resolve(revision)
        while sha:
            found.append({"id": sha, **self.commits[sha]})
            sha = self.commits[sha]["parent"]
        return found

    def add_commit(self, branch: str, files: dict[str, dict], title: str, author: str) -> str:
        commit = {"parent": self.branches.get(branch), "title": title, "author": author}
        commit["files"] = dict(sorted(files.items()))
        sha = hashlib.sha1(f"{json.dumps(commit)}{uuid.uuid4()}".encode()).hexdigest()
        self.commits[sha] = commit
        self.branches[branch] = sha
        return sha


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, file: dict | None) -> dict:
    """A file or a folder as the tree lists it."""
    if file is None:
        return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
    entry = {"type": "file", "oid": file["oid"], "size": file["size"], "path": path}
    if file["lfs"]:
        lfs = {"oid": file["oid"], "size": file["size"], "pointerSize": 130}
        entry |= {"oid": _git_sha1(file["oid"].encode()), "lfs": lfs}
    return entry


def _with_folders(files: dict[str, dict]) -> dict[str, dict | None]:
    folders = {str(parent) for path in files for parent in Path(path).parents} - {"."}
    return dict.fromkeys(sorted(folders)) | files


class LocalHub:
    """A Hub on 127.0.0.1 whose repositories and files live in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tokens: dict[str, Account] = {}
        self.log: list[Request] = []
        self.lock = threading.RLock()  # whoever reads a repository to change it holds it until the change is written
        self._faults: list[Fault] = []
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        self._servers = [_Server(self), _Server(self)]
        self.url, self.cdn_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def start(self) -> "LocalHub":
        """Serve until the process ends."""
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    @contextmanager
    def emptied(self, folder: Path) -> Iterator[None]:
        """Within it, a Hub without users and repositories; after it, the one of before."""
        before = self.folder, self.tokens, self.log, self._faults
        (folder / "objects").mkdir(parents=True)
        self.folder, self.tokens, self.log, self._faults = folder, {}, [], []
        try:
            yield
        finally:
            self.folder, self.tokens, self.log, self._faults = before

    def requests(self, pattern: str) -> list[Request]:
        """The requests so far whose "METHOD path" matches, from its beginning."""
        return [request for request in self.log if re.match(pattern, f"{request.method} {request.path}")]

    def fail(self, pattern: str, status: int, times: int, retry_after: int | None = None) -> None:
        """Answers the next `times` requests whose "METHOD path" matches with `status`, CUT or LOST."""
        self._faults.append(Fault(pattern, status, times, retry_after))

    def stop_failing(self) -> None:
        self._faults.clear()

    def take_fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self._faults:
                if fault.times and re.match(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None

    def object(self, oid: str) -> Path:
        """Where the bytes with this git sha1 (regular files) or sha256 (LFS) are."""
        return self.folder / "objects" / oid

    def read(self, kind: str, repo_id: str, path: str, revision: str = "main") -> bytes:
        return self.object(self.repository(kind, repo_id).files(revision)[path]["oid"]).read_bytes()

    def repository(self, kind: str, repo_id: str) -> Repository:
        """Raises HubError where there is none."""
        try:
            return Repository(**json.loads(self._repository_file(kind, repo_id).read_bytes()))
        except FileNotFoundError:
            raise HubError(404, "Repository not found", "RepoNotFound") from None

    def save(self, repository: Repository) -> None:
        file = self._repository_file(repository.kind, repository.id)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.write(file, json.dumps(asdict(repository)).encode())

    def write(self, file: Path, content: bytes) -> None:
        """Whoever reads the file meanwhile reads the old one or the new one."""
        part = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
        part.write_bytes(content)
        os.replace(part, file)

    def store(self, content: bytes) -> dict:
        """A regular file, as commits hold it."""
        oid = _git_sha1(content)
        self.write(self.object(oid), content)
        return {"oid": oid, "size": len(content), "lfs": False}

    def object_url(self, oid: str) -> str:
        return f"{self.cdn_url}/objects/{oid}"

    def _repository_file(self, kind: str, repo_id: str) -> Path:
        if not REPO_ID.fullmatch(repo_id):
            raise HubError(404, f"Invalid repository name: {repo_id!r}", "RepoNotFound")
        return self.folder / kind / f"{repo_id}.json"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, local_hub: LocalHub):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.local_hub = local_hub

    def handle_error(self, *request) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients go away, as streaming does when it has enough
            super().handle_error(*request)


class _Handler(BaseHTTPRequestHandler):
    """A connection. A route's method takes the unquoted groups of its pattern, returns a Reply or raises HubError."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client to acknowledge its header
    server: _Server

    @property
    def local_hub(self) -> LocalHub:
        return self.server.local_hub

    def log_message(self, *_) -> None:
        pass  # LocalHub.log has it

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.unread = int(self.headers.get("Content-Length", 0))
        line = f"{self.command} {unquote(url.path)}"
        fault = self.local_hub.take_fault(line)
        if fault and fault.status in (CUT, LOST):
            if fault.status == CUT:
                self._read(self.unread // 2)
            else:
                with suppress(HubError):
                    self._route(url.path)
            self._log(line, fault.status)
            self.close_connection = True
            return
        try:
            if fault:
                wait = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
                raise HubError(fault.status, "Fault asked for by the test", **wait)
            reply = self._route(url.path)
        except HubError as error:
            reply = Reply({"error": str(error)}, error.status, error.headers)
        except ConnectionError:
            raise
        except Exception as error:
            reply = Reply({"error": f"bug in local_hub: {error!r}"}, 501)
        self._send(reply, line)

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _route(self, path: str) -> Reply:
        command = "GET" if self.command == "HEAD" else self.command
        for method, pattern, name in ROUTES:
            found = re.fullmatch(pattern, path) if method == command else None
            if found:
                return getattr(self, name)(*(group and unquote(group) for group in found.groups()))
        raise HubError(404, f"No such route: {self.command} {path}")

    def _send(self, reply: Reply, line: str) -> None:
        while self.unread:  # or the next request on this connection would begin inside this body
            self._read(1 << 20)
        headers = {"Content-Type": "application/json", **reply.headers}
        if isinstance(reply.body, Path):
            source, size = reply.body.open("rb"), reply.body.stat().st_size
            headers |= {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        else:
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            source, size = io.BytesIO(body), len(body)
        start, end = 0, size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and "Accept-Ranges" in headers:
            start, end = int(wanted[1]), min(size, int(wanted[2] or size) + 1)
            reply.status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{size}"
        self._log(line, reply.status)  # before the client can go on
        self.send_response(reply.status)
        for name, value in {**headers, "Content-Length": str(end - start)}.items():
            self.send_header(name, value.encode("ascii", "replace").decode().replace("\n", " "))
        self.end_headers()
        with source:
            source.seek(start)
            while start < end and self.command != "HEAD":
                start += self.wfile.write(source.read(min(end - start, 1 << 20)))

    def _log(self, line: str, status: int) -> None:
        self.local_hub.log.append(Request(*line.split(" ", 1), status))

    def _read(self, num_bytes: int | None = None) -> bytes:
        """So much of the request's body, or all that is left of it."""
        wanted = self.unread if num_bytes is None else min(num_bytes, self.unread)
        content = self.rfile.read(wanted)
        if len(content) < wanted:
            raise ConnectionResetError("the client stopped in the middle of a body")
        self.unread -= wanted
        return content

    # Who asks, and what may they?

    def _account(self, required: bool = False) -> Account | None:
        header = self.headers.get("Authorization")
        if header is None:
            if required:
                raise HubError(401, "Invalid username or password.")
            return None
        account = self.local_hub.tokens.get(header.removeprefix("Bearer "))
        if account is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return account

    def _check_writer(self, namespace: str, creator: str | None = None) -> None:
        if not self._account(required=True).may_write(namespace, creator):
            raise HubError(403, f'You don\'t have the rights to write under the namespace "{namespace}"')

    def _open(self, kind: str | None, repo_id: str, write: bool = False) -> Repository:
        """The repository, where the caller may see it; the Hub does not tell a private one from none."""
        account = self._account()
        try:
            repository = self.local_hub.repository(kind or "models", repo_id)
            if repository.private and (account is None or repo_id.split("/")[0] not in (account.user, *account.orgs)):
                raise HubError(404, "Repository not found", "RepoNotFound")
        except HubError as error:
            if account is None:  # the code, because over http the clients do not take a bare 401 for this
                raise HubError(401, "Invalid username or password.", "RepoNotFound") from error
            raise
        if write:
            self._check_writer(repo_id.split("/")[0], repository.history()[-1]["author"])
        return repository

    def _json(self) -> dict:
        try:
            return json.loads(self._read())
        except ValueError as error:
            raise HubError(400, f"Not JSON: {error}") from error

    def _url_of(self, repository: Repository) -> str:
        """By the name that the client uses for this server."""
        prefix = "" if repository.kind == "models" else f"{repository.kind}/"
        return f"http://{self.headers['Host']}/{prefix}{repository.id}"

    # The account and its repositories

    def whoami(self) -> Reply:
        account = self._account(required=True)
        token = {"displayName": "test", "role": account.role}
        token |= {"fineGrained": {"scoped": account.scoped}} if account.role == "fineGrained" else {}
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in account.orgs.items()]
        auth = {"type": "access_token", "accessToken": token}
        return Reply({"type": "user", "name": account.user, "fullname": account.user, "orgs": orgs, "auth": auth})

    def create_repository(self) -> Reply:
        wanted = self._json()
        kind = f"{wanted.get('type') or 'model'}s"
        namespace = wanted.get("organization") or self._account(required=True).user
        self._check_writer(namespace)
        repo_id = f"{namespace}/{wanted['name']}"
        if kind not in KINDS or not REPO_ID.fullmatch(repo_id):
            raise HubError(400, f"Invalid repository: {kind} {repo_id!r}")
        private = wanted.get("visibility") == "private"
        with self.local_hub.lock:
            try:
                repository = self.local_hub.repository(kind, repo_id)
                status, error = 409, {"error": f"You already created this {kind[:-1]} repo"}
            except HubError:
                repository = Repository(kind, repo_id, private, {}, {})
                files = {".gitattributes": self.local_hub.store(GITATTRIBUTES)}
                repository.add_commit("main", files, "initial commit", self._account(required=True).user)
                self.local_hub.save(repository)
                status, error = 200, {}
        return Reply({"url": self._url_of(repository), "name": repo_id, "id": repo_id, **error}, status)

    def create_branch(self, kind: str, repo_id: str, branch: str) -> Reply:
        start = self._json().get("startingPoint", "main") if self.unread else "main"
        with self.local_hub.lock:
            repository = self._open(kind, repo_id, write=True)
            if branch in repository.branches:
                raise HubError(409, f"Reference already exists: {branch}")
            repository.branches[branch] = repository.resolve(start)
            self.local_hub.save(repository)
        return Reply()

    # What is there

    def describe(self, kind: str, repo_id: str, revision: str | None) -> Reply:
        repository = self._open(kind, repo_id)
        sha = repository.resolve(revision or "main")
        files = repository.files(sha)
        readme = files.get("README.md")
        card = card_metadata(self.local_hub.object(readme["oid"]).read_text("utf-8")) if readme else None
        known = {name: card[name] for name in ("pipeline_tag", "library_name", "model-index") if name in (card or {})}
        return Reply(
            {"_id": repo_id, "id": repo_id, "author": repo_id.split("/")[0], "sha": sha, "private": repository.private}
            | {"tags": (card or {}).get("tags", []), "siblings": [{"rfilename": path} for path in files]}
            | {"cardData": card, **known}
        )

    def list_commits(self, kind: str, repo_id: str, revision: str) -> Reply:
        date = "2026-01-01T00:00:00.000Z"
        return Reply(
            [
                {
                    "id": each["id"],
                    "title": each["title"],
                    "message": "",
                    "date": date,
                    "authors": [{"user": each["author"]}],
                }
                for each in self._open(kind, repo_id).history(revision)
            ]
        )

    def tree(self, kind: str, repo_id: str, revision: str, folder: str | None) -> Reply:
        repository = self._open(kind, repo_id)
        entries = _with_folders(repository.files(revision))
        prefix = f"{folder.strip('/')}/" if folder else ""
        inside = {path: file for path, file in entries.items() if path.startswith(prefix)}
        if prefix and not inside:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        if self.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            inside = {path: file for path, file in inside.items() if "/" not in path.removeprefix(prefix)}
        return Reply([_entry(path, file) for path, file in inside.items()])

    def resolve(self, kind: str | None, repo_id: str, revision: str, path: str) -> Reply:
        repository = self._open(kind, repo_id)
        sha = repository.resolve(revision)
        headers = {"X-Repo-Commit": sha}
        file = repository.files(sha).get(path)
        if file is None:
            raise HubError(404, "Entry not found", "EntryNotFound", **headers)
        headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(path.split('/')[-1])}"
        etag = f'"{file["oid"]}"'
        if not file["lfs"]:
            return Reply(self.local_hub.object(file["oid"]), 200, headers | {"ETag": etag})
        headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(file["size"]), "ETag": etag}
        return Reply(b"", 302, headers | {"Location": self.local_hub.object_url(file["oid"])})

    # What arrives

    def validate_card(self) -> Reply:
        card = self._json()["content"]
        errors = [{"message": message} for message in card_errors(card)]
        return Reply({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, kind: str, repo_id: str, revision: str) -> Reply:
        files = self._open(kind, repo_id, write=True).files(revision)
        answers = []
        for wanted in self._json()["files"]:
            path = wanted["path"]
            binary = b"\0" in base64.b64decode(wanted["sample"])
            lfs = path.endswith(LFS_SUFFIXES) or wanted["size"] > LFS_BYTES or binary
            known = {"oid": files[path]["oid"]} if path in files else {}
            mode = "lfs" if lfs else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
        return Reply({"files": answers})

    def lfs_batch(self, kind: str | None, repo_id: str) -> Reply:
        self._open(kind, repo_id, write=True)
        answers = []
        for wanted in self._json()["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self.local_hub.object(wanted["oid"]).exists():
                answer["actions"] = {"upload": {"href": self.local_hub.object_url(wanted["oid"])}}
            answers.append(answer)
        return Reply({"transfer": "basic", "objects": answers})

    def commit(self, kind: str, repo_id: str, branch: str) -> Reply:
        lines = [json.loads(line) for line in self._read().splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.local_hub.lock:
            repository = self._open(kind, repo_id, write=True)
            if branch not in repository.branches:
                raise HubError(404, f"Not a branch: {branch}", "RevisionNotFound")
            if not repository.branches[branch].startswith(header.get("parentCommit", "")):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            files = dict(repository.files(branch))
            for line in lines:
                self._apply(line["key"], line["value"], files)
            sha = repository.add_commit(branch, files, header["summary"], self._account(required=True).user)
            self.local_hub.save(repository)
        url = f"{self._url_of(repository)}/commit/{sha}"
        return Reply({"success": True, "commitOid": sha, "commitUrl": url})

    def _apply(self, key: str, value: dict, files: dict[str, dict]) -> None:
        """One operation of a commit."""
        path = value.get("path", "")
        if key == "file":
            files[path] = self.local_hub.store(base64.b64decode(value["content"]))
            if path == "README.md" and (errors := card_errors(base64.b64decode(value["content"]).decode())):
                raise HubError(400, "; ".join(errors))
        elif key == "lfsFile":
            size = self.local_hub.object(value["oid"]).stat().st_size
            files[path] = {"oid": value["oid"], "size": size, "lfs": True}
        elif key == "deletedFile":
            del files[path]

    # Large files

    def send_object(self, oid: str) -> Reply:
        return Reply(self.local_hub.object(oid), 200, {"ETag": f'"{oid}"'})

    def take_object(self, oid: str) -> Reply:
        content = self._read()
        if hashlib.sha256(content).hexdigest() != oid:
            raise HubError(400, f"sha256 is not {oid}")
        self.local_hub.write(self.local_hub.object(oid), content)
        return Reply(b"", 200, {"ETag": f'"{oid}"'})


_API = "/api/(models|datasets|spaces)/([^/]+/[^/]+)"
_WEB = "/(?:(datasets|spaces)/)?([^/]+/[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", "whoami"),
    ("POST", "/api/repos/create", "create_repository"),
    ("POST", "/api/validate-yaml", "validate_card"),
    ("POST", f"{_API}/branch/([^/]+)", "create_branch"),
    ("GET", f"{_API}(?:/revision/([^/]+))?", "describe"),
    ("GET", f"{_API}/commits/([^/]+)", "list_commits"),
    ("GET", f"{_API}/tree/([^/]+)(?:/(.+))?", "tree"),
    ("GET", f"{_WEB}/resolve/([^/]+)/(.+)", "resolve"),
    ("POST", f"{_API}/preupload/([^/]+)", "preupload"),
    ("POST", rf"{_WEB}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("POST", f"{_API}/commit/([^/]+)", "commit"),
    ("GET", "/objects/([0-9a-f]{64})", "send_object"),
    ("PUT", "/objects/([0-9a-f]{64})", "take_object"),
]
