"""A model hub on loopback: the four requests that a pull makes, for one repository, with faults to order."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".pt", ".onnx")


@dataclass
class FakeHub:
    """``files`` by name; ``commits`` maps revisions to commits. ``damaged`` files arrive with one byte changed; answers
    with ``cut`` files break off half-way. ``requested`` collects (file, first byte asked for)."""

    repo: str
    files: dict[str, bytes]
    commits: dict[str, str] = field(default_factory=lambda: {"main": "a" * 40})
    damaged: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)  # claimed instead of the real ones
    requested: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""

    def commit_of(self, revision: str) -> str | None:
        return self.commits.get(revision, revision if revision in self.commits.values() else None)

    def entry(self, name: str) -> dict[str, Any]:
        data = self.files[name]
        size = self.sizes.get(name, len(data))
        blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 130}
        return {"size": size, "blob": blob, "lfs": lfs if name.endswith(LFS_SUFFIXES) else None}

    def etag(self, name: str) -> str:
        entry = self.entry(name)
        return str(entry["lfs"]["sha256"] if entry["lfs"] else entry["blob"])


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            return

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            api, resolve = f"api/models/{hub.repo}/", f"{hub.repo}/resolve/"
            if path.startswith(api + "revision/"):
                self._info(path.removeprefix(api + "revision/"))
            elif path.startswith(api + "tree/"):
                self._tree()
            elif path.startswith(resolve):
                revision, _, name = path.removeprefix(resolve).partition("/")
                self._file(hub.commit_of(revision) or "", name)
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def _info(self, revision: str) -> None:
            commit = hub.commit_of(revision)
            if commit is None:
                self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = []
            for name in hub.files:
                entry = hub.entry(name)
                siblings.append(
                    {"rfilename": name, "size": entry["size"], "blobId": entry["blob"], "lfs": entry["lfs"]}
                )
            self._send(200, json.dumps({"id": hub.repo, "sha": commit, "siblings": siblings}).encode())

        def _tree(self) -> None:
            tree = []
            for name in hub.files:
                entry, lfs = hub.entry(name), None
                if entry["lfs"]:
                    lfs = {"oid": entry["lfs"]["sha256"], "size": entry["size"], "pointerSize": 130}
                tree.append({"type": "file", "path": name, "size": entry["size"], "oid": entry["blob"], "lfs": lfs})
            self._send(200, json.dumps(tree).encode())

        def _file(self, commit: str, name: str) -> None:
            if name not in hub.files:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            data = bytearray(hub.files[name])
            if name in hub.damaged:
                data[-1] ^= 1
            first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
            headers = {"ETag": f'"{hub.etag(name)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            if self.command == "GET":
                hub.requested.append((name, first))
            if self.headers.get("Range"):
                headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            breaks_off = self.command == "GET" and name in hub.cut
            self._send(206 if self.headers.get("Range") else 200, bytes(data[first:]), headers, breaks_off=breaks_off)

        def _send(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, *, breaks_off: bool = False
        ) -> None:
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if breaks_off else body)
            if breaks_off:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
