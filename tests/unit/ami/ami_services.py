"""A bucket on a unix socket, for nodes that boot in a network of their own."""

from __future__ import annotations

import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import cast


class Objects(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves ``content`` (path -> bytes) and remembers what was asked. A context manager.

    Reads of ``/bucket/...`` must be signed; that the signature is right is shown in tests/unit/provisioning.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.path = path
        self.content: dict[str, bytes] = {}
        self.paths: list[str] = []
        self.unsigned: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Objects:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return "node"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server = cast(Objects, self.server)
        server.paths.append(self.path)
        body: bytes | None = b"" if not self.path.startswith("/bucket/") else server.content.get(self.path)
        if self.path.startswith("/bucket/") and "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
            server.unsigned.append(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")
