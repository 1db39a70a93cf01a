"""Values over SWF's limits: a field becomes a pointer to a blob whose key is the digest of its content.

The wire forms are pinned in docs/reference/formats.md: ``simpleflow+s3://BUCKET/[DIR/]DIGEST SIZE`` for a whole field,
``{"$simpleflow.ref": POINTER}`` inside arguments. Pointers of simpleflow 0.36 (a UUID for DIGEST) are followed too.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simpleflow.core import errors, folders
from simpleflow.data import blobs, codec, converter
from simpleflow.data.blobs import base

#: key of a reference inside arguments
REFERENCE = "$simpleflow.ref"
#: bytes of the largest value that is taken
LARGEST = 5 << 20
#: keys of ours; those of simpleflow 0.36 are UUIDs, which say nothing of the content
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UUID = r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"
_POINTER = re.compile(rf"simpleflow\+(?P<url>(?:s3|file)://\S*)/(?P<key>{_DIGEST.pattern}|{_UUID}) (?P<size>\d+)")
#: characters of an encoded value that stays in its field: a hundred of them fit into one response
_INLINE = 8 << 10
#: characters of contents that one store remembers
CACHED = 16 << 20
_converter = converter.Converter()
_NO_CODEC = codec.Chain()


class ValueTooLarge(errors.SimpleflowError, ValueError):
    """A value is over a limit and there is nowhere to put it; the message names field, size, limit and setting."""


class BrokenReference(errors.SimpleflowError):
    """A pointer leads to nothing, or to something else than what was stored."""


class Store:
    """Puts values over a limit into a blob store, and gets them back. Thread safe as the blob store is.

    ``location`` is ``BUCKET[/DIR]``, ``s3://BUCKET[/DIR]``, ``file:///FOLDER``, or None: then values over a limit are
    refused, while pointers of others can still be followed. ``codec`` is what values pass on their way.
    """

    def __init__(
        self,
        location: str | None,
        *,
        opener: Callable[[str], base.BlobStore] = blobs.open_store,
        codec: codec.Chain | None = None,
    ) -> None:
        self._url = None if not location else location if "://" in location else f"s3://{location}"
        self._opener = opener
        self._opened: dict[str, base.BlobStore] = {}
        self._codec = codec or _NO_CODEC
        self._cache = _Cache()

    @property
    def seals(self) -> bool:
        """Whether values below their limit are encoded, too."""
        return self._codec.seals

    @property
    def offloads(self) -> bool:
        """Whether there is a place for values over a limit."""
        return self._url is not None

    @property
    def blobs(self) -> base.BlobStore | None:
        """The blob store of the location; None without one."""
        return None if self._url is None else self._open(self._url)

    def offload(self, text: str, *, field: str, limit: int) -> str:
        """Return the text, encoded where there is a codec, or the pointer to it when it has more than ``limit``
        characters then.

        Raises ValueTooLarge without a store, or over five MiB.
        """
        if self._codec.works and not text.startswith("simpleflow+"):
            plain, text = text, self._codec.encode(text)
            if text is not plain and self.offloads:
                limit = min(limit, _INLINE)
        if len(text) <= limit:
            return text
        content = text.encode()
        if self._url is None:
            raise ValueTooLarge(
                f"{field} holds {len(text)} characters, over SWF's limit of {limit}: return less, or set "
                "SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket (or file:///FOLDER) where such values go"
            )
        if len(content) > LARGEST:
            raise ValueTooLarge(
                f"{field} holds {len(content)} bytes, over the {LARGEST} that are taken: store it yourself and return "
                "its name"
            )
        digest = hashlib.sha256(content).hexdigest()
        self._open(self._url).put(digest, content)  # equal content has an equal key: a second put changes nothing
        return f"simpleflow+{self._url.rstrip('/')}/{digest} {len(content)}"

    def load(self, text: str) -> str:
        """Return what a text stands for: itself, what its pointer leads to, or what was encoded.

        Raises BrokenReference and CannotDecode.
        """
        if not text.startswith("simpleflow+"):
            return text
        found = _POINTER.fullmatch(text)
        if found is None:
            return self._codec.decode(text)
        content = self._cache.get(text)
        if content is None:
            content = self._content(text, found)
            self._cache.put(text, content)
        return self._codec.decode(content)

    def _content(self, text: str, found: re.Match[str]) -> str:
        got = self._open(found["url"]).get(found["key"])
        if got is None:
            raise BrokenReference(f"{text!r} leads to nothing: was the blob deleted, or is another store meant?")
        content = got[0]
        if _DIGEST.fullmatch(found["key"]) and hashlib.sha256(content).hexdigest() != found["key"]:
            raise BrokenReference(f"the content of {text!r} is not what was stored: its digest differs")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise BrokenReference(f"the content of {text!r} is not UTF-8 text: {error}") from error

    def resolve(self, value: Any) -> Any:
        """Return a decoded value with each reference object in it replaced by the value that it refers to."""
        if isinstance(value, dict):
            if set(value) == {REFERENCE}:
                return _converter.decode(self.load(value[REFERENCE]))
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value

    def _open(self, url: str) -> base.BlobStore:
        if url not in self._opened:
            self._opened[url] = self._opener(url)
        return self._opened[url]


class _Cache:
    """Contents by their pointers, the latest ones: what is stored under a key never changes. Thread safe."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, str] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, pointer: str) -> str | None:
        with self._lock:
            content = self._found.get(pointer)
            if content is not None:
                self._found.move_to_end(pointer)
            return content

    def put(self, pointer: str, content: str) -> None:
        with self._lock:
            if pointer not in self._found:
                self._found[pointer] = content
                self._size += len(content)
            while self._size > CACHED and self._found:
                _, old = self._found.popitem(last=False)
                self._size -= len(old)


def location(bucket: str | None, data_dir: str | None, endpoint_url: str | None) -> str | None:
    """Return where large values go: the bucket of the settings, else a folder beside the embedded service's database
    (in ``data_dir``, else the user's data directory), else nowhere."""
    if bucket:
        return bucket
    if endpoint_url is None or not endpoint_url.startswith("unix:"):
        return None
    folder = Path(data_dir) if data_dir else folders.data(os.environ)
    return f"file://{folder.absolute()}/blobs"
