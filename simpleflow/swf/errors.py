"""The errors of the wire: SWF's faults by their own names, and calls that got no answer."""

from __future__ import annotations

from typing import ClassVar

from simpleflow.core import errors, retries


class SwfError(errors.SimpleflowError):
    """A call that Amazon SWF, or the way to it, did not carry out."""

    #: the name that ``__type`` carries on the wire; empty where no service answered
    code: ClassVar[str] = ""
    #: what it means for a repetition; a fault of SWF's is the service's word on this very request
    kind: ClassVar[retries.Kind] = retries.Kind.VERDICT


class TransportError(SwfError):
    """No answer came, or none of this action; the request may or may not have been carried out."""

    kind = retries.Kind.UNCLEAR


class NotSent(TransportError):
    """Nothing was sent: nobody listens, the name has no address, or the request could not be signed."""

    kind = retries.Kind.UNREACHED


class ThrottlingException(SwfError):
    """Too many calls for this account and region; the same call may be made again later."""

    code = "ThrottlingException"
    kind = retries.Kind.THROTTLED


class ServiceFailure(SwfError):
    """The service failed (a status of 500 or more); the request may or may not have been carried out."""

    code = "InternalFailure"
    kind = retries.Kind.UNCLEAR


class CredentialsRefused(SwfError):
    """The service did nothing: it refuses credentials, signature, clock or rights; the message names the code."""

    code = "AccessDeniedException"
    kind = retries.Kind.REFUSED


class OddAnswer(SwfError):
    """A refusal that is not SWF's own (of a proxy, say); the request may or may not have been carried out."""

    kind = retries.Kind.UNCLEAR


class RequestTooLarge(SwfError):
    """The request is longer than the service takes."""

    code = "RequestEntityTooLargeException"


class SerializationException(SwfError):
    """The service cannot read the request."""

    code = "SerializationException"


class UnknownOperationException(SwfError):
    """The service has no such action."""

    code = "UnknownOperationException"


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
    """The caller lacks the right, or has it not yet."""

    code = "OperationNotPermittedFault"
    kind = retries.Kind.REFUSED


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
        RequestTooLarge,
        SerializationException,
        UnknownOperationException,
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
_BY_KIND: dict[retries.Kind | None, type[SwfError]] = {
    retries.Kind.THROTTLED: ThrottlingException,
    retries.Kind.REFUSED: CredentialsRefused,
    retries.Kind.UNCLEAR: ServiceFailure,
}


def from_answer(action: str, status: int, kind: str, message: str, *, where: str = "") -> SwfError:
    """Make the error of one refused call from its status, its ``__type`` (with or without a prefix) and message."""
    code = kind.rpartition("#")[2].partition(":")[0]
    text = _plain(message)
    known = _CLASSES.get(code)
    if known is not None and status < 500:
        return known(f"{action}: {text or code}{where}")
    if status == 413 and code:
        return RequestTooLarge(f"{action}: {text or code}{where}")
    failure = _BY_KIND.get(retries.kind_of_code(code, status), OddAnswer)
    return failure(f"{action}: {code or 'no code'} (HTTP {status}): {text or 'no message'}{where}")


def kind_of(error: BaseException) -> retries.Kind:
    """Return what an error means for a repetition; what is not an error of a call is final."""
    return error.kind if isinstance(error, SwfError) else retries.Kind.VERDICT


def _plain(text: str) -> str:
    """Return a message on one line without control characters: whoever answered wrote it."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
