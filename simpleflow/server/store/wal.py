"""What lies in a write-ahead log, read without SQLite: whose it is has to be known before SQLite replays it.

The format is documented at sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = (0x377F0682, 0x377F0683)
#: salts are numbers of 32 bits
_SALTS: Final = 1 << 32


class Log:
    """A log with at least one frame. ``salt`` counts how often it was begun anew, from a random number on."""

    def __init__(self, path: Path, salt: int, page_size: int, salts: tuple[int, int]) -> None:
        self.path = path
        self.salt = salt
        self._page_size = page_size
        self._salts = salts

    def first_pages(self) -> Iterator[bytes]:
        """Give each version of the database's first page."""
        with self.path.open("rb") as file:
            file.seek(_HEADER.size)
            while (number := _next_frame(file, self._salts)) is not None:
                page = file.read(self._page_size)
                if number == 1 and len(page) == self._page_size:
                    yield page


def read(path: Path) -> Log | None:
    """Return the log at ``path``; None when there is none, or nothing in it that SQLite would replay."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                return None
            magic, _, page_size, _, salt, other, _, _ = _HEADER.unpack(head)
            if magic not in _MAGIC or _next_frame(file, (salt, other)) is None:
                return None
            return Log(path, salt, page_size, (salt, other))
    except FileNotFoundError:
        return None


def steps(salt: int, expected: int) -> int:
    """How often a log with this salt was begun anew since ``expected``; negative: it is older."""
    return (salt - expected + _SALTS // 2) % _SALTS - _SALTS // 2


def following(salt: int) -> int:
    """The salt of a log that is begun anew after this one."""
    return (salt + 1) % _SALTS


def _next_frame(file: BinaryIO, salts: tuple[int, int]) -> int | None:
    """Return the page number of the next frame; None behind the last frame of this beginning of the log."""
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    number, _, salt, other, _, _ = _FRAME.unpack(head)
    return number if (salt, other) == salts else None
