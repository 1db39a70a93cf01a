"""The faults with which a call is refused.

Fault
├── modelled(...)         the eleven faults of the service model, ``com.amazonaws.swf.base.model#NAME``
├── validation(...)       a request that breaks a constraint, ``com.amazon.coral.validate#ValidationException``
├── throttled()           a token bucket is empty, ``com.amazon.coral.availability#ThrottlingException``
├── protocol(...)         a request that is not a call: bad JSON, an unknown operation, a missing or wrong signature
└── internal(...)         the service itself failed; nothing of the call was kept
"""

from __future__ import annotations

from typing import Final

import msgspec

#: the faults of the service model, by their names
MODELLED: Final = frozenset(
    {
        "DefaultUndefinedFault",
        "DomainAlreadyExistsFault",
        "DomainDeprecatedFault",
        "LimitExceededFault",
        "OperationNotPermittedFault",
        "TooManyTagsFault",
        "TypeAlreadyExistsFault",
        "TypeDeprecatedFault",
        "TypeNotDeprecatedFault",
        "UnknownResourceFault",
        "WorkflowExecutionAlreadyStartedFault",
    }
)
#: the namespace of each kind of name on the wire
_MODEL = "com.amazonaws.swf.base.model#"
_VALIDATE = "com.amazon.coral.validate#"
_AVAILABILITY = "com.amazon.coral.availability#"
_SERVICE = "com.amazon.coral.service#"
#: faults of the protocol -> HTTP status
_PROTOCOL: Final = {
    "AccessDeniedException": 400,
    "IncompleteSignatureException": 400,
    "InvalidSignatureException": 400,
    "MissingAuthenticationTokenException": 400,
    "RequestExpired": 400,
    "RequestEntityTooLargeException": 413,
    "SerializationException": 400,
    "UnknownOperationException": 400,
    "UnrecognizedClientException": 400,
}


class Fault(Exception):
    """A refused call: nothing of it was kept, and the caller learns the code and the message."""

    def __init__(self, code: str, message: str = "", *, namespace: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        #: the name that clients turn into an exception, ``UnknownResourceFault``
        self.code = code
        self.message = message
        #: HTTP status
        self.status = status
        self._namespace = namespace or (_MODEL if code in MODELLED else _SERVICE)

    @property
    def type(self) -> str:
        """The value of ``__type`` on the wire."""
        return self._namespace + self.code

    def body(self) -> bytes:
        """The answer's body."""
        return msgspec.json.encode({"__type": self.type, "message": self.message})


def modelled(name: str, message: str) -> Fault:
    """Make one of the eleven faults of the service model; raises ValueError for any other name."""
    if name not in MODELLED:
        raise ValueError(f"{name} is not a fault of the service model; write one of {', '.join(sorted(MODELLED))}")
    return Fault(name, message, namespace=_MODEL)


def unknown_resource(message: str) -> Fault:
    """Make the fault of a domain, type, execution or token that is not known or no longer open."""
    return Fault("UnknownResourceFault", message, namespace=_MODEL)


def validation(message: str) -> Fault:
    """Make the refusal of a request that breaks a constraint."""
    return Fault("ValidationException", message, namespace=_VALIDATE)


def throttled(message: str = "Rate exceeded") -> Fault:
    """Make the refusal of a call whose token bucket is empty."""
    return Fault("ThrottlingException", message, namespace=_AVAILABILITY)


def protocol(name: str, message: str) -> Fault:
    """Make the refusal of a request that is not a call; raises KeyError for an unknown name."""
    return Fault(name, message, namespace=_SERVICE, status=_PROTOCOL[name])


def internal(message: str) -> Fault:
    """Make the answer of a service that failed; the call was not carried out."""
    return Fault("InternalFailure", message, namespace=_SERVICE, status=500)


def unavailable(message: str) -> Fault:
    """Make the answer of a service that is ending, or cannot store anything; the call was not carried out."""
    return Fault("ServiceUnavailable", message, namespace=_AVAILABILITY, status=503)
