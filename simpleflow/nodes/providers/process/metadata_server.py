"""Instance metadata of local nodes: EC2's paths and tokens, one port for all, a path prefix for each.

Served from the nodes' folders, so that any process may serve it. Paths and token rules: EC2 user guide, "Use the
Instance Metadata Service" (version 2 only: every GET needs a token).
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from simpleflow.data import files

from . import node_folder

#: longest life of a token, seconds
TOKEN_LIFE = 21600
#: seconds between two looks of the serving thread whether it shall stop
_STOP_LOOK = 0.1


class MetadataServer:
    """Serves the metadata of every node below a folder; writes its URL to ``FOLDER/metadata.url``."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._tokens: dict[str, float] = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                owner.put(self)

            def do_GET(self) -> None:
                owner.get(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: agents ask every second."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOP_LOOK,), name="metadata", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to serve; the URL is readable when this returns."""
        files.folder(self._folder)
        self._thread.start()
        node_folder.write(self._folder / "metadata.url", self.url.encode())

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        (self._folder / "metadata.url").unlink(missing_ok=True)

    def put(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a PUT: only tokens."""
        if not request.path.endswith("/latest/api/token"):
            return _answer(request, 405, "")
        try:
            life = int(request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", ""))
        except ValueError:
            return _answer(request, 400, "")
        if not 1 <= life <= TOKEN_LIFE:
            return _answer(request, 400, "")
        token = secrets.token_urlsafe(24)
        now = time.monotonic()
        self._tokens = {each: end for each, end in list(self._tokens.items()) if end > now} | {token: now + life}
        return _answer(request, 200, token)

    def get(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET: 401 without a token, 404 for what is not there."""
        token = request.headers.get("X-aws-ec2-metadata-token", "")
        if self._tokens.get(token, 0.0) < time.monotonic():
            return _answer(request, 401, "")
        node, _, path = request.path.lstrip("/").partition("/")
        folder = node_folder.NodeFolder(self._folder / "nodes" / node)
        text = None
        if node and "/" not in node and node not in {".", ".."}:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                text = self._lookup(folder, path.rstrip("/").lstrip("/"))
        return _answer(request, 404 if text is None else 200, text or "")

    def _lookup(self, folder: node_folder.NodeFolder, path: str) -> str | None:
        record = folder.record()
        if record is None:
            return None
        all_tags = folder.all_tags()
        life_cycle = "spot" if folder.notice.exists() else "on-demand"
        values = {
            "instance-id": record.id,
            "instance-type": record.instance_type,
            "instance-life-cycle": life_cycle,
            "tags/instance": "\n".join(all_tags),
            **{f"tags/instance/{key}": value for key, value in all_tags.items()},
        }
        if folder.notice.exists():
            values["spot/instance-action"] = folder.notice.read_text()
        if path == "latest/dynamic/instance-identity/document":
            identity = {"instanceId": record.id, "instanceType": record.instance_type, "region": "local"}
            return msgspec.json.encode(identity).decode()
        prefix = "latest/meta-data"
        if path == prefix:
            return "\n".join(sorted({key.split("/")[0] + ("/" if "/" in key else "") for key in values}))
        return values.get(path.removeprefix(f"{prefix}/")) if path.startswith(f"{prefix}/") else None


def _answer(request: BaseHTTPRequestHandler, status: int, text: str) -> None:
    content = text.encode()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        request.send_response(status)
        request.send_header("Content-Type", "text/plain")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
