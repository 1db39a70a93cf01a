"""The front of the emulated account: a WSGI application around moto's.

Each call is identified, recorded, run through the table of faults, and answered by our handler or by moto. An action
that neither rehearses is answered 501 ``NotRehearsed``: nothing is dropped silently.
"""

from __future__ import annotations

import functools
import io
import logging
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from moto.server import DomainDispatcherApplication, create_backend_app

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.wire import codec, errors, faults, identify, models, principals, rehearsed, requests

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
#: header by which our own clients name the service on whose behalf they call; never sent over a socket by anyone else
VIA = "x-emulated-via"


@functools.cache
def _moto() -> WSGIApplication:
    """Moto's application. Its state is the process's anyway, and making one takes longer than most tests."""
    made: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    return made


class Gateway:
    """Dispatches calls; also the WSGI application that the server runs.

    Args:
        clock: the cloud's clock.
        lock: one lock around each call, so that stores need none and moto's S3 is atomic.
        directory: who the access keys belong to.
        record: where calls are written.
        table: planned faults.
    """

    def __init__(
        self,
        *,
        clock: clocks.Clock,
        lock: threading.RLock,
        directory: principals.Directory,
        record: requests.Record,
        table: faults.Faults,
    ) -> None:
        self._clock = clock
        self._lock = lock
        self._directory = directory
        self._record = record
        self._faults = table
        self._moto = _moto()
        self._handlers: dict[str, requests.Handler] = {}
        #: asked before S3 calls reach moto: raises ApiError to refuse
        self.guards: list[Callable[[requests.Request], None]] = []
        #: token that proves a call comes from our own clients, so that nobody else can claim ``via``
        self.secret = uuid.uuid4().hex
        #: paths that are not calls of AWS: prefix -> WSGI application
        self.mounted: dict[str, WSGIApplication] = {}

    def register(self, store: object) -> None:
        """Let a store answer the calls that its methods are marked with."""
        self._handlers.update(requests.handlers_of(store))

    def reset_moto(self) -> None:
        """Empty moto's state, by its public HTTP call."""
        self._to_moto({"PATH_INFO": "/moto-api/reset", "REQUEST_METHOD": "POST"}, b"")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
        for prefix, application in self.mounted.items():
            if path.startswith(prefix):
                return application(environ, start_response)
        body = _read(environ)
        try:
            status, headers, answer = self.handle(environ, path, body)
        except errors.LostAnswer as lost:
            _cut(environ)
            raise ConnectionAbortedError("the answer was lost, as planned") from lost
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer]

    def handle(self, environ: WSGIEnvironment, path: str, body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        """Answer one call; raises LostAnswer when its caller must not hear of it."""
        headers = _headers(environ)
        service = "ec2"
        speaks: codec.Protocol = "ec2"
        request_id = str(uuid.uuid4())
        request: requests.Request | None = None
        try:
            scope = identify.scope(headers, environ.get("QUERY_STRING", ""))
            service = scope.service
            try:
                models.service(service)
            except Exception as error:
                service = "ec2"
                raise errors.ApiError("NotRehearsed", f"{scope.service} is not a service we know", 501) from error
            speaks = identify.protocol(service, path, headers)
            principal = self._directory.of(scope.key, service)
            name, params = identify.action(
                service, speaks, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers, body
            )
            via = headers.get(VIA, "").removeprefix(self.secret + " ") if self._ours(headers) else ""
            request = requests.Request(
                service=service,
                action=name,
                params=params,
                principal=principal,
                region=scope.region,
                via=via,
                headers=headers,
                body=body,
                speaks=speaks,
            )
            lost = self._faults.strike(request)
            with self._lock:
                status, answer_headers, answer = self._answer(request, environ, body, request_id)
            code = int(status.split()[0])
            self._write(request, code, _code_of(answer) if code >= 400 else "")
            if lost:
                raise errors.LostAnswer
            return status, answer_headers, answer
        except errors.ApiError as error:
            refusal = error
        except (LookupError, TypeError, ValueError, AttributeError) as broken:
            logger.exception("the emulated account broke", extra={"action": "cloud.broken"})
            refusal = errors.ApiError("InternalError", f"the emulated account broke: {broken!r}", 500)
        if request is not None:
            self._write(request, refusal.status, refusal.code)
        kind, answer = codec.failure(speaks, refusal, request_id)
        extra = [*_PROTOCOL_HEADERS.get(speaks, []), ("x-amzn-query-error", f"{refusal.code};Sender")]
        return _status(refusal.status), [*_standard(kind, answer, request_id, self._clock), *extra], answer

    def _write(self, request: requests.Request, status: int, error: str = "") -> None:
        if request.via != rehearsed.LOOKUP:
            self._record.add(request, self._clock.now(), status, error)

    def _ours(self, headers: Mapping[str, str]) -> bool:
        return headers.get(VIA, "").startswith(self.secret + " ")

    def _answer(
        self, request: requests.Request, environ: WSGIEnvironment, body: bytes, request_id: str
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        for guard in self.guards:
            guard(request)
        if request.service == "ec2" and request.params.get("DryRun"):
            raise errors.ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        name = f"{request.service}:{request.action}"
        handler = self._handlers.get(name)
        values = handler(request) if handler is not None else requests.BEHIND
        if isinstance(values, requests.Raw):
            headers = [*_standard(values.content_type, values.body, request_id, self._clock), *values.headers.items()]
            return _status(values.status), headers, values.body
        if values is not requests.BEHIND:
            kind, answer = codec.answer(request.service, request.action, request.speaks, values, request_id)
            extra = _PROTOCOL_HEADERS.get(request.speaks, [])
            return _status(200), [*_standard(kind, answer, request_id, self._clock), *extra], answer
        if not rehearsed.rehearses(request.service, request.action):
            raise errors.ApiError(
                "NotRehearsed",
                f"{name} is not rehearsed by the emulated account; see simpleflow/testing/cloud/wire/rehearsed.py",
                501,
            )
        return self._to_moto(environ, body)

    def _to_moto(self, environ: Mapping[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        answered: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., Any]:
            answered[:] = [status, headers]
            return lambda data: None

        inner = {**_BLANK, **environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        inner.pop("HTTP_TRANSFER_ENCODING", None)
        parts = self._moto(inner, start_response)
        try:
            answer = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        status, headers = answered
        return status, [(k, v) for k, v in headers if k.lower() not in ("connection", "date")], answer


_PROTOCOL_HEADERS: dict[codec.Protocol, list[tuple[str, str]]] = {"cbor": [("smithy-protocol", "rpc-v2-cbor")]}
_BLANK: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "HTTP_HOST": "127.0.0.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": io.StringIO(),
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def _code_of(answer: bytes) -> str:
    """The error code in an answer of moto's."""
    found = re.search(rb"<Code>([^<]+)</Code>|\"__type\": ?\"(?:[^\"#]*#)?([^\"]+)\"", answer)
    return (found[1] or found[2]).decode() if found else ""


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    return headers


def _read(environ: WSGIEnvironment) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        return bytes(stream.read())
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return bytes(stream.read(length)) if length else b""


def _status(code: int) -> str:
    return f"{code} {_REASONS.get(code, 'Error')}"


def _standard(kind: str, answer: bytes, request_id: str, clock: clocks.Clock) -> list[tuple[str, str]]:
    return [
        ("Content-Type", kind),
        ("Content-Length", str(len(answer))),
        ("x-amzn-RequestId", request_id),
        ("Date", formatdate(clock.now(), usegmt=True)),
    ]


def _cut(environ: WSGIEnvironment) -> None:
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
