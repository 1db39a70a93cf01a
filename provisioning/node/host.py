"""Nodes on an existing machine: its owner starts, lists, tags and ends them over ssh.

``python3 host.py ROOT COMMAND [ARGUMENT...]`` answers with JSON. A node is a folder below ROOT/nodes with its record,
tags and log, and a lock that is held while its agent lives. Its metadata, in which the agent reads its drain mark, is
served on loopback from the folder. Nothing here needs root; the machine itself is never powered off. This file uses the
standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: seconds between TERM and KILL of a node that is ended
PATIENCE = 2.0
LOG_LINES = 50
#: seconds for which an ended node stays listed
MEMORY = 24 * 3600.0


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone, whatever the umask."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def sync(path: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder(path: Path) -> None:
    """Make a folder for its owner alone, durably; raises FileExistsError."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)
    sync(path.parent)


def write(path: Path, text: str) -> None:
    """Replace a file at once and durably."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w", opener=private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)


class Node:
    """The folder of one node."""

    def __init__(self, root: Path, name: str) -> None:
        if not name or "/" in name or name.startswith("."):
            raise SystemExit(f"{name!r} is not a name of a node")
        self.root, self.name = root, name
        self.path = root / "nodes" / name
        self.tags = self.path / "tags"

    def lock(self) -> int | None:
        """Take the lock of the node; None while its agent lives."""
        descriptor = os.open(self.path / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def state(self) -> str:
        """Return 'running', 'stopping' or 'terminated'."""
        descriptor = self.lock()
        if descriptor is not None:
            os.close(descriptor)
            return "terminated"
        return "stopping" if (self.path / "ending").exists() else "running"

    def keys(self) -> list[str]:
        """Return the names of the node's tags."""
        return sorted(each.name for each in self.tags.iterdir() if not each.name.startswith("."))

    def described(self) -> dict[str, object]:
        """Return the node's record with its present state and tags."""
        record: dict[str, object] = json.loads((self.path / "node.json").read_text())
        keys = self.keys()
        return {**record, "state": self.state(), "tags": {key: (self.tags / key).read_text() for key in keys}}


def nodes(root: Path) -> list[Node]:
    """Return every node whose record was written, oldest name first."""
    return [Node(root, each.parent.name) for each in sorted((root / "nodes").glob("*/node.json"))]


def start(root: Path, order: dict[str, object]) -> dict[str, object]:
    """Start a node and return its description. A node that exists is only described, alive or not."""
    record = order["record"]
    assert isinstance(record, dict)
    node = Node(root, str(record["id"]))
    for old in nodes(root):
        age = time.time() - old.path.stat().st_mtime
        if old.name != node.name and age > MEMORY and old.state() == "terminated":
            shutil.rmtree(old.path, ignore_errors=True)
    try:
        (root / "nodes").mkdir(mode=0o700, exist_ok=True)
        folder(node.path)
    except FileExistsError:
        return node.described()
    folder(node.tags)
    tags = order["tags"]
    assert isinstance(tags, dict)
    for key, value in tags.items():
        write(node.tags / key, value)
    write(node.path / "setup.json", json.dumps(order["setup"]))
    write(node.path / "order.json", json.dumps({"python": order["python"], "environment": order["environment"]}))
    write(node.path / "node.json", json.dumps(record))
    held = node.lock()
    assert held is not None
    with open(node.path / "log", "ab", opener=private) as log:
        subprocess.Popen(
            [sys.executable, __file__, str(root), "serve", node.name, str(held)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(held,),
        )
    return node.described()


def serve(root: Path, name: str, held: int) -> int:
    """Run one agent and serve its metadata until the agent ends; return its exit code. Both hold the node's lock."""
    node = Node(root, name)
    order = json.loads((node.path / "order.json").read_text())
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(node))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        **order["environment"],
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}/",
        "SIMPLEFLOW_NODE_ID": name,
        "SIMPLEFLOW_NODE_FOLDER": str(node.path),
    }
    argv = [order["python"], "-m", "simpleflow.nodes.agent", "--setup", str(node.path / "setup.json")]
    agent = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=environment, pass_fds=(held,))
    signal.signal(signal.SIGTERM, lambda *_: agent.send_signal(signal.SIGTERM))
    code = agent.wait()
    print(f"the agent ended with {code}", flush=True)
    return code


def handler(node: Node) -> type[BaseHTTPRequestHandler]:
    """Return the request handler of one node's metadata: it has EC2's paths, and every read needs a token."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: agents send a request every second."""

        def answer(self, status: int, text: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self) -> None:
            self.answer(200 if self.path == "/latest/api/token" else 404, node.name)

        def do_GET(self) -> None:
            prefix = "/latest/meta-data/"
            if self.headers.get("X-aws-ec2-metadata-token") != node.name:
                self.answer(401)
                return
            leaf = self.path[len(prefix) :] if self.path.startswith(prefix) else ""
            if leaf == "instance-id":
                self.answer(200, node.name)
            elif leaf == "tags/instance":
                self.answer(200, "\n".join(node.keys()))
            elif leaf.startswith("tags/instance/") and "/" not in leaf[len("tags/instance/") :]:
                try:
                    self.answer(200, (node.tags / leaf[len("tags/instance/") :]).read_text())
                except OSError:
                    self.answer(404)
            else:
                self.answer(404)

    return Handler


def processes(node: Node) -> list[int]:
    """Return the ids of all living processes of a node, found by the node's folder in their environment."""
    wanted = f"SIMPLEFLOW_NODE_FOLDER={node.path}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def terminate(node: Node) -> None:
    """End a node by TERM, and after ``PATIENCE`` seconds by KILL. A node that is gone is not an error."""
    if not node.path.exists():
        return
    write(node.path / "ending", "")
    last = time.monotonic() + PATIENCE
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes(node):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
        while processes(node) and time.monotonic() < last:
            time.sleep(0.05)
        last += PATIENCE
    while node.state() != "terminated" and time.monotonic() < last:
        time.sleep(0.05)


def main(arguments: list[str]) -> object:
    """Run one command and return its answer."""
    root, command, rest = Path(arguments[0]), arguments[1], arguments[2:]
    if command == "list":
        return [each.described() for each in nodes(root)]
    if command == "start":
        order = json.loads(Path(rest[0]).read_text())
        Path(rest[0]).unlink()
        return start(root, order)
    if command == "serve":
        sys.exit(serve(root, rest[0], int(rest[1])))
    node = Node(root, rest[0])
    if command == "terminate":
        terminate(node)
        return {}
    if command == "log":
        path = node.path / "log"
        return path.read_text(errors="replace").splitlines()[-LOG_LINES:] if path.exists() else []
    if not node.tags.is_dir():
        return {"absent": True}
    key = node.tags / rest[1]
    if command == "tag":
        write(key, "1")
    elif command == "untag":
        if key.exists():
            key.unlink()
            sync(node.tags)
    else:
        raise SystemExit(f"{command!r} is not a command of {__file__}")
    return {"absent": False}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
