"""AWS JSON 1.0 over HTTP: parses requests, has a Host carry them out, and writes the answers."""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from simpleflow.core import limits
from simpleflow.server.requests import auth, errors, faults, model
from simpleflow.server.state import polls

from . import deciders, following

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_TARGET = b"SimpleWorkflowService."
#: what may stand before it: the developer guide's own requests, and boto 2, write the long form
_LONG_FORM = b"com.amazonaws.swf.service.model."
#: our own calls, outside SWF's service model
_EXTENSION = b"SimpleflowEmbedded."
_SEVERAL = _EXTENSION + b"RespondActivityTasks"
_POLLS: Final = frozenset({"PollForActivityTask", "PollForDecisionTask"})
#: a body that is too long is read and dropped up to this many bytes, so that the client reads why it was refused
_DROPPED: Final = 8 * limits.REQUEST_BYTES
#: characters of a poll's name
_POLL_ID: Final = 256
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
#: the answer of a poll that ends without a task
_EMPTY_POLL: Final = {
    "PollForActivityTask": {"taskToken": "", "startedEventId": 0},
    "PollForDecisionTask": {"taskToken": "", "startedEventId": 0, "previousStartedEventId": 0},
}


class _Crossed(Exception):
    """Another request of the connection waits behind a long poll: neither is carried out."""


class Calls(Protocol):
    """What the application needs of ``host.Host``."""

    async def call(
        self,
        action: str,
        request: Mapping[str, Any],
        *,
        poll_id: str | None = None,
        again: bool = False,
        then: polls.Then | None = None,
    ) -> Any:
        """Carry out a call; returns after the commit that it depends on. Cancelled: the client is gone."""

    async def answer(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: polls.Then | None
    ) -> tuple[list[errors.Fault | None], list[dict[str, Any]]]:
        """Carry out several answers to activity tasks; return what each came to, and the next tasks."""

    def revoke(self, poll_id: str) -> bool:
        """End an open poll at once; False when there is none of that name, or a task is on its way to it."""

    def leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        """Give the sticky lists (DOMAIN/LIST) and the unanswered tasks of a decider that is gone to the others."""


class App:
    """A raw ASGI application for ``connection.Connection``.

    ``keys`` are the credentials that sign requests on TCP. ``token`` is what they must carry instead. Without both
    anybody on this machine may call. Without keys the Host header must name a loopback address. Requests on the unix
    socket are never checked: its mode is 0600.
    """

    def __init__(
        self,
        host: Calls,
        *,
        keys: auth.Keys | None = None,
        token: str | None = None,
        provoked: faults.Faults | None = None,
        status: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._host = host
        self._keys = keys
        self._token = None if token is None else token.encode("latin-1")
        self._faults = provoked
        self._status = status
        self._silent = frozenset(name for name, each in model.load().operations.items() if each.output is None)
        #: names of the polls that are open, and their connections
        self._open: dict[str, Any] = {}
        self._deciders = deciders.Deciders(host.leave)
        self._stopping = False
        self._number = 0
        self._series = os.urandom(10).hex()
        self._seen = time.monotonic()

    def quiet(self) -> float:
        """Seconds since a client came last, 0 while one waits."""
        return 0.0 if self._open else time.monotonic() - self._seen

    @property
    def open_polls(self) -> int:
        return len(self._open)

    async def stop(self) -> None:
        """Answer the open polls, empty or with what came meanwhile; later ones are answered empty at once."""
        self._stopping = self._deciders.stopped = True
        for poll_id in list(self._open):
            self._host.revoke(poll_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["simpleflow.connection"]
        self._seen = time.monotonic()
        try:
            answer = await self._answer(scope, receive, connection)
            status, close = 200, False
        except errors.Fault as fault:
            answer, status, close = fault.body(), fault.status, fault.status in (413, 503)
        except (faults.ResponseLost, _Crossed):
            await connection.lose()
            return
        except asyncio.CancelledError:
            if connection.gone:
                return
            answer, status, close = errors.unavailable("The service is ending: call again").body(), 503, True
        except Exception:
            logger.exception("A call failed inside the service; it was not carried out.", extra={"action": "call"})
            answer, status, close = errors.internal("The service failed; its log says how").body(), 500, False
        self._number += 1
        number = f"{self._number & 0xFFFFFFFFFFFF:012x}"
        series = self._series
        headers = [
            (b"x-amzn-requestid", f"{series[:8]}-{series[8:12]}-4{series[12:15]}-8{series[15:18]}-{number}".encode()),
            (b"content-type", b"application/x-amz-json-1.0"),
            (b"content-length", b"%d" % len(answer)),
        ]
        if close:
            headers.append((b"connection", b"close"))
        connection.cork()
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": answer})
        except asyncio.CancelledError:
            connection.drop()  # the service ends while this client does not read its answer

    async def _answer(self, scope: Scope, receive: Receive, connection: Any) -> bytes:
        target = b""
        poll_id = host = token = wanted = claim = None
        for name, value in scope["headers"]:
            if name == b"x-amz-target":
                target = value.removeprefix(_LONG_FORM)
            elif name == b"x-simpleflow-poll":
                poll_id = value
            elif name == b"x-simpleflow-next":
                wanted = value
            elif name == b"x-simpleflow-claim":
                claim = value
            elif name == b"x-simpleflow-token":
                token = value
            elif name == b"host":
                host = value if host is None else b"several"
        body = await self._body(scope, receive)
        connection.complete()
        if scope["server"] is not None and scope["server"][1] is not None:
            self._authenticate(scope, host, token, body)
        if scope["method"] != "POST" or scope["path"] != "/":
            raise errors.protocol("UnknownOperationException", "Calls are POST / with the header X-Amz-Target")
        if target == _SEVERAL:
            return await self._several(body, connection)
        if target.startswith(_EXTENSION):
            return await self._extension(target[len(_EXTENSION) :], _decode(body))
        if not target.startswith(_TARGET):
            raise errors.protocol(
                "UnknownOperationException", "The header X-Amz-Target must be SimpleWorkflowService.ACTION"
            )
        action = target[len(_TARGET) :].decode("latin-1")
        request = _decode(body)
        if self._faults is not None:
            self._faults.before(action)
        if action in _POLLS:
            answer = await self._poll(action, request, poll_id, connection)
        elif wanted is not None and action in following.ANSWERS and not self._stopping:
            answer = await self._exchange(action, request, following.then(wanted, claim), connection)
        else:
            if action == "RespondDecisionTaskCompleted":
                self._deciders.answered(request.get("taskToken"))
            answer = await self._host.call(action, request)
        if self._faults is not None:
            self._faults.after(action)
        return msgspec.json.encode(answer) if answer or action not in self._silent else b""

    async def _exchange(self, action: str, request: dict[str, Any], then: polls.Then, connection: Any) -> Any:
        """Take an answer and give the next task; a client that went away meanwhile is given none."""
        connection.waiting = asyncio.current_task()
        try:
            return await self._host.call(action, request, then=then)
        finally:
            connection.waiting = None

    async def _several(self, body: bytes, connection: Any) -> bytes:
        """Take several answers and give the next tasks; a client that went away meanwhile is given none."""
        answers, then = following.several(body)
        if self._faults is not None:
            for action in {each for each, _ in answers}:
                self._faults.before(action)
        connection.waiting = asyncio.current_task()
        try:
            outcomes, tasks = await self._host.answer(answers, None if self._stopping else then)
        finally:
            connection.waiting = None
        if self._faults is not None:
            for action in {each for each, _ in answers}:
                self._faults.after(action)
        return following.answered(outcomes, tasks)

    async def _poll(self, action: str, request: dict[str, Any], given: bytes | None, connection: Any) -> Any:
        """Hold a poll; a client that goes away cancels it."""
        again = False
        if given is None:
            name = f"poll-{self._series}-{self._number}-{id(connection)}"
        else:
            name, again = following.name_of(given)
            if not 0 < len(name) <= _POLL_ID:
                raise errors.validation(f"X-Simpleflow-Poll must have 1 to {_POLL_ID} characters")
            if name in self._open:  # its client has given that poll up, and its connection is not closed yet
                self._host.revoke(name)
        if self._stopping and "nextPageToken" not in request:
            return _EMPTY_POLL[action]
        if "nextPageToken" not in request:
            if connection.pipeline:
                raise _Crossed
            connection.withdraw = functools.partial(self._host.revoke, name)
        decider = self._deciders.polls(name, request, connection) if action == "PollForDecisionTask" else None
        self._open[name] = connection
        connection.waiting = asyncio.current_task()
        try:
            answer = await self._host.call(action, request, poll_id=name, again=again)
            if decider is not None and answer["taskToken"]:
                self._deciders.got(decider, answer["taskToken"], gone=connection.gone)
            return answer
        finally:
            connection.waiting = connection.withdraw = None
            if self._open.get(name) is connection:
                del self._open[name]
            self._seen = time.monotonic()

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the request's body; raises Fault when it is too long."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                message = await receive()
                part = message.get("body", b"")
                size += len(part)
                if size <= limits.REQUEST_BYTES:
                    parts.append(part)
                elif size > _DROPPED:
                    break
            if size > limits.REQUEST_BYTES:
                raise _too_long()
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        if len(body) > limits.REQUEST_BYTES:
            raise _too_long()
        return body

    def _authenticate(self, scope: Scope, host: bytes | None, token: bytes | None, body: bytes) -> None:
        if self._keys is not None:
            self._keys.verify(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)
            return
        name = (host or b"").decode("latin-1").lower()
        if name not in _LOOPBACK and _without_port(name) not in _LOOPBACK:
            raise errors.protocol(
                "AccessDeniedException",
                f"Host {name!r} is refused: without --credentials this service answers to localhost, 127.0.0.1 and "
                "[::1] only, so that no page in a browser reaches it by a name of its own",
            )
        if self._token is not None and not hmac.compare_digest(self._token, token or b""):
            raise errors.protocol(
                "AccessDeniedException",
                "The service was started with --token: it answers to simpleflow's clients of the user who runs it. For "
                "other SWF clients it has to be started with --credentials FILE",
            )

    async def _extension(self, name: bytes, request: dict[str, Any]) -> bytes:
        if name == b"RevokePoll":
            poll_id = request.get("pollId")
            if not isinstance(poll_id, str) or not 0 < len(poll_id) <= _POLL_ID:
                raise errors.validation(f"pollId must be a string of 1 to {_POLL_ID} characters")
            revoked = self._host.revoke(poll_id)
            if revoked:
                self._deciders.revoked(poll_id)
            return msgspec.json.encode({"revoked": revoked})
        if name == b"Status":
            return msgspec.json.encode(self._status())
        raise errors.protocol(
            "UnknownOperationException", "SimpleflowEmbedded knows RevokePoll, RespondActivityTasks and Status"
        )


def _without_port(name: str) -> str:
    head, colon, port = name.rpartition(":")
    return head if colon and port.isdigit() else name


def _too_long() -> errors.Fault:
    return errors.protocol("RequestEntityTooLargeException", f"A request may have at most {limits.REQUEST_BYTES} bytes")


def _decode(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.protocol("SerializationException", f"The body is not JSON: {error}") from error
    if type(request) is not dict:
        raise errors.protocol("SerializationException", "The body must be a JSON object")
    return request
