"""Where a user's folders lie, made for their owner alone, and whether others may change what is in them."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import errors


def runtime(environment: Mapping[str, str]) -> Path:
    """The folder of the embedded service's socket and locks.

    SIMPLEFLOW_RUNTIME_DIR, else ``simpleflow`` in XDG_RUNTIME_DIR, else ``simpleflow-UID`` in the folder for temporary
    files.
    """
    if named := environment.get("SIMPLEFLOW_RUNTIME_DIR"):
        return Path(named)
    if base := environment.get("XDG_RUNTIME_DIR"):
        return Path(base) / "simpleflow"
    return Path(tempfile.gettempdir()) / f"simpleflow-{os.getuid()}"


def data(environment: Mapping[str, str]) -> Path:
    """The folder of the database, the blobs and the logs.

    SIMPLEFLOW_DATA_DIR, else ``simpleflow`` in XDG_DATA_HOME, else in ``~/.local/share``. Raises UsageError for a user
    without a home.
    """
    if named := environment.get("SIMPLEFLOW_DATA_DIR"):
        return Path(named)
    if base := environment.get("XDG_DATA_HOME"):
        return Path(base) / "simpleflow"
    try:
        return Path.home() / ".local" / "share" / "simpleflow"
    except RuntimeError as error:
        raise errors.UsageError(
            f"user {os.getuid()} has no home folder (HOME is not set, and there is no passwd entry): set "
            "SIMPLEFLOW_DATA_DIR to a folder of your own"
        ) from error


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` and ``~USER`` as that user's home. Raises UsageError for a user that does not exist."""
    found = os.path.expanduser(path)
    if found.startswith("~") and found == os.fspath(path):
        raise errors.UsageError(f"{found}: this user has no home folder here; write the whole path, or ./{found}")
    return Path(found)


def real(path: str | os.PathLike[str]) -> Path:
    """The same, absolute and without links; a circle of links stays, and cannot be opened."""
    return Path(os.path.realpath(expanded(path)))


def shown(path: object) -> str:
    """A path for a person to read: on one line, without control characters."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(path))


def make(path: Path) -> None:
    """Make a folder and those above it that are missing, each with mode 0700 whatever the umask.

    Raises OSError, which names the whole path.
    """
    missing = [each for each in (path, *path.parents) if not each.is_dir()]
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
            each.chmod(0o700)  # a umask may take even the owner's rights away
        except FileExistsError:
            if not each.is_dir():  # another process may have made it meanwhile
                number = errno.ENOTDIR
                raise NotADirectoryError(number, os.strerror(number), str(path)) from None
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(path)) from error


def writable_by_others(found: os.stat_result) -> bool:
    """Whether a user other than this process's, and root, may replace a file, or what lies in a folder."""
    if found.st_uid not in (os.getuid(), 0):
        return True
    # In a folder with the sticky bit each user may replace his own files only.
    protected = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    return bool(found.st_mode & 0o022) and not protected


def flaw(path: Path) -> str | None:
    """Why a folder of ours must not be used; None when it is this user's and nobody else may write to it.

    Raises FileNotFoundError when it is missing.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        if found.st_uid not in (os.getuid(), 0):
            return f"{path} is a link of another user (uid {found.st_uid})"
        found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is not a folder"
    if found.st_uid != os.getuid():
        return f"{path} belongs to another user (uid {found.st_uid}, this process has uid {os.getuid()})"
    if found.st_mode & 0o022:
        return f"other users may write to {path} (mode {stat.S_IMODE(found.st_mode):04o}; chmod go-w takes it away)"
    return None
