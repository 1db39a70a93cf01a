"""Small wheels for tests: each a package with one line of code, or whatever files are given."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    tag: str = "py3-none-any",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel; its package says by ``ORIGIN`` in which folder the wheel lay."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    content = {
        f"{name}/__init__.py": f"ORIGIN = {folder.name!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*content, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in content.items():
            archive.writestr(zipfile.ZipInfo(each), text)
    return path


def index(folder: Path, *wheels: Path) -> str:
    """Make a package index of wheels; returns its URL."""
    for each in wheels:
        below = folder / each.name.split("-")[0].lower()
        below.mkdir(parents=True, exist_ok=True)
        with (below / "index.html").open("a") as page:
            page.write(f'<a href="{each.as_uri()}">{each.name}</a>\n')
    return folder.as_uri()


def installed(folder: Path, *wheels: Path) -> None:
    """Lay out wheels as an installation does."""
    for each in wheels:
        with zipfile.ZipFile(each) as archive:
            archive.extractall(folder)
