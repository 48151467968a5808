"""A hub on this machine: what Hugging Face's hub answers to those who make a repository and commit.

It serves the tests and chapter 17, which must not need a network, an account, or a name that is
free. It listens on the loopback address alone, and what is sent to it is held in memory.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

TOKEN = "hf_made_up"
TAKEN = "ann/taken"  # a repository of somebody else


class FakeHub(ThreadingHTTPServer):
    """What the hub answers to those who make a repository and commit to it.

    Attributes:
        repos: name → files, name → bytes.
        large: files that came by the way for large ones: sha256 → bytes.
        private: name → what was asked for.
        asked: each request, ``METHOD path``.
        broken: give an error to every commit.
    """

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.token = token
        self.repos: dict[str, dict[str, bytes]] = {TAKEN: {"README.md": b"mine"}}
        self.large: dict[str, bytes] = {}
        self.private: dict[str, object] = {}
        self.asked: list[str] = []
        self.broken = False

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    """One request."""

    server: FakeHub

    def log_message(self, *_: object) -> None:
        """Nothing: a server that talks would fill a page."""

    def answer(self, status: int, value: object = None) -> None:
        """A status and some JSON."""
        body = json.dumps(value if value is not None else {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        """What was sent, in one piece or in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def allowed(self) -> bool:
        """Whether the request brings the token."""
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def do_GET(self) -> None:
        """What a repository holds."""
        self.server.asked.append(f"GET {self.path}")
        repo = "/".join(self.path.split("/")[3:5]).split("?")[0]
        if repo not in self.server.repos:
            return self.answer(404, {"error": "not found"})
        files = self.server.repos[repo]
        if "/tree/" in self.path:
            return self.answer(200, [
                {"type": "file", "path": n, "size": len(b), "oid": "0"} for n, b in files.items()
            ])  # fmt: skip
        self.answer(200, {"id": repo, "siblings": [{"rfilename": name} for name in files]})

    def do_PUT(self) -> None:
        """A large file."""
        self.server.large[self.path.rsplit("/", 1)[1]] = self.body()
        self.answer(200)

    def do_POST(self) -> None:
        """Make a repository, ask how to send files, commit them."""
        body, path = self.body(), self.path.split("?")[0]
        self.server.asked.append(f"POST {path}")
        if not self.allowed():
            return self.answer(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            if repo in self.server.repos:
                return self.answer(409, {"error": "You already created this model repo"})
            self.server.repos[repo] = {".gitattributes": b""}
            self.server.private[repo] = wanted.get("private", wanted.get("visibility"))
            return self.answer(200, {"url": f"{self.server.url}/{repo}", "id": repo})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.server.broken:
            return self.answer(418, {"error": "broken"})
        if path.endswith("/info/lfs/objects/batch"):
            return self.answer(200, {"transfer": "basic", "objects": [
                {"oid": o["oid"], "size": o["size"],
                 "actions": {"upload": {"href": f"{self.server.url}/upload/{o['oid']}"}}}
                for o in json.loads(body)["objects"]
            ]})  # fmt: skip
        repo = "/".join(path.split("/")[3:5])
        if "/preupload/" in path:
            return self.answer(200, {"files": [
                {"path": f["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                for f in json.loads(body)["files"]
            ]})  # fmt: skip
        if "/commit/" in path:
            for line in body.splitlines():
                row = json.loads(line)
                value = row["value"]
                if row["key"] == "file":
                    content = base64.b64decode(value["content"])
                    self.server.repos[repo][value["path"]] = content
                elif row["key"] == "lfsFile":
                    self.server.repos[repo][value["path"]] = self.server.large[value["oid"]]
            url = f"{self.server.url}/{repo}/commit/0123abc"
            return self.answer(200, {"commitUrl": url, "commitOid": "0123abc", "success": True})
        self.answer(404, {"error": path})


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub that answers while the block runs; ``hub.push`` and ``hub.plan`` find it, and ``TOKEN``
    is kept, as after ``hf auth login``."""
    import huggingface_hub
    import huggingface_hub.constants as constants

    server = FakeHub(TOKEN)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with (
            mock.patch.dict(os.environ, {"HF_ENDPOINT": server.url, "NO_PROXY": "127.0.0.1"}),
            mock.patch.object(constants, "HF_HUB_DISABLE_XET", True),
            mock.patch.object(constants, "HF_HUB_OFFLINE", False),
            mock.patch.object(huggingface_hub, "get_token", lambda: TOKEN),
        ):
            yield server
    finally:
        server.shutdown()
        server.server_close()
