"""A forked child uses no connection of its parent."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest
from botocore import httpsession

from simpleflow.swf.transport import sockets, tls

pytestmark = pytest.mark.needs_processes
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers every request; at its end its threads have ended and its sockets are closed."""

    def __init__(self, path: Path) -> None:
        self.accepted: list[socket.socket] = []
        #: a client has closed its connection
        self.left = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Server:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self.accepted):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        for each in (self._listener, *self.accepted):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self.accepted.append(connection)
                self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
                self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(ANSWER)
        self.left.set()


def status_of_child(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_opens_a_connection_of_its_own_and_the_parents_stays(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        pool = sockets.Sockets(str(tmp_path / "s"), host="h", path="/", shown="s")
        assert pool.post({}, b"", 60.0)[0] == 200
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if pool.post({}, b"", 60.0)[0] == 200 else 2
            finally:
                os._exit(status)
        assert status_of_child(child) == 0
        assert pool.post({}, b"", 60.0)[0] == 200
        assert len(server.accepted) == 2
        pool.close()


def test_the_parents_end_is_seen_although_a_child_lives(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        pool = sockets.Sockets(str(tmp_path / "s"), host="h", path="/", shown="s")
        pool.post({}, b"", 60.0)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        pool.close()
        assert server.left.wait(60.0)
        os.close(writer)
        assert status_of_child(child) == 0
        os.close(reader)


def test_a_child_has_a_tls_pool_of_its_own() -> None:
    wire = tls.Tls("https://localhost:1", str(httpsession.get_cert_path(True)))
    before = wire._pool
    child = os.fork()
    if not child:
        os._exit(0 if wire._pool is not before else 1)
    assert status_of_child(child) == 0
    assert wire._pool is before
