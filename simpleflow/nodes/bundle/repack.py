"""An installed distribution as the wheel that it came from."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import urllib.parse
import urllib.request
import zipfile
from email import message_from_string
from importlib import metadata
from pathlib import Path

#: written by installers, not part of a wheel
_INSTALLERS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
#: a file's content, and whether it is a program
_Member = tuple[bytes, bool]


def origin(distribution: metadata.Distribution) -> str:
    """The address that a distribution was installed from; '' where it came from an index, or conda's."""
    if (distribution.read_text("INSTALLER") or "").strip() == "conda":
        return ""  # it leaves the address of its build machine
    text = distribution.read_text("direct_url.json")
    return str(json.loads(text).get("url", "")) if text else ""


def source_of(distribution: metadata.Distribution) -> Path | None:
    """The folder of an editable installation; None for any other."""
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    found = json.loads(text)
    if not found.get("dir_info", {}).get("editable"):
        return None
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(found["url"]).path))


def wheel(distribution: metadata.Distribution, folder: Path) -> Path | None:
    """Write the wheel of an installed distribution into ``folder`` and return its path.

    None for what cannot be packed as it was: without a record (a system's package), editable, or changed since.
    """
    about = distribution.read_text("WHEEL")
    if not about or not distribution.files or source_of(distribution) is not None:
        return None
    info = next((each.parts[0] for each in distribution.files if each.parts[0].endswith(".dist-info")), "")
    commands = {each.name for each in distribution.entry_points if each.group in ("console_scripts", "gui_scripts")}
    stem = info.removesuffix(".dist-info")
    members: dict[str, _Member] = {}
    for file in distribution.files:
        if "__pycache__" in file.parts or file.suffix == ".pyc" or file.name in _INSTALLERS:
            continue
        name = _inside(file, info, commands)
        if not name:
            continue
        where = Path(str(distribution.locate_file(file)))
        try:
            content = where.read_bytes()
        except OSError:
            return None
        if name.startswith(f"{stem}.data/scripts/"):
            content = _script(content)  # its first line is the installer's, so its digest says nothing
        elif file.hash is not None and file.hash.value != _digest(content, file.hash.mode):
            return None
        members[name] = content, os.access(where, os.X_OK)
    if not info:
        return None
    path = folder / f"{stem}-{_tag(about)}.whl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, members, f"{info}/RECORD")
    return path


def _inside(file: metadata.PackagePath, info: str, commands: set[str]) -> str:
    """Where an installed file lay in its wheel; '' for what installing makes anew, and for headers."""
    parts = [each for each in file.parts if each != ".."]
    if len(parts) == len(file.parts):
        return str(file)
    below = f"{info.removesuffix('.dist-info')}.data"
    if parts[0] == "bin":
        return "" if parts[-1] in commands else f"{below}/scripts/{parts[-1]}"
    return f"{below}/data/{'/'.join(parts)}" if parts[0] in ("share", "etc") else ""


def _script(content: bytes) -> bytes:
    """A script whose first line names no environment: installing writes the new one's."""
    first, end, rest = content.partition(b"\n")
    return b"#!python" + end + rest if first.startswith(b"#!") and b"python" in first else content


def _tag(about: str) -> str:
    """The file name's compressed tags: ``cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64``."""
    given = [each.split("-") for each in message_from_string(about).get_all("Tag") or ["py3-none-any"]]
    return "-".join(".".join(dict.fromkeys(each[place] for each in given)) for place in range(3))


def _digest(content: bytes, mode: str = "sha256") -> str:
    return base64.urlsafe_b64encode(hashlib.new(mode, content).digest()).decode().rstrip("=")


def _write(path: Path, members: dict[str, _Member], record: str) -> None:
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, (content, program) in sorted(members.items()):
            archive.writestr(_entry(name, program), content)
            table.writerow([name, f"sha256={_digest(content)}", len(content)])
        table.writerow([record, "", ""])
        archive.writestr(_entry(record, False), lines.getvalue())


def _entry(name: str, program: bool) -> zipfile.ZipInfo:
    """A member without a time of its own: the same files give the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(".gz") else zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100755 if program else 0o100644) << 16
    return entry
