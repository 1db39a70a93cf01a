"""SWF over HTTP: Amazon's own endpoints, any other endpoint, and the embedded service's unix socket.

botocore finds credentials, region and endpoint, and signs (SigV4); it is imported when something needs it. The call
itself is a pooled connection and msgspec: botocore's parser costs a page of history 50 times more CPU.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from simpleflow.core import errors as core_errors
from simpleflow.core import limits
from simpleflow.swf import errors, shapes

from . import base, sockets

#: names a long poll, so that it can be ended; an extension of the embedded service (docs/reference/formats.md)
POLL_HEADER = "X-Simpleflow-Poll"
REVOKE_TARGET = "SimpleflowEmbedded.RevokePoll"
#: seconds that an answer may take: a long poll is held for a minute, and nothing else may take longer
TIMEOUT = limits.POLL_CLIENT_SECONDS + 5.0
#: region that signatures name when nobody names one and the endpoint is not Amazon's
ANY_REGION = "us-east-1"
_CONTENT_TYPE = "application/x-amz-json-1.0"
#: returns the headers that sign a request, from its own headers and its body
Sign = Callable[[dict[str, str], bytes], dict[str, str]]


class NoCredentials(errors.SwfError):
    """Amazon SWF needs credentials, and there are none."""


class NoRegion(errors.SwfError):
    """Amazon SWF needs a region, and none is named."""


class Wire(Protocol):
    """Carries one HTTP request. Thread safe; retries nothing. Raises TransportError when no answer came."""

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes | bytearray]:
        """Return status and body of the answer."""

    def close(self) -> None: ...


class _Refusal(msgspec.Struct):
    """The body of an answer that is not 200."""

    kind: str = msgspec.field(default="", name="__type")
    message: str | None = None
    #: some of Amazon's front ends write it so
    Message: str | None = None


class _Revoked(msgspec.Struct):
    revoked: bool = False


class Http:
    """A ``base.Transport`` over one endpoint."""

    def __init__(self, wire: Wire, *, sign: Sign | None = None, revocable: bool = True) -> None:
        """``revocable``: the other side may be the embedded service, whose long polls can be ended."""
        self._wire = wire
        self._sign = sign
        self._revocable = revocable

    def call(self, action: str, request: Mapping[str, Any], *, poll_id: str | None = None) -> Any:
        body = msgspec.json.encode(request)
        answer = self._post("SimpleWorkflowService." + action, action, body, poll_id)
        try:
            return shapes.decode(action, answer)
        except msgspec.DecodeError as error:
            raise errors.TransportError(f"{action}: the answer is none of this action ({error})") from error

    def revoke(self, poll_id: str) -> bool:
        if not self._revocable:
            return False
        body = msgspec.json.encode({"pollId": poll_id})
        try:
            answer = self._post(REVOKE_TARGET, "RevokePoll", body, None)
            return msgspec.json.decode(answer, type=_Revoked).revoked
        except errors.Refused:
            self._revocable = False  # another SWF service: it knows no such call
            return False
        except msgspec.DecodeError:
            return False

    def close(self) -> None:
        self._wire.close()

    def _post(self, target: str, action: str, body: bytes, poll_id: str | None) -> bytes | bytearray:
        headers = {"X-Amz-Target": target, "Content-Type": _CONTENT_TYPE}
        if self._sign is not None:
            headers = self._sign(headers, body)
        if poll_id is not None and self._revocable:
            headers[POLL_HEADER] = poll_id  # after signing: what is signed stays what boto3 signs
        status, answer = self._wire.post(headers, body, TIMEOUT)
        if status == 200:
            return answer
        try:
            said = msgspec.json.decode(answer, type=_Refusal)
        except msgspec.DecodeError:
            said = _Refusal(message=answer[:200].decode(errors="replace"))
        raise errors.from_answer(action, status, said.kind, said.message or said.Message or "")


def open_endpoint(url: str) -> base.Transport:
    """Return a transport to an endpoint: ``unix:///PATH``, ``http://HOST[:PORT]`` or ``https://HOST[:PORT]``.

    Requests to a unix socket are not signed; others are when there are credentials, and Amazon's own endpoints must
    have them. Raises UsageError for another kind of URL, NoCredentials.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        path = urllib.parse.unquote(parts.path)
        return Http(sockets.Sockets(path, host="localhost", path="/", shown=url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise core_errors.UsageError(
            f"endpoint {url!r} is none: write unix:///PATH/swf.sock, http://HOST:PORT or https://HOST"
        )
    amazon = _is_amazon(url)
    signer = Signer.of(url, local=_is_loopback(parts.hostname), required=amazon)
    return Http(_wire(url), sign=signer, revocable=not amazon)


def open_amazon() -> base.Transport:
    """Return a transport to Amazon SWF, or to the endpoint that AWS's configuration names instead.

    Raises NoCredentials and NoRegion, which say what to do.
    """
    signer = Signer.of(None, local=False, required=True)
    assert signer is not None
    return Http(_wire(signer.url), sign=signer, revocable=not _is_amazon(signer.url))


def _is_amazon(url: str) -> bool:
    return (urllib.parse.urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


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
    import botocore.session
    from botocore import httpsession

    from . import tls  # urllib3 costs 60 ms that a unix socket has no use for

    bundle = botocore.session.get_session().get_config_variable("ca_bundle") or httpsession.get_cert_path(True)
    return tls.Tls(url, str(bundle))


class Signer:
    """Signs requests to one URL as botocore does. Thread safe; credentials that expire are renewed by botocore."""

    def __init__(self, url: str, region: str, credentials: Any) -> None:
        from botocore import auth, awsrequest, exceptions

        self.url = url
        self.region = region
        self._credentials = credentials
        self._request = awsrequest.AWSRequest
        self._auth = auth.SigV4Auth
        self._errors = exceptions.BotoCoreError

    def __call__(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """Return the headers with those that sign them and the body. Raises TransportError without credentials."""
        request = self._request(method="POST", url=self.url, data=body, headers=headers)
        try:
            self._auth(self._credentials.get_frozen_credentials(), "swf", self.region).add_auth(request)
        except self._errors as error:  # those of a role or a login could not be renewed
            raise errors.TransportError(f"the request could not be signed ({error}); nothing was sent") from error
        return dict(request.headers.items())

    @classmethod
    def of(cls, url: str | None, *, local: bool, required: bool) -> Signer | None:
        """Make one from the environment and AWS's configuration files; None when there are no credentials.

        ``url`` None: the endpoint that they name, or Amazon's of the region. ``local``: do not ask the metadata
        service of a machine or container for credentials, which takes seconds where there is none.
        """
        import botocore.session
        from botocore import exceptions

        session = botocore.session.get_session()
        try:
            if local:
                resolver = session.get_component("credential_provider")
                resolver.remove("iam-role")
                resolver.remove("container-role")
            credentials = session.get_credentials()
            region = session.get_config_variable("region")
            if url is None:
                if region is None:
                    raise NoRegion(
                        "Amazon SWF needs a region: set AWS_DEFAULT_REGION or write region into ~/.aws/config. "
                        "Without an account: --backend embedded runs the workflow on this machine"
                    )
                client = session.create_client("swf", region_name=region)
                url, region = client.meta.endpoint_url, client.meta.region_name
        except exceptions.BotoCoreError as error:
            raise NoCredentials(
                f"AWS's configuration cannot be used ({error}): mend it with aws configure. "
                "Without an account: --backend embedded runs the workflow on this machine"
            ) from error
        if credentials is None:
            if not required:
                return None
            raise NoCredentials(
                "Amazon SWF needs credentials and none were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "AWS_PROFILE, or run aws configure. Without an account: --backend embedded runs the workflow on this "
                "machine"
            )
        if region is None and _is_amazon(url):
            region = (urllib.parse.urlsplit(url).hostname or "").split(".")[1]  # swf.REGION.amazonaws.com
        return cls(url, region or ANY_REGION, credentials)
