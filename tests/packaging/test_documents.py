"""Comments and pages cite what the repository holds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: a page by its path: docs/design/replay.md
_PAGE = re.compile(r"(?<![\w/.*{}<>-])((?:[\w.-]+/)*[\w-]+\.md)\b")
#: a page by its bare name and a section, as in "DESIGN 4.8"
_SECTION = re.compile(r"\b(?:REPLAY|CONTROL|DESIGN|NODES|FEATURES|SWF|HOUSE|IMAGE|STYLE|BASELINES)(?:\.md| [A-Z]? ?\d)")
#: a file of the package by its path, in code style
_FILE = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.(?:py|sh))`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".j2", ".sh", ".service", ".json", ""}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is not a checkout: git does not list its files")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [p for p in paths if p.suffix in _TEXT and p.is_file() and not p.is_symlink() and p != Path(__file__)]


def _exists(cited: str, citing: Path, pages: set[str]) -> bool:
    return cited in pages or any((folder / cited).exists() for folder in (citing.parent, ROOT, ROOT / "docs"))


def test_what_is_cited_is_there() -> None:
    wrong, pages = [], {path.name for path in tracked() if path.suffix == ".md"}
    for path in tracked():
        if "histories" in path.parts or "golden" in path.parts:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            missing = [cited for cited in _PAGE.findall(line) if not _exists(cited, path, pages)]
            wrong += [
                f"{path.relative_to(ROOT)}:{number} cites {each}: cite a page of docs/, or write the reason here"
                for each in (*missing, *_SECTION.findall(line))
            ]
    assert not wrong, "\n".join(wrong)


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in found}


def test_links_lead_somewhere() -> None:
    wrong = []
    for page in (path for path in tracked() if path.suffix == ".md"):
        for link in _LINK.findall(page.read_text()):
            target, _, anchor = link.partition("#")
            if ":" in target:
                continue
            file = (page.parent / target) if target else page
            if not file.exists():
                wrong.append(f"{page.relative_to(ROOT)} links to {link}, which does not exist")
            elif anchor and anchor not in headings(file):
                wrong.append(f"{page.relative_to(ROOT)} links to {link}: {file.name} has no such heading")
    assert not wrong, "\n".join(wrong)


def test_files_that_pages_name_are_there() -> None:
    pages = [path for path in tracked() if path.suffix == ".md" and path.name != "CHANGELOG.md"]
    wrong = [
        f"{page.relative_to(ROOT)} names {name}: there is no such file in the package or the repository"
        for page in pages
        for name in _FILE.findall(page.read_text())
        if not any((folder / name).exists() for folder in (ROOT, ROOT / "simpleflow", ROOT / "tests", page.parent))
    ]
    assert not wrong, "\n".join(wrong)
