"""What a failed task says: one JSON object on every path, that always fits."""

from __future__ import annotations

import traceback

import msgspec

from simpleflow.core import limits

from . import values

#: what is cut out of the middle of a traceback that is too long
_CUT = "\n… {} characters left out …\n"


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """Details of a failure, as docs/reference/formats.md pins them."""

    error: str
    #: dotted name of the exception's class
    error_type: str
    message: str
    traceback: str = ""


def _shorten(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    keep = max(0, (room - len(_CUT) - 10) // 2)
    return text[:keep] + _CUT.format(len(text) - 2 * keep) + (text[-keep:] if keep else "")


def encode(details: Details, limit: int = limits.DATA) -> str:
    """Return the JSON text, its message and then its traceback cut in the middle until ``limit`` characters hold it."""
    text = msgspec.json.encode(details).decode()
    room = limit
    while len(text) > limit:
        room = room * 3 // 4
        details = msgspec.structs.replace(
            details, message=_shorten(details.message, room // 2), traceback=_shorten(details.traceback, room // 2)
        )
        text = msgspec.json.encode(details).decode()
    return text


def of_exception(error: BaseException) -> values.Failed:
    """Describe an exception that an activity, or what prepares it, raised."""
    kind = type(error)
    message = str(error)
    return values.Failed(
        reason=_shorten(f"{kind.__name__}: {message}" if message else kind.__name__, limits.REASON),
        details=encode(
            Details(
                error=kind.__name__,
                error_type=f"{kind.__module__}.{kind.__qualname__}",
                message=message,
                traceback="".join(traceback.format_exception(error)),
            )
        ),
    )


def of_words(error: str, message: str, *, reason: str | None = None) -> values.Failed:
    """Describe a failure that no exception reached us of, such as a runner that was killed."""
    return values.Failed(
        reason=_shorten(reason or f"{error}: {message}", limits.REASON),
        details=encode(Details(error=error, error_type=f"simpleflow.runtime.{error}", message=message)),
    )
