"""Whose service answers: another user's is not spoken to, and the token of a port is sent to our own only."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import msgspec

from simpleflow.core import folders
from simpleflow.swf import errors

#: carries the token of ``server start --token`` (docs/reference/formats.md)
TOKEN_HEADER = "X-Simpleflow-Token"  # noqa: S105  a name
#: Linux alone tells who is at the other end of a unix socket in this way
_PEER = getattr(socket, "SO_PEERCRED", None)
_CREDENTIALS = struct.Struct("=iII")


class AnotherUser(errors.SwfError):
    """Another user's process answers: it would have this process run what that user schedules."""


class _Started(msgspec.Struct):
    """What the service wrote down of its start."""

    port: int | None = None
    token: bool = False


def check_peer(connected: socket.socket, path: str) -> None:
    """Raise AnotherUser when the other end of a unix socket belongs to neither this process's user nor root."""
    if _PEER is None:
        return
    _, uid, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, _PEER, _CREDENTIALS.size))
    if uid not in (os.getuid(), 0):
        raise AnotherUser(
            f"a process of another user (uid {uid}; this one has uid {os.getuid()}) answers at {path}: its user could "
            "run code here. Set SIMPLEFLOW_RUNTIME_DIR to a folder of your own"
        )


def with_token(
    url: str, sign: Callable[[dict[str, str], bytes], dict[str, str]] | None
) -> Callable[[dict[str, str], bytes], dict[str, str]] | None:
    """Return a function that signs as ``sign`` does, and adds the token where the URL is this user's own port."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        return sign
    port, found = parts.port or 80, ""

    def signed(headers: dict[str, str], body: bytes) -> dict[str, str]:
        nonlocal found
        if sign is not None:
            headers = sign(headers, body)
        found = found or _token(port)  # once: it stays the same when the service is started again
        return {**headers, TOKEN_HEADER: found} if found else headers

    return signed


def _token(port: int) -> str:
    """The token of this user's service when it was started with one, at this port; else empty."""
    folder = folders.runtime(os.environ)
    try:
        if folders.flaw(folder) is not None:
            return ""
        started = msgspec.json.decode((folder / "swf.sock.started").read_bytes(), type=_Started)
        return Path(folder / "swf.sock.token").read_text().strip() if started.token and started.port == port else ""
    except (OSError, msgspec.DecodeError):
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
