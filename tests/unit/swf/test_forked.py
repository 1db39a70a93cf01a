"""A forked child uses no connection of its parent."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from botocore import httpsession

from simpleflow.swf.transport import sockets, tls

pytestmark = pytest.mark.needs_processes
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serve(path: Path, accepted: list[socket.socket], quit: threading.Event) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def answer(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(ANSWER)
        quit.set()

    def accept() -> None:
        while True:
            try:
                accepted.append(listener.accept()[0])
            except OSError:
                return
            threading.Thread(target=answer, args=(accepted[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def status_of_child(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_opens_a_connection_of_its_own_and_the_parents_stays(tmp_path: Path) -> None:
    accepted: list[socket.socket] = []
    listener = serve(tmp_path / "s", accepted, threading.Event())
    pool = sockets.Sockets(str(tmp_path / "s"), host="h", path="/", shown="s")
    assert pool.post({}, b"", 5.0)[0] == 200
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if pool.post({}, b"", 5.0)[0] == 200 else 2
        finally:
            os._exit(status)
    assert status_of_child(child) == 0
    assert pool.post({}, b"", 5.0)[0] == 200
    assert len(accepted) == 2
    listener.close()


def test_the_parents_end_is_seen_although_a_child_lives(tmp_path: Path) -> None:
    closed = threading.Event()
    listener = serve(tmp_path / "s", [], closed)
    pool = sockets.Sockets(str(tmp_path / "s"), host="h", path="/", shown="s")
    pool.post({}, b"", 5.0)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    pool.close()
    assert closed.wait(20.0)
    os.close(writer)
    assert status_of_child(child) == 0
    os.close(reader)
    listener.close()


def test_a_child_has_a_tls_pool_of_its_own() -> None:
    wire = tls.Tls("https://localhost:1", str(httpsession.get_cert_path(True)))
    before = wire._pool
    child = os.fork()
    if not child:
        os._exit(0 if wire._pool is not before else 1)
    assert status_of_child(child) == 0
    assert wire._pool is before
