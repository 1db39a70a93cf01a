"""Programs that a task needs, brought to the machine that runs it.

    @with_binaries({"convert": "s3://tools/convert-7"})
    def render(scene): ...

An activity's ``meta={"binaries": {...}}`` says the same to the worker.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import logging
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

from simpleflow import settings, storage
from simpleflow.core import errors, folders

P = ParamSpec("P")
R = TypeVar("R")
logger = logging.getLogger(__name__)
#: seconds that a server may say nothing
_PATIENCE = 60.0


class RemoteBinary:
    """A program at ``s3://BUCKET/KEY``, ``https://...`` or ``file:///...``; ``#sha256=DIGEST`` at the end is checked.

    It lies in a folder of its own below SIMPLEFLOW_BINARIES_DIRECTORY, and is downloaded once, whoever asks.
    """

    def __init__(self, name: str, remote_location: str) -> None:
        self.name = name
        self.remote_location = remote_location
        url, _, fragment = remote_location.partition("#")
        self._url = urllib.parse.urlsplit(url)
        self._sha256 = fragment.removeprefix("sha256=").lower() or None
        if self._url.scheme not in ("s3", "https", "file"):
            raise NotImplementedError(
                f"binary {name!r}: location {remote_location!r} is none of s3://BUCKET/KEY, https://... and file:///..."
            )
        if os.path.basename(name) != name or name in ("", ".", ".."):
            raise errors.UsageError(
                f"binary {name!r} is not a file name: write the name of a program, without a folder"
            )
        # The name of the folder is 0.36's.
        suffix = hashlib.md5(remote_location.encode(), usedforsecurity=False).hexdigest()
        self.local_directory = os.path.join(settings.SIMPLEFLOW_BINARIES_DIRECTORY, f"{name}-{suffix}")
        self.local_location = os.path.join(self.local_directory, name)
        self.lock_location = os.path.join(self.local_directory, f".{name}.lock")

    def download(self) -> None:
        """Have the program on this machine; one process downloads, others wait for it.

        Raises UsageError when others may write where programs lie.
        """
        folder = Path(self.local_directory)
        folders.make(folder)
        for each in (folder.parent, folder):
            flaw = folders.flaw(each)
            if flaw is not None:
                raise errors.UsageError(
                    f"programs are not run from {self.local_directory}: {flaw}. Set SIMPLEFLOW_BINARIES_DIRECTORY to a "
                    "folder of your own"
                )
        with open(self.lock_location, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.access(self.local_location, os.X_OK):
                self._download_binary()

    def _download_binary(self) -> None:
        logger.info("downloading %s to %s", self.remote_location, self.local_location)
        part = f"{self.local_location}.part"
        self._fetch(part)
        if self._sha256 is not None:
            with open(part, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != self._sha256:
                os.unlink(part)
                raise errors.UsageError(
                    f"{self.remote_location} is not what was asked for: its sha256 is {found}. Was it replaced?"
                )
        os.chmod(part, 0o755)  # noqa: S103 - it is a program
        os.replace(part, self.local_location)

    def _fetch(self, part: str) -> None:
        if self._url.scheme == "s3":
            storage.pull(self._url.netloc, self._url.path.lstrip("/"), part)
        elif self._url.scheme == "file":
            shutil.copyfile(urllib.request.url2pathname(self._url.path), part)
        else:
            with urllib.request.urlopen(self._url.geturl(), timeout=_PATIENCE) as answer, open(part, "wb") as file:  # noqa: S310 - https only
                if urllib.parse.urlsplit(answer.url).scheme != "https":
                    raise errors.UsageError(
                        f"{self.remote_location} redirects to {answer.url}: give an https address, what comes over "
                        "another one may be anybody's"
                    )
                shutil.copyfileobj(answer, file)
                if answer.length:  # http.client takes a connection that was cut for the end
                    raise ConnectionError(f"{self.remote_location} broke off: {answer.length} bytes are missing")


def download_binaries(binaries_map: Mapping[str, str]) -> None:
    """Download programs by name, and put them first in PATH."""
    for name, location in binaries_map.items():
        binary = RemoteBinary(name, location)
        binary.download()
        path = os.environ.get("PATH", os.defpath).split(os.pathsep)
        if binary.local_directory not in path:
            os.environ["PATH"] = os.pathsep.join([binary.local_directory, *path])


def with_binaries(binaries_map: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function: the programs are downloaded before it is called."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            download_binaries(binaries_map)
            return function(*args, **kwargs)

        return call

    return decorate
