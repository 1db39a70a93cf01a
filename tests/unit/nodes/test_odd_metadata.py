"""Instance metadata that answers with something else: the agent says so and lives on."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from simpleflow.nodes import errors
from simpleflow.nodes.agent import metadata_client

HTML = b"<html>\n<body>Please log in</body>\n</html>"


class Odd:
    """A metadata endpoint whose next answers a test sets: (status, content) by method."""

    def __init__(self) -> None:
        self.token: tuple[int, bytes] = (200, b"token")
        self.value: tuple[int, bytes] = (200, b"i-0a")
        self.trickles = self.breaks_off = False
        owner, self.over = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                owner.answer(self, *owner.token)

            def do_GET(self) -> None:
                owner.answer(self, *owner.value)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        request.send_response(status)
        missing = 10_000 if self.trickles else 5 if self.breaks_off and request.command == "GET" else 0
        request.send_header("Content-Length", str(len(content) + missing))
        request.end_headers()
        request.wfile.write(content)
        while self.trickles and not self.over.wait(0.05):
            try:
                request.wfile.write(b"x")
            except OSError:
                return

    def client(self) -> metadata_client.Metadata:
        endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/"
        return metadata_client.Metadata({metadata_client.ENDPOINT_VARIABLE: endpoint})


@pytest.fixture
def odd() -> Iterator[Odd]:
    made = Odd()
    yield made
    made.over.set()
    made.server.shutdown()
    made.server.server_close()


def refused(client: metadata_client.Metadata) -> None:
    """Whatever is asked, the agent's kind of error comes, and nothing else."""
    for ask in (client.instance_id, client.drain_generation, lambda: client.notice(90.0)):
        with pytest.raises(errors.NodesError, match="instance metadata"):
            ask()


@pytest.mark.parametrize("token", [(200, HTML), (200, "täken\u2028".encode()), (503, b"busy"), (204, b"")])
def test_a_token_that_is_not_one_is_told_and_asked_for_again(odd: Odd, token: tuple[int, bytes]) -> None:
    client = odd.client()
    odd.token = token
    refused(client)
    odd.token = (200, b"token")
    assert client.instance_id() == "i-0a"


@pytest.mark.parametrize("value", [(503, b"busy"), (302, HTML), (500, HTML)])
def test_a_value_that_does_not_come_is_told(odd: Odd, value: tuple[int, bytes]) -> None:
    client = odd.client()
    odd.value = value
    refused(client)
    odd.value = (200, b"i-0a")
    assert client.instance_id() == "i-0a"


def test_a_page_of_somebody_between_is_no_instance_mark_or_notice(odd: Odd) -> None:
    client = odd.client()
    odd.value = (200, HTML)
    with pytest.raises(errors.NodesError, match="names no instance but '<html>"):
        client.instance_id()
    with pytest.raises(errors.NodesError, match="cannot be read"):
        client.notice(90.0)
    assert client.drain_generation() == 0
    for text in ("5", "[]", "null", '{"time": 5}', json.dumps({"time": "soon"})):
        odd.value = (200, text.encode())
        with pytest.raises(errors.NodesError, match="cannot be read"):
            client.notice(90.0)


def test_an_answer_that_trickles_ends_at_the_limit(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_client, "_PATIENCE", 0.3)
    client = odd.client()
    client.drain_generation()
    odd.trickles = True
    with pytest.raises(errors.NodesError, match="not complete after"):
        client.drain_generation()


def test_an_endpoint_that_speaks_something_else_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    connection, _ = listener.accept()
                    connection.recv(1000)
                    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        client = metadata_client.Metadata({metadata_client.ENDPOINT_VARIABLE: f"http://127.0.0.1:{port}/"})
        with pytest.raises(errors.NodesError, match="does not answer"):
            client.instance_id()


def test_an_answer_that_breaks_off_is_not_taken_for_a_short_one(odd: Odd) -> None:
    client = odd.client()
    odd.breaks_off = True
    refused(client)
    odd.breaks_off = False
    assert client.instance_id() == "i-0a"
