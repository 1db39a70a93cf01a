"""Instance metadata for machines that boot here, and the way out of their network: a process inside their namespace.

``python -m simpleflow.ami.boot.metadata STATE`` serves what ``STATE/metadata.json`` holds on 169.254.169.254:80 (read
anew for each request: a tag added there is seen at the next look), appends each request to ``STATE/requests.jsonl``,
keeps what the machine posts to ``/report`` in ``STATE/report.json``, and relays TCP ports to unix sockets, which do
not know namespaces. Formats: EC2 user guide, "Instance metadata categories" and "Use IMDSv2".
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

ADDRESS = "169.254.169.254"
#: what QEMU's user network calls its host; containers get the same address, so user data need not know the difference
HOST = "10.0.2.2"
SETTINGS, REQUESTS, REPORT, READY = "metadata.json", "requests.jsonl", "report.json", "ready"


def settings(
    *,
    instance_id: str,
    user_data: str,
    token_required: bool,
    tags: Mapping[str, str] | None = None,
    relays: Mapping[int, str] | None = None,
    credentials: Mapping[str, str] | None = None,
    region: str = "eu-west-1",
) -> dict[str, Any]:
    """Return the document that the server reads.

    ``relays`` maps ports to unix sockets outside; ``credentials`` are AccessKeyId, SecretAccessKey and Token of the
    machine's role. With ``token_required`` a GET without a token is refused, as on instances with IMDSv2 only.
    """
    return {
        "instance_id": instance_id,
        "user_data": user_data,
        "token_required": token_required,
        "tags": dict(tags or {}),
        "relays": {str(port): path for port, path in (relays or {}).items()},
        "credentials": dict(credentials or {}),
        "region": region,
    }


def tree(document: Mapping[str, Any]) -> dict[str, str]:
    """Return path -> text of everything the machine may read below ``latest/``."""
    region, instance = document["region"], document["instance_id"]
    identity = {
        "accountId": "000000000000",
        "architecture": "x86_64",
        "availabilityZone": f"{region}a",
        "imageId": "ami-00000000000000000",
        "instanceId": instance,
        "instanceType": "m5.large",
        "privateIp": "10.0.2.15",
        "region": region,
        "version": "2017-09-30",
    }
    found = {
        "dynamic/instance-identity/document": json.dumps(identity),
        "user-data": document["user_data"],
        "meta-data/ami-id": "ami-00000000000000000",
        "meta-data/hostname": "node.internal",
        "meta-data/instance-id": instance,
        "meta-data/instance-type": "m5.large",
        "meta-data/local-hostname": "node",
        "meta-data/local-ipv4": "10.0.2.15",
        "meta-data/placement/availability-zone": f"{region}a",
        "meta-data/placement/region": region,
    }
    found.update({f"meta-data/tags/instance/{key}": value for key, value in document["tags"].items()})
    if document["credentials"]:
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        answer = {"Code": "Success", "Type": "AWS-HMAC", **document["credentials"], "Expiration": ends}
        found["meta-data/iam/security-credentials/node"] = json.dumps(answer)
    return found


def look_up(document: Mapping[str, Any], path: str) -> str | None:
    """Return a leaf's text, or a folder's listing ('name/' for folders); None where there is nothing."""
    parts = path.strip("/").split("/", 1)
    if parts == [""]:
        return "latest\n2009-04-04\n2016-09-02\n2018-09-24\n2021-03-23"
    inner = parts[1].strip("/") if len(parts) > 1 else ""
    leaves = tree(document)
    if inner in leaves:
        return leaves[inner]
    prefix = f"{inner}/" if inner else ""
    names = set()
    for leaf in leaves:
        if leaf.startswith(prefix):
            head, slash, _ = leaf.removeprefix(prefix).partition("/")
            names.add(head + slash)
    return "\n".join(sorted(names)) if names else None


class Server(ThreadingHTTPServer):
    """Serves one machine. Thread safe: each request reads the settings anew and appends one line."""

    daemon_threads = True

    def __init__(self, state: Path, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.state = state
        self.tokens: set[str] = set()
        self.lock = threading.Lock()

    def document(self) -> dict[str, Any]:
        """Return the settings as they are now."""
        found: dict[str, Any] = json.loads((self.state / SETTINGS).read_text(encoding="utf-8"))
        return found

    def record(self, entry: Mapping[str, object]) -> None:
        """Append one request to the record."""
        with self.lock, (self.state / REQUESTS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the record holds every request."""

    def _answer(self, status: int, body: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _record(self, status: int, token: bool) -> None:
        entry = {"method": self.command, "path": self.path, "status": status, "token": token}
        cast(Server, self.server).record(entry)

    def do_PUT(self) -> None:
        """Give a token."""
        server = cast(Server, self.server)
        if self.path != "/latest/api/token" or "X-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
            self._record(400, False)
            self._answer(400, "")
            return
        token = secrets.token_urlsafe(24)
        with server.lock:
            server.tokens.add(token)
        self._record(200, True)
        self._answer(200, token, {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})

    def do_GET(self) -> None:
        """Answer one path of the tree."""
        server = cast(Server, self.server)
        document = server.document()
        token = self.headers.get("X-aws-ec2-metadata-token", "") in server.tokens
        if document["token_required"] and not token:
            self._record(401, False)
            self._answer(401, "")
            return
        text = look_up(document, self.path)
        self._record(404 if text is None else 200, token)
        self._answer(404 if text is None else 200, text or "")

    def do_POST(self) -> None:
        """Keep what the machine reports."""
        server = cast(Server, self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/report":
            self._record(404, False)
            self._answer(404, "")
            return
        partial = server.state / f".{REPORT}"
        partial.write_bytes(body)
        partial.rename(server.state / REPORT)
        self._record(200, False)
        self._answer(200, "")


def relay(port: int, path: str) -> None:
    """Listen on a TCP port of this namespace and pass each connection on to a unix socket, until the process ends."""
    listener = socket.create_server(("0.0.0.0", port))  # noqa: S104 (a namespace that holds one machine)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            inside, _ = listener.accept()
            outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                outside.connect(path)
            except OSError:
                inside.close()
                outside.close()
                continue
            for pair in ((inside, outside), (outside, inside)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def main(arguments: list[str]) -> int:
    """Serve until the parent is gone (its end of our standard input closes)."""
    state = Path(arguments[0])
    server = Server(state, (ADDRESS, 80))
    for port, path in server.document()["relays"].items():
        relay(int(port), path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (state / READY).touch()
    os.read(0, 1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
