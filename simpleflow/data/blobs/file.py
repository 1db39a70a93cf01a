"""Blobs in a folder: lock and rename stand for S3's conditional writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from simpleflow.core.errors import UsageError
from simpleflow.data import files
from simpleflow.data.blobs import base, errors

#: below the root; holds the lock and what is being written, and is never listed
_PRIVATE = ".blobs"


class FileStore:
    """A ``base.BlobStore`` on one machine's folder, which is made at the first write.

    The etag is the content's digest and the file's inode and modification time: an object replaced by the same
    content has another etag, so that nobody's ``if_match`` outlives a replacement.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
            raise UsageError(f"blob store {url!r} names no folder of this machine; write file:///absolute/folder")
        self.url = url
        self._root = Path(unquote(parts.path))
        #: the lock's path, once the folders are there and were checked
        self._lock: Path | None = None
        #: folders whose own entries, up to the root's, are known to be durable
        self._durable: set[Path] = set()

    def get(self, key: str) -> tuple[bytes, str] | None:
        path = self._path(key)
        try:
            with path.open("rb") as file:
                content = file.read()
                return content, _etag(content, os.fstat(file.fileno()))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise errors.BlobStoreError(f"cannot read {key!r} of {self.url}: {error}") from error

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        path = self._path(key)
        try:
            with self._locked():
                if if_match is not None or if_absent:
                    self._check(key, if_match, if_absent)
                return self._replace(path, content)
        except OSError as error:
            raise errors.BlobStoreError(f"cannot write {key!r} of {self.url}: {error}") from error

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            with self._locked(), contextlib.suppress(NotADirectoryError):
                files.remove(path)
        except OSError as error:
            raise errors.BlobStoreError(f"cannot delete {key!r} of {self.url}: {error}") from error

    def list(self, prefix: str = "") -> Iterator[base.Blob]:
        keys = sorted(
            key
            for folder, _, files in os.walk(self._root)
            for key in (str((Path(folder) / name).relative_to(self._root)) for name in files)
            if key.startswith(prefix) and not key.startswith(_PRIVATE + "/")
        )
        for key in keys:
            with contextlib.suppress(FileNotFoundError), (self._root / key).open("rb") as file:
                content, stat = file.read(), os.fstat(file.fileno())
                yield base.Blob(key=key, size=stat.st_size, etag=_etag(content, stat), modified=stat.st_mtime)

    def _path(self, key: str) -> Path:
        steps = key.split("/")
        if steps[0] == _PRIVATE or any(step in ("", ".", "..") or "\0" in step for step in steps):
            raise UsageError(f"key {key!r} leaves the folder of {self.url}; use names separated by single slashes")
        return self._root.joinpath(*steps)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock is None:
            files.folder(self._root)
            self._lock = files.folder(self._root / _PRIVATE) / "lock"
        with files.locked(self._lock):
            yield

    def _check(self, key: str, if_match: str | None, if_absent: bool) -> None:
        found = self.get(key)
        if if_absent and found is not None:
            raise errors.PreconditionFailed(f"{key!r} of {self.url} exists already; read it and decide again")
        if if_match is not None and (found is None or found[1] != if_match):
            raise errors.PreconditionFailed(f"{key!r} of {self.url} was changed by another; read it and decide again")

    def _replace(self, path: Path, content: bytes) -> str:
        self._settle(path.parent)
        return _etag(content, files.replace(path, content, by_way_of=self._root / _PRIVATE))

    def _settle(self, folder: Path) -> None:
        """Make a folder below the root, durable up to the root's own entry.

        Also one that is there: whoever made it may have died before it was synced.
        """
        if folder in self._durable and folder.is_dir():
            return
        if folder != self._root:
            self._settle(folder.parent)
            files.folder(folder)
            files.sync(folder.parent)
        else:
            with contextlib.suppress(PermissionError):  # what lies above belongs to others
                files.sync(folder.parent)
        self._durable.add(folder)


def _etag(content: bytes, stat: os.stat_result) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:32]}-{stat.st_ino:x}-{stat.st_mtime_ns:x}"
