"""Amazon SWF's service model, read from the data file that botocore installs; botocore itself is not imported.

Only what validation needs is decoded: documentation and the faults of each action are skipped.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
from pathlib import Path

import msgspec

#: what the file is called below botocore's folder; older versions do not compress it
_FILES = ("data/swf/2012-01-25/service-2.json.gz", "data/swf/2012-01-25/service-2.json")


class ModelMissing(Exception):
    """botocore's service model of Amazon SWF is not installed: pip install botocore."""


class Reference(msgspec.Struct, frozen=True):
    """A use of a shape by its name."""

    shape: str


class Shape(msgspec.Struct, frozen=True):
    """One shape of the model."""

    type: str
    members: dict[str, Reference] = {}
    required: tuple[str, ...] = ()
    member: Reference | None = None
    enum: tuple[str, ...] = ()
    min: int | None = None
    max: int | None = None


class Operation(msgspec.Struct, frozen=True):
    """One action: the shape of its request, and of its answer when it has one."""

    input: Reference
    output: Reference | None = None


class Model(msgspec.Struct, frozen=True):
    """The whole model: actions by name, shapes by name."""

    operations: dict[str, Operation]
    shapes: dict[str, Shape]


def find() -> Path:
    """Return where the data file lies; raises ModelMissing."""
    spec = importlib.util.find_spec("botocore")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in _FILES:
            if (path := Path(folder) / name).exists():
                return path
    raise ModelMissing(
        "botocore's data file swf/2012-01-25/service-2.json was not found: the embedded service validates requests "
        "with it; reinstall botocore (pip install --force-reinstall botocore)"
    )


@functools.cache
def load() -> Model:
    """Return the model; read once per process (some 5 ms)."""
    path = find()
    data = path.read_bytes()
    return msgspec.json.decode(gzip.decompress(data) if path.suffix == ".gz" else data, type=Model)
