"""Fields of SWF's requests as text: what is over a limit goes to S3, and a pointer takes its place.

``encode`` and ``decode`` are for programs that call SWF themselves; deciders and workers do it for you
(``simpleflow.data.jumbo``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import lazy_object_proxy  # type: ignore[import-untyped]  # it ships no types

from simpleflow import constants, settings, storage, utils
from simpleflow.core import folders
from simpleflow.data import jumbo

logger = logging.getLogger(__name__)

#: pointer -> text, for this process; the values used last, within ``REMEMBERED``. A runner forgets them after each task
JUMBO_FIELDS_MEMORY_CACHE: dict[str, str] = {}
#: values that this process remembers, and their characters
REMEMBERED = (1_000, 16 << 20)
#: files of the disk cache, and their bytes; the oldest go first
ON_DISK = (1_000, 256 << 20)
#: seconds that a text stays in the disk cache
_KEPT = 3 * constants.HOUR
_remembering = threading.Lock()


class JumboTooLargeError(ValueError):
    """A value is over a limit, and there is nowhere to put it; the message says what to set."""


def _bucket() -> str | None:
    # The environment is read each time: programs set it after the import.
    named: str | None = os.environ.get("SIMPLEFLOW_JUMBO_FIELDS_BUCKET", settings.SIMPLEFLOW_JUMBO_FIELDS_BUCKET)
    return named.rstrip("/") if named else None


def encode(message: str | None, max_length: int, allow_jumbo_fields: bool = True) -> str | None:
    """Return the message, or the pointer to it when it has more than ``max_length`` characters.

    Equal messages have equal pointers. Raises JumboTooLargeError without SIMPLEFLOW_JUMBO_FIELDS_BUCKET, over 5 MiB,
    or when the pointer itself is over the limit.
    """
    if not message or len(message) <= max_length:
        return message
    bucket = _bucket() if allow_jumbo_fields else None
    size = len(message.encode())
    if bucket is None:
        advice = ": set SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket where such values go" if allow_jumbo_fields else ""
        raise JumboTooLargeError(f"Message too long ({len(message)} chars, the limit is {max_length}){advice}")
    if size > constants.JUMBO_FIELDS_MAX_SIZE:
        raise JumboTooLargeError(
            f"Message too long even for a jumbo field ({len(message)} chars; {constants.JUMBO_FIELDS_MAX_SIZE} bytes "
            "are taken): store it yourself and send its name"
        )
    url = bucket if "://" in bucket else f"s3://{bucket}"
    pointer = f"simpleflow+{url}/{sha256(message.encode()).hexdigest()} {size}"
    if len(pointer) > max_length:
        raise JumboTooLargeError(
            f"Jumbo field signature is longer than the max allowed length for this field ({max_length}): {pointer}; "
            "give SIMPLEFLOW_JUMBO_FIELDS_BUCKET a shorter name"
        )
    if url.startswith("s3://"):
        name, _, key = pointer.removeprefix(constants.JUMBO_FIELDS_PREFIX).rpartition(" ")[0].partition("/")
        storage.push_content(name, key, message)
    else:
        jumbo.Store(url).offload(message, field="message", limit=max_length)
    _remember(pointer, message)
    _keep_on_disk(pointer, message)
    return pointer


def decode(content: str | None, parse_json: bool = True, use_proxy: bool = True) -> Any:
    """Return what a field stands for: its value parsed as JSON (the text itself when it is not), a pointer followed.

    ``use_proxy``: a pointer is followed when the value is used, not before.
    """
    if content is None:
        return None

    def value() -> Any:
        text = _pulled(content) if content.startswith("simpleflow+") else content
        return utils.json_loads_or_raw(text) if parse_json else text

    if use_proxy and content.startswith("simpleflow+"):
        return lazy_object_proxy.Proxy(value)
    return value()


def _pulled(pointer: str) -> str:
    known = JUMBO_FIELDS_MEMORY_CACHE.get(pointer)
    if known is None:
        known = _on_disk(pointer)
        if known is None:
            known = _fetched(pointer)
            _keep_on_disk(pointer, known)
    _remember(pointer, known)
    return known


def _fetched(pointer: str) -> str:
    if not pointer.startswith(constants.JUMBO_FIELDS_PREFIX):
        return jumbo.Store(None).load(pointer)
    bucket, _, key = pointer.split()[0].removeprefix(constants.JUMBO_FIELDS_PREFIX).partition("/")
    text = storage.pull_content(bucket, key)
    digest = key.rpartition("/")[2]
    if len(digest) == 64 and sha256(text.encode()).hexdigest() != digest:
        raise jumbo.BrokenReference(f"the content of {pointer!r} is not what was stored: its digest differs")
    return text


def _remember(pointer: str, text: str) -> None:
    with _remembering:
        kept = JUMBO_FIELDS_MEMORY_CACHE
        kept.pop(pointer, None)  # what is used goes to the end: the first is the one that was not used for longest
        kept[pointer] = text
        values, characters = REMEMBERED
        held = sum(map(len, kept.values()))
        while kept and (len(kept) > values or held > characters):
            held -= len(kept.pop(next(iter(kept))))


def forget() -> None:
    """Forget the values that this process remembers."""
    with _remembering:
        JUMBO_FIELDS_MEMORY_CACHE.clear()


def _keep_on_disk(pointer: str, text: str) -> None:
    if not settings.SIMPLEFLOW_ENABLE_DISK_CACHE:
        return
    try:
        path = _cached_at(pointer)
        folders.make(path.parent)
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_text(text)
        written.replace(path)
        _prune(path.parent)
    except OSError as error:
        logger.warning("the disk cache %s cannot be written (%s): going on without", constants.CACHE_DIR, error)


def _prune(folder: Path) -> None:
    """Delete what is too old to be read, then the oldest files over the bound."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process prunes too
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    found.sort(reverse=True)
    files, size = 0, 0
    for written_at, length, path in found:
        if path.suffix and time.time() - written_at < _KEPT:
            continue  # another process writes it
        files, size = files + 1, size + length
        if time.time() - written_at >= _KEPT or files > ON_DISK[0] or size > ON_DISK[1]:
            path.unlink(missing_ok=True)


def _on_disk(pointer: str) -> str | None:
    if not settings.SIMPLEFLOW_ENABLE_DISK_CACHE:
        return None
    path = _cached_at(pointer)
    try:
        if folders.flaw(path.parent) is None and time.time() - path.stat().st_mtime < _KEPT:
            return path.read_text()
    except OSError:
        pass  # absent, or not readable: it is fetched
    return None


def _cached_at(pointer: str) -> Path:
    return Path(constants.CACHE_DIR) / "jumbo_fields" / sha256(pointer.encode()).hexdigest()


def _field(limit: int) -> Callable[[str | None], str | None]:
    return lambda message: encode(message, limit)


def _value(limit: int) -> Callable[[Any], str | None]:
    return lambda message: encode(utils.json_dumps(message), limit)


#: text for one field of SWF's
reason = _field(constants.MAX_REASON_LENGTH)
details = _field(constants.MAX_DETAILS_LENGTH)
execution_context = _field(constants.MAX_EXECUTION_CONTEXT_LENGTH)
heartbeat_details = _field(constants.MAX_HEARTBEAT_DETAILS_LENGTH)
#: any value, as the JSON text of one field of SWF's
input = _value(constants.MAX_INPUT_LENGTH)
result = _value(constants.MAX_RESULT_LENGTH)
control = _value(constants.MAX_CONTROL_LENGTH)


def identity(message: str | None) -> str | None:
    """Return the message, cut when it is too long: an identity never goes to S3."""
    if message and len(message) > constants.MAX_IDENTITY_LENGTH:
        return f"{message[: constants.MAX_IDENTITY_LENGTH - 4]} ..."
    return message
