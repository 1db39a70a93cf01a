"""No network, for each Python process that has this folder in PYTHONPATH, and for its children: loopback alone answers.

PYTHONPATH=tests/offline make test
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from typing import Any


def _here(host: object) -> bool:
    """Say whether a host is this machine: nothing, a name of loopback, or one of its addresses."""
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and not _here(args[0]):
        try:
            ipaddress.ip_address(args[0])  # an address needs nobody's answer
        except ValueError:
            raise socket.gaierror(socket.EAI_AGAIN, f"no network in this test: {args[0]!r}") from None
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple) and not _here(args[1][0]):
        raise OSError(errno.ENETUNREACH, f"no network in this test: {args[1]!r}")


sys.addaudithook(_refuse)
