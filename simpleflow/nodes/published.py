"""``cluster.json``: the cluster file as ``up`` published it. Managers and deciders work by it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from simpleflow import _version
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs
from simpleflow.data.blobs import errors as blob_errors

from . import config, control, errors, setups
from .bundle import code as codes

#: how often a document that others write too is read and replaced
_TRIES = 5
#: modules below a folder beyond which its code is not told apart: it is somebody's home, not a program
_MOST_MODULES = 5_000
_NO_CODE = frozenset({"node_modules", "site-packages", "__pycache__"})


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster works by."""

    config: config.ClusterConfig
    #: names the code that machines are to run
    code: str = ""
    #: of what each profile's machines, and under '' the deciders', are made (setups.version_of); none: not looked at
    versions: dict[str, str] = {}


def read(store: blobs.BlobStore, cluster: str) -> Published | None:
    """What `up` published last; None before the first `up`. Raises NodesError for another cluster's document."""
    got = store.get(documents.CLUSTER_KEY)
    return None if got is None else _decode(got[0], cluster, store.url)


def _decode(content: bytes, cluster: str, url: str) -> Published:
    try:
        document = msgspec.json.decode(content, type=documents.ClusterDocument)
        shown = msgspec.json.decode(document.file, type=config.ClusterConfig)
    except msgspec.DecodeError as error:
        raise errors.NodesError(
            f"{documents.CLUSTER_KEY} of {url} cannot be read ({error}); repeat `sfnodes up` with the version of "
            "simpleflow that wrote it, or take the cluster down, delete the document, and repeat `sfnodes up`"
        ) from error
    control.require_own(documents.CLUSTER_KEY, document.cluster, cluster, url)
    return Published(config=shown, code=document.code, versions=document.versions)


def write(store: blobs.BlobStore, cluster: config.ClusterConfig, code: str, now: float) -> bool:
    """Publish; False when that stands there already. Raises NodesError for another cluster's document."""
    for left in reversed(range(_TRIES)):
        try:
            return _write(store, cluster, code, now)
        except blob_errors.PreconditionFailed:
            # Another `up` wrote in between: what it wrote is read, and replaced where it is not the same.
            if not left:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def _write(store: blobs.BlobStore, cluster: config.ClusterConfig, code: str, now: float) -> bool:
    versions = {name: setups.version_of(cluster, name, code) for name in ("", *cluster.profiles)} if code else {}
    wanted = Published(config=cluster, code=code, versions=versions)
    got = store.get(documents.CLUSTER_KEY)
    if got is not None and _decode(got[0], cluster.cluster, store.url) == wanted:
        return False
    document = documents.ClusterDocument(
        cluster=cluster.cluster,
        written=now,
        file=msgspec.json.encode(setups.lean(cluster)).decode(),
        code=code,
        versions=versions,
    )
    content = msgspec.json.encode(document)
    if got is None:
        store.put(documents.CLUSTER_KEY, content, if_absent=True)
    else:
        store.put(documents.CLUSTER_KEY, content, if_match=got[1])
    return True


class Watch:
    """Looks at the published file again and again."""

    def __init__(self, store: blobs.BlobStore, cluster: str, etag: str = "") -> None:
        self._store = store
        self._cluster = cluster
        self._etag = etag

    def look(self) -> Published | None:
        """What was published since the last look; None for nothing. Raises SimpleflowError when nobody can tell."""
        got = self._store.get(documents.CLUSTER_KEY)
        if got is None or got[1] == self._etag:
            return None
        # One that cannot be read is looked at again: it may be of a newer version, and this one is replaced soon.
        found = _decode(got[0], self._cluster, self._store.url)
        self._etag = got[1]
        return found

    def forget(self) -> None:
        """Show the file again at the next look: what it says could not be taken up."""
        self._etag = ""


def not_taken_up(works_by: config.ClusterConfig, file: config.ClusterConfig, path: str) -> tuple[str, ...]:
    """Say what stands in a cluster file and is not what the cluster works by."""
    keys = [key for key in type(file).__struct_fields__ if getattr(file, key) != getattr(works_by, key)]
    if not keys:
        return ()
    return (f"{path} differs from what the cluster works by ({', '.join(keys)}): `sfnodes up` publishes it",)


# --- what cannot change while a cluster is up -------------------------------------------------------------------------


def fixed(old: config.ClusterConfig, new: config.ClusterConfig) -> Iterator[str]:
    """Say which keys a living cluster keeps, and why; nothing when the new file can be published under it."""
    for key, before, after, why in (
        ("provider", old.provider, new.provider, "machines of the old one would be forgotten"),
        ("region", old.region, new.region, "machines of the old one would be forgotten"),
        ("store", old.store, new.store, "the ledger of living machines would stay behind"),
        ("domain", old.swf_domain, new.swf_domain, "open runs of the old one would have no decider"),
        ("endpoint", old.endpoint, new.endpoint, "open runs of the old one would have no decider"),
        (
            "deciders.task_list",
            old.decision_task_list,
            new.decision_task_list,
            "open runs wait on the old one, where no decider would poll",
        ),
    ):
        if before != after:
            yield f"{key}: {before or 'none'} cannot become {after or 'none'} while the cluster is up: {why}"
    for name, profile in old.profiles.items():
        left = set(profile.hosts) - set(new.profiles[name].hosts if name in new.profiles else ())
        if left:
            yield (
                f"profiles.{name}.hosts: {', '.join(sorted(left))} cannot be taken out while the cluster is up: "
                "what works there could not be drained any more"
            )


def refuse_fixed(old: config.ClusterConfig, new: config.ClusterConfig) -> None:
    """Raise UsageError for a file that a living cluster cannot take over."""
    problems = tuple(fixed(old, new))
    if problems:
        lines = "\n".join(f"- {each}" for each in problems)
        raise core_errors.UsageError(
            f"nothing was changed:\n{lines}\n`sfnodes down` with the old file, then `sfnodes up` with the new one"
        )


# --- code -------------------------------------------------------------------------------------------------------------


def code_of(cluster: config.ClusterConfig, root: Path, directory: Path) -> str:
    """Name the code that machines without a bundle run (process, ssh): equal code, equal name.

    ``root`` is the cluster file's folder, ``directory`` where local machines run without ``code.path``. '' for a
    folder with too many modules to look at.
    """
    digest = hashlib.sha256(_version.__version__.encode())
    given = cluster.code
    about = (given.requirement, given.python, given.architectures, given.index)
    digest.update(msgspec.json.encode(about))
    for name in (given.wheel, *given.wheels, given.requirements):
        if name:
            digest.update(hashlib.sha256(codes.resolved(root, name).read_bytes()).digest())
    if not (given.requirement or given.wheel):
        modules = list(_modules(codes.resolved(root, given.path) if given.path else directory))
        if len(modules) > _MOST_MODULES:
            return ""
        for name, path in sorted(modules):
            digest.update(f"{name}\0".encode())
            digest.update(hashlib.sha256(_content(path)).digest())
    return digest.hexdigest()


def _holds_no_code(folder: Path) -> bool:
    return folder.name in _NO_CODE or folder.name.startswith(".") or os.path.exists(folder / "pyvenv.cfg")


def _content(path: Path) -> bytes:
    """A module's text; nothing for one that this user may not read, and so cannot run."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Modules below a folder, at most one more than are looked at."""
    found = 0
    for base, files in codes.folders(folder, _holds_no_code):
        for each in files:
            if each.endswith(".py") and os.path.isfile(base / each):
                yield str((base / each).relative_to(folder)), base / each
                found += 1
                if found > _MOST_MODULES:
                    return
