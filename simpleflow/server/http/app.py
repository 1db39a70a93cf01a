"""AWS JSON 1.0 over HTTP: parses requests, has a Host carry them out, and writes the answers."""

from __future__ import annotations

import functools
import hmac
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import httptools
import msgspec

from simpleflow.server.requests import auth, errors, faults, model
from simpleflow.server.state import polls

from . import connection, deciders, following

logger = logging.getLogger(__name__)

_TARGET = b"SimpleWorkflowService."
#: what may stand before it: the developer guide's own requests, and boto 2, write the long form
_LONG_FORM = b"com.amazonaws.swf.service.model."
#: our own calls, outside SWF's service model
_EXTENSION = b"SimpleflowEmbedded."
_SEVERAL = _EXTENSION + b"RespondActivityTasks"
_POLLS: Final = frozenset({"PollForActivityTask", "PollForDecisionTask"})
#: characters of a poll's name
_POLL_ID: Final = 256
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
#: the answer of a poll that ends without a task
_EMPTY_POLL: Final = {
    "PollForActivityTask": {"taskToken": "", "startedEventId": 0},
    "PollForDecisionTask": {"taskToken": "", "startedEventId": 0, "previousStartedEventId": 0},
}


class Calls(Protocol):
    """What the application needs of ``host.Host``. Functions that are given are called once, at once or later."""

    def call(
        self,
        action: str,
        request: Mapping[str, Any],
        give: polls.Give,
        *,
        poll_id: str | None = None,
        again: bool = False,
        first: bool = False,
        then: polls.Then | None = None,
    ) -> polls.Waiter | None:
        """Carry out a call; its outcome comes after the commit that it depends on. Raises Fault: nothing was done.

        Returns the Waiter of a poll that is open.
        """

    def answer(
        self, answers: Sequence[tuple[str, Mapping[str, Any]]], then: polls.Then | None, give: polls.GiveSeveral
    ) -> polls.Waiter | None:
        """Carry out several answers to activity tasks. Raises Fault: none was carried out."""

    def abandon(self, waiter: polls.Waiter) -> None:
        """Withdraw a poll whose client is gone."""

    def revoke(self, poll_id: str) -> bool:
        """End an open poll at once; False when there is none of that name, or a task is on its way to it."""

    def leave(self, lists: Iterable[str], tokens: Iterable[str]) -> None:
        """Give the sticky lists (DOMAIN/LIST) and the unanswered tasks of a decider that is gone to the others."""


class App:
    """Answers the requests of ``connection.Connection``.

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
        self._open: dict[str, connection.Connection] = {}
        self._deciders = deciders.Deciders(host.leave)
        self._stopping = False
        #: names of polls that have none
        self._series = os.urandom(10).hex()
        self._unnamed = 0
        self._seen = time.monotonic()

    def quiet(self) -> float:
        """Seconds since a client came last, 0 while one waits."""
        return 0.0 if self._open else time.monotonic() - self._seen

    @property
    def open_polls(self) -> int:
        return len(self._open)

    def stop(self) -> None:
        """Answer the open polls, empty or with what came meanwhile; later ones are answered empty at once."""
        self._stopping = self._deciders.stopped = True
        for poll_id in list(self._open):
            self._host.revoke(poll_id)

    def handle(self, exchange: connection.Exchange) -> None:
        """Carry out a request."""
        self._seen = time.monotonic()
        try:
            self._carry_out(exchange)
        except Exception as error:
            self._fail(exchange, error)

    def _carry_out(self, exchange: connection.Exchange) -> None:
        target = b""
        poll_id = host = token = wanted = claim = ahead = None
        for name, value in exchange.headers:
            if name == b"x-amz-target":
                target = value.removeprefix(_LONG_FORM)
            elif name == b"x-simpleflow-poll":
                poll_id = value
            elif name == b"x-simpleflow-ahead":
                ahead = value
            elif name == b"x-simpleflow-next":
                wanted = value
            elif name == b"x-simpleflow-claim":
                claim = value
            elif name == b"x-simpleflow-token":
                token = value
            elif name == b"host":
                host = value if host is None else b"several"
        url = exchange.url
        path, query = (url, b"") if url == b"/" else _parts(url)
        if exchange.connection.tcp:
            if self._keys is not None:
                method = exchange.method.decode("latin-1")
                self._keys.verify(method, path, query, exchange.headers, bytes(exchange.body))
            else:
                self._authenticate(host, token)
        if exchange.method != b"POST" or path != b"/":
            raise errors.protocol("UnknownOperationException", "Calls are POST / with the header X-Amz-Target")
        if target.startswith(_TARGET):
            action = target[len(_TARGET) :].decode("latin-1")
            self._call(exchange, action, poll_id, wanted, claim, ahead=ahead is not None)
        elif target == _SEVERAL:
            self._several(exchange)
        elif target.startswith(_EXTENSION):
            self._extension(exchange, target[len(_EXTENSION) :], _decode(exchange.body))
        else:
            raise errors.protocol(
                "UnknownOperationException", "The header X-Amz-Target must be SimpleWorkflowService.ACTION"
            )

    def _call(
        self,
        exchange: connection.Exchange,
        action: str,
        poll_id: bytes | None,
        wanted: bytes | None,
        claim: bytes | None,
        *,
        ahead: bool,
    ) -> None:
        request = _decode(exchange.body)
        if self._faults is not None:
            self._faults.before(action)
        if action in _POLLS:
            self._poll(exchange, action, request, poll_id, ahead=ahead)
            return
        then = None
        if wanted is not None and action in following.ANSWERS and not self._stopping:
            then = following.then(wanted, claim)
        elif action == "RespondDecisionTaskCompleted":
            self._deciders.answered(request.get("taskToken"))
        waiter = self._host.call(action, request, functools.partial(self._give, exchange, action), then=then)
        if waiter is not None:  # a client that goes away meanwhile is given no task
            exchange.abandon = functools.partial(self._host.abandon, waiter)

    def _give(self, exchange: connection.Exchange, action: str, outcome: dict[str, Any] | errors.Fault) -> None:
        """Answer a call."""
        if isinstance(outcome, errors.Fault):
            exchange.refuse(outcome)
            return
        try:
            if self._faults is not None:
                self._faults.after(action)
            told = exchange.ahead or not (outcome or action not in self._silent)
            exchange.answer(b"" if told else msgspec.json.encode(outcome))
        except Exception as error:
            self._fail(exchange, error)

    def _several(self, exchange: connection.Exchange) -> None:
        """Take several answers and give the next tasks; a client that goes away meanwhile is given none."""
        answers, then = following.several(bytes(exchange.body))
        actions = {action for action, _ in answers}
        if self._faults is not None:
            for action in actions:
                self._faults.before(action)
        give = functools.partial(self._give_several, exchange, actions)
        waiter = self._host.answer(answers, None if self._stopping else then, give)
        if waiter is not None:
            exchange.abandon = functools.partial(self._host.abandon, waiter)

    def _give_several(
        self,
        exchange: connection.Exchange,
        actions: Iterable[str],
        outcome: tuple[list[errors.Fault | None], list[dict[str, Any]]] | errors.Fault,
    ) -> None:
        if isinstance(outcome, errors.Fault):
            exchange.refuse(outcome)
            return
        try:
            if self._faults is not None:
                for action in actions:
                    self._faults.after(action)
            exchange.answer(following.answered(*outcome))
        except Exception as error:
            self._fail(exchange, error)

    def _poll(
        self,
        exchange: connection.Exchange,
        action: str,
        request: dict[str, Any],
        given: bytes | None,
        *,
        ahead: bool,
    ) -> None:
        """Hold a poll; a client that goes away withdraws it."""
        again, first, here = False, False, exchange.connection
        if given is None:
            self._unnamed += 1
            name = f"poll-{self._series}-{self._unnamed}"
        else:
            name, again, first = following.poll_of(given)
            if not 0 < len(name) <= _POLL_ID:
                raise errors.validation(f"X-Simpleflow-Poll must have 1 to {_POLL_ID} characters")
            if name in self._open:  # its client has given that poll up, and its connection is not closed yet
                self._host.revoke(name)
        if "nextPageToken" not in request:
            if self._stopping:
                self._give(exchange, action, _EMPTY_POLL[action])
                return
            if here.behind:  # another request waits behind the poll: neither is carried out
                here.drop()
                return
            here.withdraw = functools.partial(self._host.revoke, name)
        decider = None
        if action == "PollForDecisionTask":
            decider = self._deciders.polls(name, request, here, last=exchange.last)
        self._open[name] = here
        give = functools.partial(self._give_task, exchange, action, name, decider)
        try:
            waiter = self._host.call(action, request, give, poll_id=name, again=again, first=first)
        except BaseException:
            self._closed(name, here)
            raise
        if waiter is not None:
            exchange.abandon = functools.partial(self._abandon, name, here, waiter)
            if ahead:
                waiter.tell = functools.partial(self._tell, exchange)

    def _tell(self, exchange: connection.Exchange, outcome: dict[str, Any]) -> None:
        """Send a task ahead of the disk; what ``_give_task`` sends is the last byte then."""
        try:
            body = msgspec.json.encode(outcome)
        except Exception:  # ``_give_task`` meets it, too
            return
        exchange.tell(body)

    def _give_task(
        self,
        exchange: connection.Exchange,
        action: str,
        name: str,
        decider: str | None,
        outcome: dict[str, Any] | errors.Fault,
    ) -> None:
        here = exchange.connection
        self._closed(name, here)
        try:
            if decider is not None and not isinstance(outcome, errors.Fault) and outcome["taskToken"]:
                self._deciders.got(decider, outcome["taskToken"], gone=here.gone)
        except Exception as error:
            self._fail(exchange, error)
        else:
            self._give(exchange, action, outcome)

    def _abandon(self, name: str, here: connection.Connection, waiter: polls.Waiter) -> None:
        self._host.abandon(waiter)
        self._closed(name, here)

    def _closed(self, name: str, here: connection.Connection) -> None:
        """Take note that a poll is over."""
        here.withdraw = None
        if self._open.get(name) is here:
            del self._open[name]
        self._seen = time.monotonic()

    def _fail(self, exchange: connection.Exchange, error: Exception) -> None:
        """Say that a call was refused, or that it failed."""
        if isinstance(error, errors.Fault):
            exchange.refuse(error)
        elif isinstance(error, faults.ResponseLost):
            exchange.connection.drop()
        else:
            logger.error(
                "A call failed inside the service; it was not carried out.",
                exc_info=error,
                extra={"action": "call"},
            )
            exchange.refuse(errors.internal("The service failed; its log says how"))

    def _authenticate(self, host: bytes | None, token: bytes | None) -> None:
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

    def _extension(self, exchange: connection.Exchange, name: bytes, request: dict[str, Any]) -> None:
        if name == b"RevokePoll":
            poll_id = request.get("pollId")
            if not isinstance(poll_id, str) or not 0 < len(poll_id) <= _POLL_ID:
                raise errors.validation(f"pollId must be a string of 1 to {_POLL_ID} characters")
            revoked = self._host.revoke(poll_id)
            if revoked:
                self._deciders.revoked(poll_id)
            exchange.answer(msgspec.json.encode({"revoked": revoked}))
        elif name == b"Status":
            exchange.answer(msgspec.json.encode(self._status()))
        else:
            raise errors.protocol(
                "UnknownOperationException", "SimpleflowEmbedded knows RevokePoll, RespondActivityTasks and Status"
            )


def _parts(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of a URL. Raises Fault when it is none."""
    try:
        found = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError as error:
        raise errors.protocol("SerializationException", "Invalid HTTP request received.") from error
    return found.path or b"", found.query or b""


def _without_port(name: str) -> str:
    head, colon, port = name.rpartition(":")
    return head if colon and port.isdigit() else name


def _decode(body: bytes | bytearray) -> dict[str, Any]:
    if not body:
        return {}
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.protocol("SerializationException", f"The body is not JSON: {error}") from error
    if type(request) is not dict:
        raise errors.protocol("SerializationException", "The body must be a JSON object")
    return request
