"""SWF over HTTP: Amazon's own endpoints, any other endpoint, and the embedded service's unix socket.

Requests to Amazon's endpoints are signed (``signing.py``). The call itself is a pooled connection and msgspec:
botocore's parser costs a page of history 50 times more CPU.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import ipaddress
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from simpleflow.core import errors as core_errors
from simpleflow.core import limits, retries
from simpleflow.swf import errors, shapes

from . import base, owner, signing, sockets

#: names a long poll, so that it can be ended; an extension of the embedded service (docs/reference/formats.md)
POLL_HEADER = "X-Simpleflow-Poll"
#: ask for the next task with an answer, and name that exchange; extensions likewise
NEXT_HEADER, CLAIM_HEADER = "X-Simpleflow-Next", "X-Simpleflow-Claim"
#: of a poll: its task may come ahead of the disk, but for the last byte; likewise
_TOLD_AHEAD = {"X-Simpleflow-Ahead": "1"}
REVOKE_TARGET = "SimpleflowEmbedded.RevokePoll"
#: several answers to activity tasks, and the next tasks; likewise
SEVERAL_TARGET = "SimpleflowEmbedded.RespondActivityTasks"
#: seconds that the answer of a long poll may take: it is held for a minute
POLL_TIMEOUT = limits.POLL_CLIENT_SECONDS + 5.0
#: seconds that other answers may take; a heartbeat must leave time for the next one
TIMEOUT, HEARTBEAT_TIMEOUT = 20.0, 5.0
_TIMEOUTS = {
    "PollForActivityTask": POLL_TIMEOUT,
    "PollForDecisionTask": POLL_TIMEOUT,
    "RecordActivityTaskHeartbeat": HEARTBEAT_TIMEOUT,
}
#: the header that Amazon SWF and the embedded service put on each answer, and a middle box on none
_IDENTIFIED = b"\r\nx-amzn-requestid:"
#: answers that a middle box can give by chance, such as ``{}``
_SAYS_LITTLE = (shapes.Nothing, shapes.ActivityTaskStatus)
#: such answers without a request id that are refused before they are believed, where the service is not known yet
_DOUBTS = 2
_PREFIX = "SimpleWorkflowService."
_CONTENT_TYPE = "application/x-amz-json-1.0"
#: returns the headers that sign a request, from its own headers and its body
Sign = Callable[[dict[str, str], bytes], dict[str, str]]


class Wire(Protocol):
    """Carries one HTTP request. Thread safe; retries nothing.

    Raises NotSent when nothing was sent, TransportError for everything else that is not a whole answer.
    """

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes | bytearray, bytes]:
        """Return status, body and head of the answer: its lines of headers in lower case, each after CR LF."""

    def close(self) -> None: ...


class Pipeline(Protocol):
    """Carries two HTTP requests together, and tells of answers that are on their way. Thread safe."""

    def post_told(self, request: sockets.Request, tell: sockets.Tell) -> sockets.Answered:
        """As ``Wire.post``; ``tell`` may be called with the answer while its last byte is waited for."""

    def post_both(self, first: sockets.Request, second: sockets.Request) -> tuple[sockets.Answered, sockets.Behind]:
        """Return the answer to the first request, and what waits for that to the second one."""


class _Refusal(msgspec.Struct):
    """The body of an answer that is not 200."""

    kind: str = msgspec.field(default="", name="__type")
    message: str | None = None
    #: some of Amazon's front ends write it so
    Message: str | None = None


class _Told:
    """The answer to a poll, of which ``ahead`` is told while its last byte is waited for."""

    def __init__(self, http: Http, action: str, ahead: base.Ahead) -> None:
        self._http = http
        self._action = action
        self._ahead = ahead
        self._found: Any = None

    def tell(self, status: int, answer: memoryview, head: bytes) -> None:
        if status == 200:
            self._found = self.read(answer, head)
            self._ahead(self._found)

    def read(self, answer: bytes | bytearray | memoryview, head: bytes) -> Any:
        if self._found is not None:
            return self._found
        return self._http.read(self._action, functools.partial(shapes.decode, self._action), answer, head)


class _Exchanged(msgspec.Struct):
    answers: list[_Refusal]
    tasks: list[shapes.ActivityTask]


class _Revoked(msgspec.Struct):
    #: None: the answer of another service
    revoked: bool | None = None


class Http:
    """A ``base.Transport`` over one endpoint."""

    def __init__(
        self,
        wire: Wire,
        *,
        sign: Sign | None = None,
        extended: bool = True,
        pipeline: Pipeline | None = None,
        identified: bool | None = None,
        shown: str = "",
    ) -> None:
        """``extended``: the other side may be the embedded service, with its extensions of the protocol. ``pipeline``:
        it is, and this carries two requests together.

        ``identified``: each answer of the service carries a request id, so one without it is not from the service;
        None: that is learnt from the first answer that only the service can give. ``shown``: the endpoint, for errors.
        """
        self._wire = wire
        self._sign = sign
        self._extended = extended
        self._pipeline = pipeline
        self._identified = identified
        #: whether the other side is known to be the embedded service: it gave a task with an answer, or revoked a poll
        self._embedded = False
        self._doubts = 0
        self._at = f" (at {shown})" if shown else ""

    def call(
        self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None, ahead: base.Ahead | None = None
    ) -> Any:
        extensions = {} if poll_id is None else {POLL_HEADER: poll_id}
        if ahead is not None and self._pipeline is not None:
            asked = self._request(_PREFIX + action, action, msgspec.json.encode(request), {**extensions, **_TOLD_AHEAD})
            told = _Told(self, action, ahead)
            return told.read(*self._checked(action, *self._pipeline.post_told(asked, told.tell)))
        return self._call(action, request, extensions, functools.partial(shapes.decode, action))

    def exchange(self, action: str, request: Mapping[str, Any], following: base.Following) -> Any | None:
        if not self._extended:
            self.call(action, request)
            return None
        claim = following.claim + "; again" * following.again
        found = self._call(action, request, {NEXT_HEADER: following.poll, CLAIM_HEADER: claim}, _next_task)
        if isinstance(found, shapes.Nothing):
            return None
        self._embedded = True
        return found

    def answer_and_poll(self, action: str, request: Mapping[str, Any], poll: base.Poll) -> Callable[[], Any] | None:
        if self._pipeline is None:
            self.call(action, request)
            return None
        first = self._request(_PREFIX + action, action, msgspec.json.encode(request), {})
        told = None if poll.ahead is None else _Told(self, poll.action, poll.ahead)
        extensions = {POLL_HEADER: poll.poll_id, **(_TOLD_AHEAD if told is not None else {})}
        polling = self._request(_PREFIX + poll.action, poll.action, msgspec.json.encode(poll.request), extensions)
        answered, behind = self._pipeline.post_both(first, polling)
        try:
            self.read(action, functools.partial(shapes.decode, action), *self._checked(action, *answered))
        except BaseException:
            behind.drop()  # the service withdraws the poll
            raise

        def wait() -> Any:
            if told is not None:
                return told.read(*self._checked(poll.action, *behind.receive(told.tell)))
            answer, head = self._checked(poll.action, *behind.receive())
            return self.read(poll.action, functools.partial(shapes.decode, poll.action), answer, head)

        return wait

    def exchange_several(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], following: base.Following | None
    ) -> base.Exchanged | None:
        if not self._embedded:
            return None
        asked: dict[str, Any] = {"answers": [{"action": action, "request": request} for action, request in answers]}
        if following is not None:
            asked["next"] = {
                "poll": msgspec.Raw(following.poll.encode()),
                "claim": following.claim,
                "again": following.again,
                "most": following.most,
                "quick": following.quick,
            }
        try:
            body, head = self._post(SEVERAL_TARGET, "RespondActivityTasks", msgspec.json.encode(asked), {})
        except errors.UnknownOperationException:  # another service took its place
            self._embedded = False
            return None
        try:
            found = msgspec.json.decode(body, type=_Exchanged)
        except (msgspec.DecodeError, RecursionError) as error:
            raise errors.TransportError(
                f"RespondActivityTasks: the answer is none of this call ({error}){self._at}"
            ) from error
        if len(found.answers) != len(answers) or not all(task.task_token for task in found.tasks):
            raise errors.TransportError(f"RespondActivityTasks: the answer is none of this call{self._at}")
        self._believe("RespondActivityTasks", head, telling=True)
        refusals = [
            errors.from_answer(action, 400, each.kind, each.message or "", where=self._at) if each.kind else None
            for (action, _), each in zip(answers, found.answers, strict=True)
        ]
        return base.Exchanged(tuple(refusals), tuple(found.tasks))

    def _call(
        self,
        action: str,
        request: Mapping[str, Any],
        extensions: dict[str, str],
        decode: Callable[[bytes | bytearray], Any],
    ) -> Any:
        body = msgspec.json.encode(request)
        return self.read(action, decode, *self._post(_PREFIX + action, action, body, extensions))

    def read(
        self,
        action: str,
        decode: Callable[[Any], Any],
        answer: bytes | bytearray | memoryview,
        head: bytes,
    ) -> Any:
        """Return what an answer of the service says."""
        try:
            decoded = decode(answer)
        except core_errors.SimpleflowError:
            raise
        except Exception as error:  # whatever a parser says of bytes that are not an answer
            raise errors.TransportError(f"{action}: the answer is none of this action ({error}){self._at}") from error
        self._believe(action, head, telling=not isinstance(decoded, _SAYS_LITTLE))
        return decoded

    def _believe(self, action: str, head: bytes, *, telling: bool) -> None:
        """Raise TransportError for an answer that is not from the service, and learn whether its answers carry an id.

        ``telling``: only the service can give such an answer.
        """
        found = _IDENTIFIED in head
        if self._identified and not found:
            raise errors.TransportError(
                f"{action}: an answer came, and not from the service: it has no request id{self._at}"
            )
        if found or telling:
            self._identified = found
        elif self._identified is None:
            self._doubts += 1
            if self._doubts < _DOUBTS:
                raise errors.TransportError(
                    f"{action}: an answer without a request id came, from the service or a proxy{self._at}"
                )

    def revoke(self, poll_id: str) -> bool:
        if not self._extended:
            return False
        body = msgspec.json.encode({"pollId": poll_id})
        try:
            answer, _ = self._post(REVOKE_TARGET, "RevokePoll", body, {})
            found = msgspec.json.decode(answer, type=_Revoked)
            if found.revoked is not None:
                self._embedded = True
            return bool(found.revoked)
        except (errors.UnknownOperationException, errors.ValidationException):
            self._extended = False  # another SWF service: it knows no such call
            return False
        except msgspec.DecodeError:
            return False

    def close(self) -> None:
        self._wire.close()

    def _post(
        self, target: str, action: str, body: bytes, extensions: dict[str, str]
    ) -> tuple[bytes | bytearray, bytes]:
        return self._checked(action, *self._wire.post(*self._request(target, action, body, extensions)))

    def _request(self, target: str, action: str, body: bytes, extensions: dict[str, str]) -> sockets.Request:
        headers = {"X-Amz-Target": target, "Content-Type": _CONTENT_TYPE}
        if self._sign is not None:
            headers = self._sign(headers, body)
        if extensions and self._extended:
            headers.update(extensions)  # after signing: what is signed stays what boto3 signs
        return sockets.Request(headers, body, _TIMEOUTS.get(action, TIMEOUT))

    def _checked(
        self, action: str, status: int, answer: bytes | bytearray, head: bytes
    ) -> tuple[bytes | bytearray, bytes]:
        """Return body and head of an answer; raises the error that it is."""
        if status == 200:
            return answer, head
        try:
            refusal = msgspec.json.decode(answer, type=_Refusal)
        except (msgspec.DecodeError, RecursionError):
            refusal = _Refusal(message=answer[:200].decode(errors="replace"))
        error = errors.from_answer(
            action, status, refusal.kind, refusal.message or refusal.Message or "", where=self._at
        )
        if error.kind is retries.Kind.VERDICT and self._identified and _IDENTIFIED not in head:
            raise errors.OddAnswer(f"{error}; not from the service: it has no request id")
        if error.kind is retries.Kind.REFUSED and isinstance(self._sign, signing.Signer):
            self._sign.renew(_moment(head))
        raise error


def _next_task(answer: bytes | bytearray) -> Any:
    """Read the answer of an exchange: the next task, or nothing, as every service acknowledges an answer."""
    if answer.strip() in (b"", b"{}"):
        return shapes.decode("RespondActivityTaskCompleted", answer)
    task = shapes.decode("PollForActivityTask", answer)
    if not task.task_token:
        raise msgspec.ValidationError("a task without a token came")
    return task


def _moment(head: bytes) -> float | None:
    """Return what the answer's Date header says, in epoch seconds."""
    _, found, rest = head.partition(b"\r\ndate:")
    if not found:
        return None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(rest.partition(b"\r\n")[0].strip().decode("latin-1")).timestamp()
    return None


def open_endpoint(url: str) -> base.Transport:
    """Return a transport to an endpoint: ``unix:///PATH``, ``http://HOST[:PORT]`` or ``https://HOST[:PORT]``.

    Requests to a unix socket are not signed; others are when there are credentials, and Amazon's own endpoints must
    have them. Raises UsageError for another kind of URL, NoCredentials.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # brackets without an end, a port that is not one
        raise _not_an_endpoint(url) from error
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        path = urllib.parse.unquote(parts.path)
        wire = sockets.Sockets(path, host="localhost", path="/", shown=url)
        return Http(wire, pipeline=wire, shown=url)
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise _not_an_endpoint(url)
    amazon = signing.is_amazon(url)
    signer = signing.Signer.of(url, local=_is_loopback(host), required=amazon)
    sign = owner.with_token(url, signer)
    return Http(_wire(url), sign=sign, extended=not amazon, identified=amazon or None, shown=_shown(url))


def _not_an_endpoint(url: str) -> core_errors.UsageError:
    return core_errors.UsageError(
        f"endpoint {url!r} is none: write unix:///PATH/swf.sock, http://HOST:PORT or https://HOST"
    )


def open_amazon() -> base.Transport:
    """Return a transport to Amazon SWF, or to the endpoint that AWS's configuration names instead.

    Raises NoCredentials and NoRegion, which say what to do.
    """
    signer = signing.Signer.of(None, local=False, required=True)
    assert signer is not None
    amazon, sign = signing.is_amazon(signer.url), owner.with_token(signer.url, signer)
    return Http(_wire(signer.url), sign=sign, extended=not amazon, identified=amazon or None, shown=_shown(signer.url))


def _shown(url: str) -> str:
    """Return a URL without a user's name and password."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _wire(url: str) -> Wire:
    parts = urllib.parse.urlsplit(url)
    path = parts.path or "/"
    if parts.scheme == "http":
        address = (parts.hostname or "", parts.port or 80)
        return sockets.Sockets(address, host=parts.netloc.rpartition("@")[2], path=path, shown=url)
    from . import tls  # urllib3 costs 60 ms that a unix socket has no use for

    return tls.Tls(url, signing.certificates())
