"""The code blocks of README and docs/, with what the line before each says of it.

A line ``<!-- file: NAME -->`` before a block names the file that the reader saves it as. A block whose first line is a
comment that begins with ``needs`` (``# needs an AWS account``) is not run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_NEEDS = re.compile(r"(#|//) needs ")


@dataclasses.dataclass(frozen=True)
class Block:
    """One code block."""

    page: Path
    line: int
    language: str
    text: str
    #: what the reader saves it as
    file: str | None

    @property
    def runs(self) -> bool:
        return not _NEEDS.match(self.text)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """The commands of a shell block, each with the lines that it prints."""
        command, printed = "", list[str]()
        prompts = any(line.startswith("$ ") for line in self.text.splitlines())
        for line in self.text.splitlines():
            if prompts and not line.startswith("$ "):
                printed.append(line)
                continue
            if command:
                yield command, printed
            command, printed = line.removeprefix("$ "), []
        if command:
            yield command, printed


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text[: m.start()].count("\n") + 1, m["language"], m["text"], m["file"])
        for m in _BLOCK.finditer(text)
    ]
