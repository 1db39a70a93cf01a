"""What a machine learns about itself: instance metadata, version 2 (a token for every read).

EC2 user guide, "Use the Instance Metadata Service"; ``AWS_EC2_METADATA_SERVICE_ENDPOINT`` is honoured as the SDKs do.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from simpleflow.nodes import errors, tags

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
DEFAULT_ENDPOINT = "http://169.254.169.254/"
_TOKEN_SECONDS = 3600
#: seconds that a connection or an answer may take
_PATIENCE = 2.0
_PART = 1 << 16
_TOKEN = re.compile(r"[!-~]+\Z")
#: ids of instances, and of local nodes
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


class Metadata:
    """Reads the metadata of this machine. Not thread safe. Raises NodesError when the endpoint does not answer."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._base = environment.get(ENDPOINT_VARIABLE, DEFAULT_ENDPOINT).rstrip("/")
        parts = urlsplit(self._base)
        self._prefix = parts.path
        # http.client alone: a pool would cost every machine's agent a fifth of its start.
        #: the provider's time, by the newest answer; None where it does not say
        self._date: float | None = None
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
        self._token = ""

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        try:
            try:
                return self._once(method, path, headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # A connection that was kept may have been dropped since.
                self._connection.close()
                return self._once(method, path, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise errors.NodesError(f"instance metadata at {self._base} does not answer: {error}") from error

    def _once(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        self._connection.request(method, f"{self._prefix}/{path}", headers=dict(headers))
        answer = self._connection.getresponse()
        self._date = _moment(answer.headers.get("Date"))
        limit = time.monotonic() + _PATIENCE
        content = b""
        # The socket's own limit counts from byte to byte: an answer that trickles would hold the agent for ever.
        while part := answer.read1(_PART):
            content += part
            if time.monotonic() > limit:
                raise TimeoutError(f"an answer was not complete after {_PATIENCE:g} s")
        if answer.length:
            raise ConnectionError(f"an answer broke off, {answer.length} bytes of it are missing")
        return answer.status, content.decode("utf-8", "replace")

    def get(self, path: str) -> str | None:
        """Return the text at a path such as 'latest/meta-data/instance-id', None when it is absent."""
        status, text = 401, ""
        if self._token:
            status, text = self._request("GET", path, {"X-aws-ec2-metadata-token": self._token})
        if status == 401:
            header = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            status, token = self._request("PUT", "latest/api/token", header)
            # A page of a proxy is not a token, and must not go into a header.
            if status != 200 or not _TOKEN.match(token):
                raise errors.NodesError(f"instance metadata at {self._base} gave no token (HTTP {status})")
            self._token = token
            status, text = self._request("GET", path, {"X-aws-ec2-metadata-token": self._token})
        if status == 404:
            return None
        if status != 200:
            raise errors.NodesError(f"instance metadata at {self._base}/{path} answered HTTP {status}")
        return text

    def instance_id(self) -> str:
        """The machine's id."""
        text = self.get("latest/meta-data/instance-id")
        if not text:
            raise errors.NodesError(f"instance metadata at {self._base} has no instance-id")
        if not _ID.match(text.strip()):
            raise errors.NodesError(f"instance metadata at {self._base} names no instance but {text[:100]!r}")
        return text.strip()

    def tag(self, key: str) -> str | None:
        """The value of one tag of the machine."""
        return self.get(f"latest/meta-data/tags/instance/{key}")

    def drain_generation(self) -> int:
        """Highest generation of a drain mark among the machine's tags; 0 without one."""
        text = self.get("latest/meta-data/tags/instance")
        return tags.drain_generation((text or "").splitlines())

    def notice(self, longest: float) -> float | None:
        """Seconds until the provider takes the machine away, at most ``longest``; None without a notice.

        Measured by the provider's own clock (the answer's Date): this machine's may be an hour away from it.
        """
        text = self.get("latest/meta-data/spot/instance-action")
        if not text:
            return None
        try:
            moment = json.loads(text)["time"]
            end = datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(UTC).timestamp()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise errors.NodesError(f"instance metadata holds a notice that cannot be read: {text!r}") from error
        return longest if self._date is None else min(max(end - self._date, 0.0), longest)


def _moment(date: str | None) -> float | None:
    try:
        return None if date is None else email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
