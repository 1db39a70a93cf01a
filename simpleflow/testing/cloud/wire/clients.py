"""boto3 clients that reach the account in this process, without a socket."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import botocore.awsrequest
import botocore.config
import botocore.exceptions

from simpleflow.testing.cloud.wire import errors, models, principals


def _whole(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)


def _answer_headers(headers: list[tuple[str, str]]) -> Any:
    return {key.lower(): value for key, value in headers}


class _Body(io.BytesIO):
    def stream(self, amt: int = 65536, decode_content: bool = False) -> Iterator[bytes]:
        while chunk := self.read(amt):
            yield chunk


class Front(Protocol):
    """What answers calls: the gateway."""

    #: in a header it proves that a call comes from the emulator itself
    secret: str

    def handle(self, environ: dict[str, Any], path: str, body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        """Answer one request: status line, headers, body. Raises LostAnswer."""


class _Owner:
    """Whose account a client calls now."""

    def __init__(self, now: Clients) -> None:
        self.now = now


#: clients of the emulator itself, by service, region and via
_SHARED: dict[tuple[str, str, str], tuple[Any, _Owner]] = {}


class Clients:
    """boto3 clients whose calls reach the gateway in this process, through the very same wire.

    Args:
        front: the gateway.
        region: region of the clients.
    """

    def __init__(self, front: Front, region: str) -> None:
        self._front = front
        self._region = region
        self._cache: dict[tuple[str, str, str], Any] = {}

    def client(self, service: str, credentials: principals.Credentials, *, via: str = "") -> Any:
        """Make a client; ``via`` names the service of AWS's that calls on the owner's behalf."""
        known = self._cache.get((service, credentials.key, via))
        if known is not None:
            return known
        # The emulator's own clients are used by one account after the other: making one costs more than most calls.
        shared = bool(via) and credentials.key == principals.ADMIN_KEY
        key = (service, self._region, via)
        client, owner = _SHARED[key] if shared and key in _SHARED else self._make(service, credentials, via)
        if shared:
            _SHARED[key] = client, owner
        owner.now = self
        self._cache[service, credentials.key, via] = client
        return client

    def _make(self, service: str, credentials: principals.Credentials, via: str) -> tuple[Any, _Owner]:
        session: Any = models.session()
        client = session.client(
            service,
            aws_access_key_id=credentials.key,
            aws_secret_access_key=credentials.secret,
            aws_session_token=credentials.token or None,
            region_name=self._region,
            endpoint_url="http://127.0.0.1:1",  # nobody listens there: every request is answered before it is sent
            config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        owner = _Owner(self)

        def answer(request: botocore.awsrequest.AWSPreparedRequest, **_: Any) -> botocore.awsrequest.AWSResponse:
            if via:
                request.headers["X-Emulated-Via"] = f"{owner.now._front.secret} {via}"
            return owner.now._call(request)

        client.meta.events.register("before-send", answer)
        return client, owner

    def _call(self, request: botocore.awsrequest.AWSPreparedRequest) -> botocore.awsrequest.AWSResponse:
        url = urlsplit(str(request.url))
        body = _whole(request.body)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": unquote(url.path).encode().decode("latin-1"),
            "QUERY_STRING": url.query,
            "HTTP_HOST": url.netloc,
        }
        for key, value in request.headers.items():
            text = _whole(value).decode()
            name = key.upper().replace("-", "_")
            environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = text
        try:
            status, headers, answer = self._front.handle(environ, unquote(url.path), body)
        except errors.LostAnswer as lost:
            raise botocore.exceptions.ConnectionClosedError(endpoint_url=str(request.url)) from lost
        code = int(status.split()[0])
        return botocore.awsrequest.AWSResponse(
            str(request.url),
            code,
            _answer_headers(headers),
            _Body(b"" if request.method == "HEAD" else answer),
        )
