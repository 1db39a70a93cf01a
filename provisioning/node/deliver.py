"""Install what makes a machine a node: the recipe's bootstrap where the image lacks it, the code, the units.

Runs from the unpacked node bundle, beside ``fetch.py``: the standard library only. Everything may run twice.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fetch  # type: ignore[import-not-found, unused-ignore]  # beside this file in the unpacked bundle

HERE = Path(__file__).resolve().parent
#: what only images have: the account that the worker recipe makes
ACCOUNT = "simpleflow"


def run(*argv: str) -> None:
    """Run one program; its output goes where ours goes, the boot's log."""
    print("+", *argv, flush=True)
    subprocess.run(argv, check=True)


def has_account() -> bool:
    """Whether the machine's image was made from a recipe of ours (or an earlier boot ran the bootstrap)."""
    return any(line.startswith(f"{ACCOUNT}:") for line in Path("/etc/passwd").read_text().splitlines())


def bootstrap() -> None:
    """Run the recipe's whole bootstrap on a public base image: slower, but it works before an image exists."""
    if not has_account():
        run("/bin/sh", str(HERE / "bootstrap.sh"), "live")


def pip_wheel() -> str:
    """The wheel from which ensurepip would install pip, '' where there is none: pip runs from it, seconds sooner."""
    import ensurepip  # Debian's base image lacks it until the bootstrap has run

    folders = (Path("/usr/share/python-wheels"), Path(ensurepip.__file__).parent / "_bundled")
    return next((str(each) for folder in folders for each in sorted(folder.glob("pip-*.whl"))), "")


def install_code(settings: dict[str, str], root: Path) -> Path:
    """Install the code bundle in a virtual environment of its own and return that; an installed one is kept."""
    digest = settings["code_sha256"]
    target = root / f"code-{digest[:16]}"
    if not (target / "installed").exists():
        shutil.rmtree(target, ignore_errors=True)
        wheels = target / "bundle"
        wheels.mkdir(parents=True)
        fetch.unpack(fetch.part(settings, "code"), wheels)
        wanted = json.loads((wheels / "code.json").read_text())
        own = pip_wheel()
        run(sys.executable, "-m", "venv", *(["--without-pip"] if own else []), str(target / "venv"))
        where = ["--find-links", str(wheels / "wheels")] + ([] if wanted["index"] else ["--no-index"])
        pip = [str(target / "venv/bin/python"), *([f"{own}/pip"] if own else ["-m", "pip"])]
        pip += ["--disable-pip-version-check", "--no-cache-dir", "-q"]
        names = [name if "/" not in name else str(wheels / name) for name in wanted["install"]]
        run(*pip, "install", "--no-compile", *where, *names)
        (target / "installed").touch()
    link = root / ".venv"
    link.unlink(missing_ok=True)
    link.symlink_to(target / "venv")
    os.replace(link, root / "venv")
    return target / "venv"


def install_units(settings: dict[str, str]) -> None:
    """Copy all units and start those of this role without waiting: cloud-init itself still runs."""
    names = settings["units"].split()
    for unit in sorted(HERE.glob("*.service")):
        shutil.copyfile(unit, Path("/etc/systemd/system") / unit.name)
    run("systemctl", "daemon-reload")
    for name in names:
        run("systemctl", "enable", "--quiet", name)
        run("systemctl", "start", "--no-block", name)


def main(arguments: list[str]) -> None:
    """Deliver everything, or with ``--code-only`` the code; the boot is counted before anything that may fail."""
    path = Path(arguments[0])
    settings = json.loads(path.read_text())
    if "--code-only" in arguments:
        install_code(settings, Path(settings["root"]))
        return
    counter = [sys.executable, str(HERE / "boot_counter.py")] if settings.get("boot_counter") else []
    if counter:
        run(*counter, "count", str(path))
    try:
        bootstrap()
        install_code(settings, Path(settings["root"]))
        install_units(settings)
    except Exception:
        if counter:
            run(*counter, "failed", str(path))
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
