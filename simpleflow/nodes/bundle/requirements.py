"""Requirements as pip reads them: the names, the extras, and the options that count for whatever they need."""

from __future__ import annotations

import codecs
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from packaging import requirements as reqs

#: options with a value that say where pip looks and what it may take, each by its first name
_LOOKS = {
    "-i": "--index-url", "--index-url": "--index-url", "--pypi-url": "--index-url",
    "--extra-index-url": "--extra-index-url", "-f": "--find-links", "--find-links": "--find-links",
    "--trusted-host": "--trusted-host", "-c": "--constraint", "--constraint": "--constraint",
}  # fmt: skip
_FLAGS = ("--no-index", "--pre", "--prefer-binary")
_NESTED = ("-r", "--requirement")
_EDITABLE = ("-e", "--editable")
#: their values may name files, relative to the file that holds the option
_PATHS = ("--find-links", "--constraint")
_OPTION = re.compile(r"\s+--?[a-z]")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_EGG = re.compile(r"[#&]egg=([\w.-]+)\[([\w\s,.-]+)\]")
_EXTRAS = re.compile(r"^(.+?)\s*\[([\w\s,.-]+)\]\s*(;.*)?$")


class Read(msgspec.Struct, kw_only=True):
    """What requirements ask for."""

    #: those that are a name, perhaps with a version, extras and a marker
    names: list[str] = []
    #: whether others are there: files, folders, addresses, or any with a digest
    others: bool = False
    #: the extras of those others: ``films[gpu]``
    extras: list[str] = []
    #: folders and files whose name is not written, with their extras
    nameless: list[tuple[str, str]] = []
    #: pip's options, their paths absolute
    options: list[str] = []


def read_file(file: Path) -> Read:
    """Read a requirements file, and those that it names."""
    found = Read()
    _file(file, found, set())
    return found


def read_words(words: Sequence[str], folder: Path) -> Read:
    """Read what stands on pip's command line; paths are relative to ``folder``."""
    found = Read()
    _words(words, folder, found, set())
    return found


def constraints(options: Sequence[str], environment: str) -> Iterator[reqs.Requirement]:
    """Give the constraints of files that ``--constraint`` and pip's environment variable name."""
    given = [value for name, value in zip(options[::2], options[1::2], strict=False) if name == "--constraint"]
    for path in [*given, *environment.split()]:
        if Path(path).is_file():
            for line in _lines(Path(path)):
                try:
                    yield reqs.Requirement(_OPTION.split(line)[0])
                except reqs.InvalidRequirement:
                    continue


def _file(file: Path, found: Read, seen: set[Path]) -> None:
    if file in seen:
        return
    if not file.is_file():  # pip says what is wrong with it
        found.others = True
        return
    seen.add(file)
    for line in _lines(file):
        if line.startswith("-"):
            _words(_unquoted(line), file.parent, found, seen)
        else:
            found.others |= "--hash" in line or "--config-settings" in line
            _requirement(_OPTION.split(line)[0], file.parent, found)


def _lines(file: Path) -> Iterator[str]:
    for line in _text(file).replace("\\\n", " ").splitlines():
        text = re.split(r"(?:^|\s)#", line)[0].strip()
        if text:
            yield _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), text)


def _text(file: Path) -> str:
    """Return the text of a file as pip reads it: PowerShell writes UTF-16, other programs of Windows a mark first."""
    content = file.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")


def _unquoted(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _words(words: Sequence[str], folder: Path, found: Read, seen: set[Path]) -> None:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word[:1] == "-" and word[1:2] != "-" and len(word) > 2:
            name, equals, value = word[:2], "=", word[2:]
        if word in _FLAGS:
            found.options += [word, ""]
        elif name in (*_LOOKS, *_NESTED, *_EDITABLE) and word.startswith("-"):
            value = value if equals else rest.pop(0) if rest else ""
            if name in _NESTED:
                _file(folder / os.path.expanduser(value), found, seen)
            elif name in _EDITABLE:
                _requirement(value, folder, found)
            else:
                found.options += [_LOOKS[name], _absolute(value, folder) if _LOOKS[name] in _PATHS else value]
        elif word.startswith("-"):
            found.others = True  # --require-hashes, say
        else:
            _requirement(word, folder, found)


def _absolute(value: str, folder: Path) -> str:
    path = folder / os.path.expanduser(value)
    return str(path.resolve()) if path.exists() else value


def _requirement(text: str, folder: Path, found: Read) -> None:
    try:
        asked = reqs.Requirement(text)
    except reqs.InvalidRequirement:
        found.others = True
        egg, path = _EGG.search(text), _EXTRAS.match(text)
        if egg is not None:
            found.extras.append(f"{egg[1]}[{egg[2]}]")
        elif path is not None:
            found.nameless.append((_absolute(path[1], folder), path[2]))
        return
    if not asked.url:
        found.names.append(text)
        return
    found.others = True
    if asked.extras:
        marker = f"; {asked.marker}" if asked.marker else ""
        found.extras.append(f"{asked.name}[{','.join(sorted(asked.extras))}]{marker}")


def arguments(options: Sequence[str], folder: Path) -> list[str]:
    """Arguments of pip that bring it the options: by a file, because an index's address may hold a password."""
    if not options:
        return []
    file = folder / "options.txt"
    file.write_text(
        "".join(
            f"{name} {shlex.quote(value) if value else ''}".rstrip() + "\n"
            for name, value in zip(options[::2], options[1::2], strict=True)
        )
    )
    return ["-r", str(file)]
