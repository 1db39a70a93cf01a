"""The errors of the wire: SWF's faults by their own names, and calls that got no answer."""

from __future__ import annotations

from typing import ClassVar

from simpleflow.core import errors


class SwfError(errors.SimpleflowError):
    """A call that Amazon SWF, or the way to it, did not carry out."""

    #: the name that ``__type`` carries on the wire; empty where no service answered
    code: ClassVar[str] = ""


class TransportError(SwfError):
    """No answer came; the request may or may not have been carried out."""


class ThrottlingException(SwfError):
    """Too many calls for this account and region; the same call may be made again later."""

    code = "ThrottlingException"


class ServiceFailure(SwfError):
    """The service failed (a status of 500 or more); the request may or may not have been carried out."""

    code = "InternalFailure"


class Refused(SwfError):
    """A code that no class here stands for (a signature, a token, a validation); the message names the code."""

    code = "Refused"


class DefaultUndefinedFault(SwfError):
    """A start names no default that the type could lend it: the message says which."""

    code = "DefaultUndefinedFault"


class DomainAlreadyExistsFault(SwfError):
    code = "DomainAlreadyExistsFault"


class DomainDeprecatedFault(SwfError):
    code = "DomainDeprecatedFault"


class LimitExceededFault(SwfError):
    code = "LimitExceededFault"


class OperationNotPermittedFault(SwfError):
    code = "OperationNotPermittedFault"


class TooManyTagsFault(SwfError):
    code = "TooManyTagsFault"


class TypeAlreadyExistsFault(SwfError):
    code = "TypeAlreadyExistsFault"


class TypeDeprecatedFault(SwfError):
    code = "TypeDeprecatedFault"


class TypeNotDeprecatedFault(SwfError):
    code = "TypeNotDeprecatedFault"


class UnknownResourceFault(SwfError):
    """The domain, type, execution or token is not known, or no longer open."""

    code = "UnknownResourceFault"


class WorkflowExecutionAlreadyStartedFault(SwfError):
    """An execution of this workflow id is open."""

    code = "WorkflowExecutionAlreadyStartedFault"


class ValidationException(SwfError):
    """The request breaks a constraint of the service model."""

    code = "ValidationException"


_CLASSES: dict[str, type[SwfError]] = {
    kind.code: kind
    for kind in (
        ThrottlingException,
        DefaultUndefinedFault,
        DomainAlreadyExistsFault,
        DomainDeprecatedFault,
        LimitExceededFault,
        OperationNotPermittedFault,
        TooManyTagsFault,
        TypeAlreadyExistsFault,
        TypeDeprecatedFault,
        TypeNotDeprecatedFault,
        UnknownResourceFault,
        WorkflowExecutionAlreadyStartedFault,
        ValidationException,
    )
}


def from_answer(action: str, status: int, kind: str, message: str) -> SwfError:
    """Make the error of one refused call from its status, its ``__type`` (with or without a prefix) and message."""
    code = kind.rpartition("#")[2].partition(":")[0]
    known = _CLASSES.get(code)
    if known is not None:
        return known(f"{action}: {message or code}")
    failure = ServiceFailure if status >= 500 else Refused
    return failure(f"{action}: {code or 'no code'} (HTTP {status}): {message or 'no message'}")
