"""Who polls: JSON of at most 256 characters, the node first, keys dropped from the end until it fits."""

from __future__ import annotations

import getpass
import os
import socket
import sys

import msgspec

from simpleflow import settings
from simpleflow.core import errors, limits


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid may have no name
        return str(os.getuid())


def make() -> str:
    """Return the identity of this process; SIMPLEFLOW_IDENTITY, a JSON object, replaces all of it.

    Raises UsageError when that variable holds no JSON object.
    """
    given = settings.SIMPLEFLOW_IDENTITY
    if given:
        try:
            entries = msgspec.json.decode(given, type=dict[str, object])
        except msgspec.DecodeError as error:
            raise errors.UsageError(f"SIMPLEFLOW_IDENTITY={given!r} is not a JSON object ({error})") from None
    else:
        entries = {"node": settings.SIMPLEFLOW_NODE_ID} if settings.SIMPLEFLOW_NODE_ID else {}
        entries |= {
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "user": _user(),
            "exe": sys.executable,
        }
    while len(text := msgspec.json.encode(entries).decode()) > limits.IDENTITY:
        entries.popitem()
    return text
