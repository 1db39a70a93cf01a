"""Verification of AWS Signature Version 4, for ``--credentials FILE``.

The file has the form of ``~/.aws/credentials``, one section per key:

    [alice]
    aws_access_key_id = AKIDEXAMPLE
    aws_secret_access_key = ...

``aws_session_token`` may follow; then requests must carry it. Source of the rules: "Signature Version 4 signing
process" of the AWS General Reference. Only headers sign (no signed URLs), the body is always covered, host, date,
target and token must be signed, and clocks may differ by five minutes.
"""

from __future__ import annotations

import configparser
import functools
import hashlib
import hmac
import re
import urllib.parse
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import errors as core_errors

from . import errors

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "swf"
#: seconds that a client's clock may differ
_SKEW: Final = 300
#: headers that must be signed when a request has them, besides host
_MUST_SIGN: Final = ("x-amz-date", "x-amz-security-token", "x-amz-target", "date", "x-amz-content-sha256")
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_BLANKS = re.compile(rb"[ \t]+")
_FORM = (
    "write it as ~/.aws/credentials: a [section] per key with the lines 'aws_access_key_id = ...' and "
    "'aws_secret_access_key = ...'"
)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of keys."""

    access: str
    secret: str
    #: session token; empty: requests must carry none
    token: str = ""


class _Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What an Authorization header says."""

    access: str
    day: str
    region: str
    headers: tuple[str, ...]
    signature: str


class Keys:
    """The keys that may sign, and the verification of one request."""

    def __init__(self, keys: Iterable[Key], clock: clocks.Clock) -> None:
        self._keys = {key.access: key for key in keys}
        self._clock = clock

    def __len__(self) -> int:
        return len(self._keys)

    def verify(
        self, method: str, raw_path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> str:
        """Return the access key that signed this request. Raises Fault for a missing or wrong signature."""
        sent: dict[str, list[bytes]] = {}
        for name, value in headers:
            sent.setdefault(name.decode("latin-1"), []).append(value)
        signed = _authorization(sent)
        moment = _moment(sent)
        self._check_time(moment, signed)
        for needed in ("host", *(each for each in _MUST_SIGN if each in sent)):
            if needed not in signed.headers:
                raise errors.protocol("InvalidSignatureException", f"The header '{needed}' must be signed")
        digest = hashlib.sha256(body).hexdigest()
        claimed = sent.get("x-amz-content-sha256", [digest.encode()])
        if claimed != [digest.encode()]:
            raise errors.protocol(
                "InvalidSignatureException",
                "X-Amz-Content-SHA256 is not the SHA-256 of the body; unsigned bodies are not accepted",
            )
        canonical = _canonical(method, raw_path, query, sent, signed.headers, digest)
        scope = f"{signed.day}/{signed.region}/{_SERVICE}/aws4_request"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
        key = self._keys.get(signed.access)
        # An unknown key takes as long as a known one.
        secret = key.secret if key is not None else "unknown"
        right = hmac.new(_signing_key(secret, signed.day, signed.region), text.encode(), hashlib.sha256).hexdigest()
        matches = hmac.compare_digest(right.encode(), signed.signature.encode())
        token = b"".join(sent.get("x-amz-security-token", []))
        if key is None or not hmac.compare_digest(token, key.token.encode()):
            raise errors.protocol(
                "UnrecognizedClientException", "The security token included in the request is invalid"
            )
        if not matches:
            raise errors.protocol(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method.",
            )
        return key.access

    def _check_time(self, moment: str, signed: _Signed) -> None:
        try:
            then = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError as error:
            raise errors.protocol(
                "IncompleteSignatureException", f"X-Amz-Date must have the form YYYYMMDDTHHMMSSZ, not {moment!r}"
            ) from error
        now = self._clock.now()
        if signed.day != moment[:8]:
            raise errors.protocol("InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date")
        if abs(now - then) > _SKEW:
            shown = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
            what, how = ("expired", "earlier") if then < now else ("not yet current", "later")
            raise errors.protocol(
                "InvalidSignatureException", f"Signature {what}: {moment} is now {how} than {shown} by over {_SKEW} s"
            )


def load(path: Path, clock: clocks.Clock) -> Keys:
    """Read a credentials file; raises UsageError that says how it is written."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise core_errors.UsageError(f"--credentials {path} cannot be read: {error}") from error
    except configparser.Error as error:
        raise core_errors.UsageError(f"--credentials {path} has no such form ({error}): {_FORM}") from error
    keys = []
    for name in parser.sections():
        section = parser[name]
        access, secret = section.get("aws_access_key_id", ""), section.get("aws_secret_access_key", "")
        if not access or not secret:
            raise core_errors.UsageError(f"--credentials {path}: section [{name}] lacks a key: {_FORM}")
        keys.append(Key(access=access, secret=secret, token=section.get("aws_session_token", "")))
    if not keys:
        raise core_errors.UsageError(f"--credentials {path} holds no key: {_FORM}")
    return Keys(keys, clock)


def _authorization(sent: dict[str, list[bytes]]) -> _Signed:
    values = sent.get("authorization")
    if not values:
        raise errors.protocol("MissingAuthenticationTokenException", "Missing Authentication Token")
    text = values[0].decode("latin-1")
    algorithm, _, rest = text.partition(" ")
    fields = dict(_FIELD.findall(rest))
    if len(values) > 1 or algorithm != _ALGORITHM or len(fields) != 3:
        raise errors.protocol(
            "IncompleteSignatureException",
            f"Authorization must be '{_ALGORITHM} Credential=..., SignedHeaders=..., Signature=...'",
        )
    scope = fields["Credential"].split("/")
    if len(scope) != 5 or scope[3:] != [_SERVICE, "aws4_request"]:
        raise errors.protocol(
            "InvalidSignatureException", "Credential should be scoped to KEY/YYYYMMDD/REGION/swf/aws4_request"
        )
    return _Signed(
        access=scope[0],
        day=scope[1],
        region=scope[2],
        headers=tuple(fields["SignedHeaders"].lower().split(";")),
        signature=fields["Signature"],
    )


def _moment(sent: dict[str, list[bytes]]) -> str:
    values = sent.get("x-amz-date", [])
    if len(values) != 1:
        raise errors.protocol("IncompleteSignatureException", "A signed request needs one header X-Amz-Date")
    return values[0].decode("latin-1")


def _canonical(
    method: str, raw_path: bytes, query: bytes, sent: dict[str, list[bytes]], names: tuple[str, ...], digest: str
) -> bytes:
    """Return the canonical request."""
    path = urllib.parse.quote(raw_path.decode("latin-1"), safe="/-_.~") or "/"
    pairs = urllib.parse.parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    quoted = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~")) for k, v in pairs)
    lines = [method.encode(), path.encode(), "&".join(f"{k}={v}" for k, v in quoted).encode()]
    for name in names:
        values = b",".join(_BLANKS.sub(b" ", value.strip()) for value in sent.get(name, []))
        lines.append(name.encode("latin-1") + b":" + values)
    lines += [b"", ";".join(names).encode("latin-1"), digest.encode()]
    return b"\n".join(lines)


@functools.lru_cache(maxsize=256)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, _SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode("latin-1", "replace"), hashlib.sha256).digest()
    return key
