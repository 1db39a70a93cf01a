"""Details of a failed task: always one JSON object that fits SWF's limit."""

from __future__ import annotations

from simpleflow.core import limits, text

from . import values


def of_exception(error: BaseException) -> values.Failed:
    """Describe an exception that an activity, or what prepares it, raised. Never raises, whatever the exception is."""
    return values.Failed(reason=text.cut(text.of_error(error), limits.REASON), details=text.details(error))


def of_words(error: str, message: str, *, reason: str | None = None) -> values.Failed:
    """Describe a failure without an exception, such as a runner that was killed."""
    message = text.encodable(message)
    details = text.Details(error=error, error_type=f"simpleflow.runtime.{error}", message=message)
    return values.Failed(
        reason=text.cut(reason or f"{error}: {message}", limits.REASON), details=text.encode_details(details)
    )
