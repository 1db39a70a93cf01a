"""The two archives that a node fetches: scripts and units, and code. Equal content gives equal bytes."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import errors, render

_NODE = Path(__file__).resolve().parent / "node"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """One archive and its digest, which is also its key in the bucket."""

    data: bytes

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()

    def part(self, location: str) -> render.Part:
        """Return the entry of this bundle in user data, for a bundle stored at ``location``."""
        return render.Part(location=location, sha256=self.sha256)


def pack(files: Mapping[str, bytes]) -> Bundle:
    """Pack files (name -> content) into a gzipped tar; times, owners and order do not depend on the files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    # Wheels are compressed already: the first level is as small and much faster.
    return Bundle(data=gzip.compress(raw.getvalue(), 1, mtime=0))


def node_bundle(*, cluster: str, profile: str, bootstrap: str, environment: Mapping[str, str] | None = None) -> Bundle:
    """Pack scripts and units of one profile; ``bootstrap``: the recipe's script, run if the image lacks it."""
    files = {path.name: path.read_bytes() for path in sorted(_NODE.glob("*.py")) if path.name != "__init__.py"}
    files["bootstrap.sh"] = bootstrap.encode()
    files[render.AGENT_UNIT] = render.agent_unit(cluster=cluster, profile=profile, environment=environment).encode()
    files[render.AGAIN_UNIT] = render.again_unit(cluster=cluster).encode()
    files[render.SETTLED_UNIT] = render.settled_unit(cluster=cluster).encode()
    return pack(files)


def code_bundle(
    *,
    wheels: Iterable[Path] = (),
    machines: Mapping[str, Iterable[Path]] | None = None,
    requirements: Iterable[str] = (),
    index: bool = False,
    python: str = "",
    source: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Pack code for a node: wheels with their digests, and source files that are imported without installation.

    A node installs exactly ``wheels`` and the wheels of its architecture in ``machines`` ('x86_64', 'arm64'). With
    ``index`` it also installs ``requirements`` (pip's syntax) from the index that pip on the node knows; packages in
    the bundle are not looked up there. ``python`` ('X.Y') is the version that the wheels are for. ``source`` maps names
    to content. Raises ProvisioningError for a file that is not a wheel, and for requirements without an index.
    """
    files: dict[str, bytes] = {}
    held = {"": [_held(path, files) for path in wheels]}
    for machine, paths in (machines or {}).items():
        held[machine] = [_held(path, files) for path in paths]
    wanted = list(requirements)
    if wanted and not index:
        raise errors.ProvisioningError(f"{', '.join(wanted)}: without an index a bundle holds wheels only")
    if not (files or wanted or source):
        raise errors.ProvisioningError("a code bundle needs wheels or requirements: nothing would be installed")
    for name, content in (source or {}).items():
        files[f"source/{name}"] = content
    about = {
        "held": {key: sorted(each) for key, each in held.items()}, "index": index, "python": python, "wanted": wanted,
    }  # fmt: skip
    files["code.json"] = json.dumps(about, sort_keys=True).encode()
    return pack(files)


def _held(path: Path, files: dict[str, bytes]) -> list[str]:
    if path.suffix != ".whl":
        raise errors.ProvisioningError(f"{path} is not a wheel: build one with 'python -m build --wheel'")
    name = f"wheels/{path.name}"
    content = path.read_bytes()
    if files.setdefault(name, content) != content:
        raise errors.ProvisioningError(f"two wheels are called {path.name} and differ: keep one")
    return [name, hashlib.sha256(content).hexdigest()]
