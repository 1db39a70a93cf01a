"""HTTPS: certificates are checked, connections are used again, errors are ours."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simpleflow.swf import errors
from simpleflow.swf.transport import http as transport
from simpleflow.swf.transport import tls


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[Any] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.client_address, dict(self.headers.items()), body))
        answer = b'{"count":3}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, address: None  # type: ignore[method-assign]  # refused handshakes are expected
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Handler.seen.clear()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def count(url: str, times: int = 1) -> list[int]:
    opened = transport.open_endpoint(url)
    request = {"domain": "d", "taskList": {"name": "t"}}
    try:
        return [opened.call("CountPendingActivityTasks", request).count for _ in range(times)]
    finally:
        opened.close()


def test_a_trusted_certificate_is_taken_and_the_connection_used_again(
    url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    assert count(url, 2) == [3, 3]
    assert len({address for address, _, _ in Handler.seen}) == 1
    _, headers, body = Handler.seen[0]
    assert headers["User-Agent"].startswith("simpleflow/")
    assert "Authorization" not in headers
    assert body == b'{"domain":"d","taskList":{"name":"t"}}'
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert count(url) == [3]
    assert "Signature=" in Handler.seen[-1][1]["Authorization"]


def test_an_unknown_certificate_is_refused(url: str) -> None:
    with pytest.raises(errors.TransportError, match=r"(?i)certificate"):
        count(url)
    assert Handler.seen == []


def test_nobody_there() -> None:
    with pytest.raises(errors.TransportError, match=r"no answer from https://127\.0\.0\.1:1"):
        count("https://127.0.0.1:1")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}",
        b"\x00\xff\x16\x03garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\x8b\x08\x00\xff\xff",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 400 + b"\r\n",
    ],
)
def test_bytes_that_are_no_answer_are_no_answer(answer: bytes, certificate: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        wire = tls.Tls(f"http://127.0.0.1:{listener.getsockname()[1]}", str(certificate))  # its way above TLS
        with pytest.raises(errors.TransportError):
            transport.Http(wire).call("ListDomains", {"registrationStatus": "REGISTERED"})
        wire.close()
        thread.join()


def test_a_name_without_an_address_means_that_nothing_was_sent(certificate: Path) -> None:
    wire = tls.Tls("https://swf.nowhere.invalid", str(certificate))
    with pytest.raises(errors.NotSent):
        wire.post({}, b"", 5)
    wire.close()
