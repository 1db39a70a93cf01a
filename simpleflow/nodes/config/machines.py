"""The processor of an EC2 instance type, and how it boots, as its name tells."""

from __future__ import annotations

import re

_TYPE = re.compile(r"([a-z]+)([0-9]+)([a-z0-9-]*)\.[a-z0-9-]+")
#: families whose machines have no UEFI firmware: the last ones before Nitro
_BIOS_ONLY = frozenset(
    ["c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "h1", "hs1", "i2", "i3", "m1", "m2", "m3", "m4", "p2",
     "p3", "r3", "r4", "t1", "t2", "x1"]
)  # fmt: skip


#: of deciders that name no type
DECIDER_TYPES = {"x86_64": "t3.small", "arm64": "t4g.small"}


def is_type(name: str) -> bool:
    """Return whether a name has the form of an instance type: 'c7i.large', 'u-6tb1.metal'."""
    return bool(_TYPE.fullmatch(name)) or bool(re.fullmatch(r"(u-|u[0-9]|mac)[a-z0-9-]*\.[a-z0-9-]+", name))


def arch_of(name: str) -> str:
    """Return 'arm64' or 'x86_64'; '' where the name does not tell."""
    found = _TYPE.fullmatch(name)
    if found is None or name.startswith(("mac", "u-")):
        return ""
    family, generation, attributes = found.groups()
    if family + generation == "a1" or "g" in attributes.partition("-")[0]:
        return "arm64"
    return "x86_64"


def boots_uefi(name: str) -> bool:
    """Return whether machines of this type can boot an image that needs UEFI."""
    found = _TYPE.fullmatch(name)
    # Some metal machines of these families can; the check of the account tells which.
    return found is None or name.endswith(".metal") or f"{found[1]}{found[2]}" not in _BIOS_ONLY
