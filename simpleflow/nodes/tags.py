"""Names of the tags on machines. Keys hold only letters, digits and ``+-=.,_:@``: EC2 shows no others in metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable

CLUSTER = "simpleflow:cluster"
PROFILE = "simpleflow:profile"
ATTEMPT = "simpleflow:attempt"
DRAIN_PREFIX = "simpleflow:drain."

_DRAIN = re.compile(re.escape(DRAIN_PREFIX) + r"([1-9][0-9]*)\Z")


def drain(generation: int) -> str:
    """Key of a drain mark: the generation stands in the key, because metadata follows added and removed keys."""
    return f"{DRAIN_PREFIX}{generation}"


def drain_generation(keys: Iterable[str]) -> int:
    """Highest generation among drain marks; 0 without one."""
    return max((int(match[1]) for key in keys if (match := _DRAIN.match(key))), default=0)
