"""Task tokens and page tokens. A token that is old, or of another database, is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from simpleflow.core import limits
from simpleflow.server.requests import errors
from simpleflow.server.state import execution
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states
from simpleflow.server.store import base

#: arguments that may differ from page to page
_FREE = frozenset({"nextPageToken", "maximumPageSize"})
#: the part of a run id that tokens have
_PART = slice(2, 14)


def of_task(kind: str, run: execution.Execution, event_id: int) -> str:
    """Make the token of a started task; kinds: d (by DecisionTaskStarted), a (by ActivityTaskScheduled).

    A part of the run id makes it invalid for other databases, and hard to guess. The poll or exchange that brought the
    task makes it invalid for another task whose event has the same number: a decision may leave before the disk has it,
    and a backup may be restored while workers work.
    """
    return f"{kind}.{run.key:x}.{event_id:x}.{run.config.run_id[_PART]}{_of_claim(kind, run, event_id)}"


def _of_claim(kind: str, run: execution.Execution, event_id: int) -> str:
    """Return the part of a token that names what brought the task; '' for a task that nobody has."""
    if kind == "d":
        claim = run.state.claim
    else:
        item = run.items.get(event_id)
        claim = item.claim if type(item) is states.Activity else None
    return "" if claim is None else hashlib.blake2b(claim.encode(), digest_size=6).hexdigest()


def task(session: sessions.Session, kind: str, token: str) -> tuple[execution.Execution, int]:
    """Return the execution and the event of a task token.

    Raises UnknownResourceFault for a task whose execution is closed or unknown, ValidationException for a text
    that is not a token.
    """
    parts = token.split(".")
    try:
        key, event_id, salt = int(parts[1], 16), int(parts[2], 16), parts[3]
    except (IndexError, ValueError):
        raise errors.validation("Invalid token") from None
    if len(parts) != 4 or parts[0] not in ("a", "d") or not 0 < key < base.KEYS:
        raise errors.validation("Invalid token")
    found = session.by_key(key) if parts[0] == kind else None
    if found is None or found.config.run_id[_PART] + _of_claim(kind, found, event_id) != salt:
        word = "activity" if kind == "a" else "decision"
        raise errors.unknown_resource(
            f"Unknown {word} task: it or its execution is closed, or the token is of another one"
        )
    return found, event_id


def run_of(request: Mapping[str, Any]) -> str:
    """Return the keys that name the execution of a request's task token; empty without a token."""
    parts: list[str] = request.get("taskToken", "").split(".")
    return parts[1] if len(parts) == 4 else ""


class _Page(msgspec.Struct, array_like=True):
    expires: float
    #: digest of the request's other arguments
    request: str
    position: list[Any]


def _digest(action: str, request: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in request.items() if name not in _FREE}
    # The identity is left out: another poller may ask for the next page of a task.
    kept.pop("identity", None)
    body = msgspec.json.encode([action, kept], order="deterministic")
    return hashlib.blake2b(body, digest_size=9).hexdigest()


def next_page(session: sessions.Session, action: str, request: Mapping[str, Any], position: list[Any]) -> str:
    """Make the token of the page that begins behind a position; it is valid for 24 hours and for this request only."""
    expires = session.clock.now() + limits.PAGE_TOKEN_HOURS * 3600
    body = msgspec.msgpack.encode(_Page(expires=expires, request=_digest(action, request), position=position))
    return base64.urlsafe_b64encode(_sign(session, body) + body).decode()


def page(session: sessions.Session, action: str, request: Mapping[str, Any]) -> list[Any] | None:
    """Return the position of the request's page token, None without one.

    Raises ValidationException for a token of another request, a foreign one, or one that has expired.
    """
    token = request.get("nextPageToken")
    if not token:
        return None
    try:
        whole = base64.urlsafe_b64decode(token.encode("ascii"))
        signature, body = whole[:12], whole[12:]
        if not hmac.compare_digest(signature, _sign(session, body)):
            raise errors.validation("Invalid token")
        found = msgspec.msgpack.decode(body, type=_Page)
    except (binascii.Error, UnicodeEncodeError, msgspec.DecodeError):
        raise errors.validation("Invalid token") from None
    if found.request != _digest(action, request):
        raise errors.validation("Invalid token: it belongs to a call with other arguments")
    if found.expires < session.clock.now():
        raise errors.validation("Specified token has exceeded its maximum lifetime")
    return found.position


def _sign(session: sessions.Session, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=12, key=session.store.secret).digest()
