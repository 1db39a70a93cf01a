"""The last words of a process that does not live any more."""

from __future__ import annotations

from pathlib import Path

#: bytes at a log's end, and lines of them, that are looked at
_BYTES, _LINES = 64 * 1024, 200


def last_words(log: Path, since: float = 0.0) -> str:
    """Return the last line of a log that names a failure, else its last line.

    What was written before ``since`` (epoch seconds) is of an earlier process, and would mislead.
    """
    try:
        if log.stat().st_mtime < since:
            return f"none ({log} was written before)"
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _BYTES, 0))
            lines = [each for each in file.read().decode(errors="replace").splitlines() if each.strip()][-_LINES:]
    except OSError:
        return f"none ({log} cannot be read)"
    told = [each for each in lines if "WARNING" in each or "ERROR" in each or each.startswith(("Error", "OSError"))]
    return (told or lines or ["none"])[-1].strip()
