"""The last words of a process that does not live any more."""

from __future__ import annotations

from pathlib import Path

#: bytes at a log's end, and lines of them, that are looked at
_BYTES, _LINES = 64 * 1024, 200


def last_line(log: Path, without: tuple[str, ...]) -> str:
    """Return the last line of a log that has none of these words in it; '' where there is none, or no log."""
    lines = [each for each in _tail(log) if not any(words in each for words in without)]
    return lines[-1].strip() if lines else ""


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _BYTES, 0))
            return [each for each in file.read().decode(errors="replace").splitlines() if each.strip()][-_LINES:]
    except OSError:
        return []


def last_words(log: Path, since: float = 0.0) -> str:
    """Return the last line of a log that names a failure, else its last line.

    What was written before ``since`` (epoch seconds) is of an earlier process, and would mislead.
    """
    try:
        if log.stat().st_mtime < since:
            return f"none ({log} was written before)"
    except OSError:
        return f"none ({log} cannot be read)"
    lines = _tail(log)
    told = [each for each in lines if "WARNING" in each or "ERROR" in each or each.startswith(("Error", "OSError"))]
    return (told or lines or ["none"])[-1].strip()
