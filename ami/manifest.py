"""What an image holds and was made from, as one JSON file beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from . import errors


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return one line per package that two manifests do not share, at most ten and a count of the rest."""
    lines = []
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            lines.append(f"{name}: wanted {wanted.get(name, 'none')}, found {found.get(name, 'none')}")
    return lines if len(lines) <= 10 else [*lines[:10], f"and {len(lines) - 10} more"]


def write(
    path: Path,
    *,
    recipe: str,
    release: str,
    packages: Mapping[str, str],
    tools: Mapping[str, str],
    root_digest: str,
    image_digest: str,
    image_bytes: int,
    blocks: int,
) -> None:
    """Write the manifest of an image; the same build writes the same bytes."""
    document = {
        "version": 1,
        "recipe": recipe,
        "release": release,
        "image": {"sha256": image_digest, "bytes": image_bytes, "blocks_512_kib": blocks},
        "root_tar": {"sha256": root_digest},
        "packages": dict(packages),
        "tools": dict(tools),
    }
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def packages(path: Path) -> dict[str, str]:
    """Read package -> version from a manifest; raises AmiError when the file is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["packages"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise errors.AmiError(f"{path} is not a manifest that a build wrote: {problem}") from problem
    return {str(name): str(version) for name, version in found.items()}
