"""Directions of import between the rooms of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.source import FILES, PACKAGE, ROOT, imports, module_name, resolve

SETTINGS_ROW = {"settings", "constants", "log", "logging_context", "utils", "exceptions"}
AUTHORS = {"workflow", "activity", "canvas", "futures", "task", "signal", "marker", "base"}
AUTHOR_SIDE = AUTHORS | {"registry", "dispatch", "history"}
SURFACE = {"step", "storage", "execute", "download", "format", "metrology"}
NODES_PURE = {f"nodes.{n}" for n in ("model", "config", "billing", "prices", "forecast", "policy", "drain", "errors")}

#: room -> the rooms of ours that it may import (besides itself)
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "process": set(),
    **dict.fromkeys(SETTINGS_ROW, {"core"} | SETTINGS_ROW),
    "engine": {"core"},
    "data": {"core"},
    "swf": {"core", "data"},
    "swf.shapes": {"core"},
    "server": {"core", "swf.shapes"},
    "observe": {"swf", "data", "core"},
    **dict.fromkeys(AUTHOR_SIDE, {"engine", "core"} | AUTHOR_SIDE | SETTINGS_ROW),
    **dict.fromkeys(SURFACE, AUTHOR_SIDE | SURFACE | {"data", "process", "core"} | SETTINGS_ROW),
    "runtime": AUTHOR_SIDE | SURFACE | SETTINGS_ROW | {"engine", "data", "swf", "process", "core"},
    "client": AUTHORS | SETTINGS_ROW | {"swf", "data", "engine", "core", "observe"},
    "ui": AUTHORS | SETTINGS_ROW | {"swf", "data", "engine", "core", "observe", "client"},
    **dict.fromkeys(NODES_PURE, {"core"} | NODES_PURE),
    "nodes": {"swf", "data", "process", "core"} | SETTINGS_ROW | NODES_PURE,
    # The three folders see values only, and never each other: nodes/bundle/bundle.py passes values between them.
    "infra": set(),
    "provisioning": set(),
    "ami": set(),
}
#: may import anything; nobody but a root imports cli
ROOTS = {"cli", "local", "testing", "client.connect", "server.inprocess", "runtime.standalone", "__main__"}
#: importable by every room
COMMON = {"_version"}

#: rooms inside a room, the lower ones first: a file imports from those before its own only
STOREYS: dict[str, tuple[set[str], ...]] = {
    "server": ({"requests", "store"}, {"state"}, {"machine"}, {"service"}, {"http"}, {"process"}, {"inprocess"}),
}

#: third-party packages that are confined to named files or folders (prefixes below simpleflow/)
CONFINED: dict[str, tuple[str, ...]] = {
    "botocore": (
        "swf/transport/signing.py",
        "nodes/providers/ec2/",
        "data/blobs/s3.py",
        "ami/",
        "testing/",
        "cli/",
    ),
    "boto3": ("data/blobs/", "nodes/providers/ec2/", "ami/", "testing/"),
    "uvicorn": (),
    "uvloop": ("server/",),
    "httptools": ("server/", "swf/transport/"),
    "urllib3": ("swf/transport/", "nodes/", "data/", "testing/", "client/", "ui/"),
    "troposphere": ("infra/",),
    "fabric": ("provisioning/", "nodes/providers/ssh/"),
    "moto": ("testing/",),
    "opentelemetry": ("observe/",),
    "prometheus_client": ("observe/",),
    "greenlet": ("engine/",),
    "click": ("cli/",),
    "psutil": ("process/", "nodes/", "runtime/", "server/", "cli/", "testing/"),
}
#: the engine is a function of its input: none of these may be imported there
ENGINE_NEVER = {"boto3", "botocore", "time", "random", "os", "socket", "secrets", "threading", "subprocess"}


def room_of(module: str) -> str:
    """The most specific room that holds this module ('' is simpleflow/__init__.py itself)."""
    parts = module.split(".")
    for depth in (2, 1):
        candidate = ".".join(parts[:depth])
        if candidate in ROOTS or candidate in ALLOWED or candidate == "swf.shapes":
            return candidate
    return parts[0]


def allowed(room: str, target: str) -> bool:
    target_room = room_of(target)
    # A room may use the rest of its folder; those that are named apart are held to more.
    own_folder = target.split(".")[0] == room.split(".")[0] and room not in NODES_PURE | {"swf.shapes"}
    if target_room in COMMON or target_room == room or own_folder or room in ROOTS:
        return True
    if target == "":  # the package root re-exports the authors' names; nothing inside imports it
        return False
    permitted = ALLOWED.get(room, set())
    if room == "" or target_room in permitted:
        return True
    return any(target == p or target.startswith(p + ".") for p in permitted)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_the_right_way(path: Path) -> None:
    room = room_of(module_name(path))
    wrong = []
    for line, imported in imports(path):
        top = imported.split(".")[0]
        if top == "simpleflow":
            target = resolve(imported)
            if not allowed(room, target):
                wrong.append(
                    f"{path.relative_to(ROOT)}:{line} imports simpleflow.{target}; room {room!r} may import only "
                    f"{sorted(ALLOWED.get(room, set()))}. Move the shared value to core/, pass it in as an argument "
                    f"or a Protocol, or let a root ({', '.join(sorted(ROOTS))}) connect the two."
                )
        elif room == "engine" and top in ENGINE_NEVER:
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {top}: the engine is a function of its input")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("house", STOREYS)
def test_rooms_inside_a_room_import_lower_ones_only(house: str) -> None:
    storey = {name: number for number, names in enumerate(STOREYS[house]) for name in names}
    wrong = []
    for path in FILES:
        own = module_name(path).split(".")
        if own[0] != house or len(own) == 1:
            continue
        for line, imported in imports(path):
            target = resolve(imported).split(".") if imported.startswith(f"simpleflow.{house}.") else []
            if len(target) < 2 or target[1] == own[1]:
                continue
            if storey[target[1]] >= storey[own[1]]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {'.'.join(target)}, which is not below it")
    assert not wrong, "\n".join([*wrong, "Hand the value in as an argument or a field, or move the file."])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_third_party_packages_stay_in_their_rooms(path: Path) -> None:
    where = str(path.relative_to(PACKAGE))
    for line, imported in imports(path):
        top = imported.split(".")[0]
        if top in CONFINED and not any(where.startswith(prefix) for prefix in CONFINED[top]):
            pytest.fail(
                f"{where}:{line} imports {top}, which belongs to {CONFINED[top]} only: go through the seam "
                "(Transport, BlobStore, NodeProvider, Service) instead."
            )
