"""What botocore's errors mean for a repetition, and clients that mend what a repetition needs: keys and clock.

botocore repeats by itself what it lists as transient or throttled; an answer of a proxy, expired keys and a wrong clock
are not in its lists, and what its parser says of a page of HTML is not an error of its own.
"""

from __future__ import annotations

import email.utils
import functools
import http.client
import time
from collections.abc import Callable
from typing import Any

from simpleflow.core import errors, retries

#: seconds by which a clock may differ before it is corrected; seconds between two looks for fresh keys
SKEW, RENEWAL = 30.0, 5.0
#: codes of a clock that is wrong, besides those of keys
_CLOCK = retries.STALE | {"AuthFailure"}
#: of botocore's own errors by name: nothing was sent; nobody can mend it by waiting
_UNREACHED = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"})
_FINAL = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError", "NoRegionError",
     "InvalidRegionError", "ConfigParseError", "InvalidConfigError", "UnknownServiceError", "InvalidEndpointError"}
)  # fmt: skip
_STALE = frozenset({"CredentialRetrievalError", "TokenRetrievalError", "SSOError", "MetadataRetrievalError"})


def code_of(error: BaseException) -> str:
    """Return the error code of a ClientError, '' for anything else."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def status_of(error: BaseException) -> int:
    """Return the HTTP status of a ClientError, 0 where none is known."""
    response = getattr(error, "response", None)
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) if isinstance(response, dict) else 0


def resent(error: BaseException) -> bool:
    """Return whether botocore sent the call more than once by itself, as it does after a redirection by S3."""
    response = getattr(error, "response", None)
    return isinstance(response, dict) and bool(response.get("ResponseMetadata", {}).get("RetryAttempts"))


def kind_of(error: BaseException, *, final: frozenset[str] = frozenset()) -> retries.Kind:
    """Return what an error that came out of a client of boto3 means; codes of ``final`` are verdicts."""
    if isinstance(error, errors.SimpleflowError):
        return retries.Kind.VERDICT
    if hasattr(error, "response") and hasattr(error, "operation_name"):
        return _kind_of_answer(code_of(error), status_of(error), final)
    names = {each.__name__ for each in type(error).__mro__}
    if names & _FINAL:
        return retries.Kind.VERDICT
    if names & _UNREACHED:
        return retries.Kind.UNREACHED
    if names & _STALE:
        return retries.Kind.REFUSED
    broken = isinstance(error, OSError | ValueError | LookupError | ArithmeticError | MemoryError)
    theirs = type(error).__module__.split(".")[0] in ("botocore", "urllib3", "xml")
    return retries.Kind.UNCLEAR if broken or theirs or isinstance(error, http.client.HTTPException) else _VERDICT


_VERDICT = retries.Kind.VERDICT


def _kind_of_answer(code: str, status: int, final: frozenset[str]) -> retries.Kind:
    if code in final:
        return _VERDICT
    known = retries.kind_of_code(code, status)
    if known is not None:
        return known
    # botocore calls an answer without a code of AWS by its status.
    return retries.Kind.UNCLEAR if not code or code.isdigit() else _VERDICT


def attend(client: Any, fresh: Callable[[], Any], *, clock: bool = True) -> None:
    """Let a client look for keys anew, and sign with the service's clock, once its keys or its clock are refused.

    ``fresh`` returns credentials as botocore finds them now. ``clock`` False: signatures have this machine's date.
    """
    mended = _Mended(client._request_signer, fresh)
    client.meta.events.register("response-received", mended.answered)
    if clock:
        mended.shift()


def repeat(client: Any, patience: retries.Patience, *, final: frozenset[str] = frozenset()) -> None:
    """Let every call of a client be repeated by the common policy, pages and waiters included."""
    call = client._make_api_call

    def repeated(operation: str, given: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        tries = retries.Attempts(f"{service} {operation}", patience, kind=functools.partial(kind_of, final=final))
        return tries.run(lambda: _answered(call(operation, given)))

    client._make_api_call = repeated


def _answered(found: dict[str, Any]) -> dict[str, Any]:
    """Return what botocore read of an answer; raises ValueError when it is a page of somebody else, read as nothing."""
    if len(found) == 1 and not found.get("ResponseMetadata", {}).get("RequestId"):
        raise ValueError("an answer came that is none of AWS's: it has no request id")
    return found


class _Mended:
    """Keys and clock of one client's signatures."""

    def __init__(self, signer: Any, fresh: Callable[[], Any]) -> None:
        self._signer = signer
        self._fresh = fresh
        self._offset = 0.0
        self._renewed = float("-inf")

    def answered(self, response_dict: Any = None, parsed_response: Any = None, **_: Any) -> None:
        """Called by botocore for each answer."""
        code = str((parsed_response or {}).get("Error", {}).get("Code", ""))
        if code not in _CLOCK and code not in retries.DENIED:
            return
        self._correct(str((response_dict or {}).get("headers", {}).get("date", "")))
        if time.monotonic() - self._renewed >= RENEWAL:
            self._renewed = time.monotonic()
            found = self._fresh()
            if found is not None:
                self._signer._credentials = found

    def _correct(self, date: str) -> None:
        try:
            offset = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return
        if abs(offset - self._offset) > SKEW:
            self._offset = offset if abs(offset) > SKEW else 0.0

    def shift(self) -> None:
        make = self._signer.get_auth_instance

        def made(*given: Any, **named: Any) -> Any:
            return shifted(make(*given, **named), lambda: self._offset)

        self._signer.get_auth_instance = self._signer.get_auth = made


def shifted(auth: Any, offset: Callable[[], float]) -> Any:
    """Return one of botocore's signers with its clock moved by so many seconds: it takes no time from its caller."""
    modify = getattr(auth, "_modify_request_before_signing", None)
    if modify is None:
        return auth

    def modified(request: Any) -> None:
        ahead = offset()
        if ahead and "timestamp" in request.context:
            request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + ahead))
        modify(request)

    auth._modify_request_before_signing = modified
    return auth
