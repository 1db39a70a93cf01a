"""Install what makes a machine a node: the recipe's bootstrap where the image lacks it, the code, the units.

Runs from the unpacked node bundle, beside ``fetch.py``. This file uses the standard library only. Every step may run
twice.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import fetch  # type: ignore[import-not-found, unused-ignore]  # beside this file in the unpacked bundle

HERE = Path(__file__).resolve().parent
#: the account that the worker recipe makes: only its images have it
ACCOUNT = "simpleflow"
#: value of platform.machine() -> name in the cluster file
ARCHITECTURES = {"aarch64": "arm64", "arm64": "arm64", "amd64": "x86_64", "x86_64": "x86_64"}
#: last lines of a program's output that the error message shows
LAST_LINES = 6
#: pip's settings that say where indexes are and how they are reached
INDEXES = ("index-url", "extra-index-url", "find-links", "trusted-host", "cert", "client-cert", "proxy", "timeout")


def run(*argv: str, env: dict[str, str] | None = None) -> None:
    """Run one program; its output goes to the boot's log. Raises DeliveryFailed with its last lines of output."""
    print("+", *argv, flush=True)
    words: list[str] = []

    def pass_on(output: IO[str]) -> None:
        with output:
            for line in output:
                print(line, end="", flush=True)
                words.append(line.strip())
                del words[:-LAST_LINES]

    program = subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )
    reader = threading.Thread(target=pass_on, args=(program.stdout,), daemon=True)
    reader.start()
    status = program.wait()
    reader.join(5)  # a process that the program left behind may keep its output open for ever
    if status:
        message = " / ".join(each for each in words if each)
        raise fetch.DeliveryFailed(f"{' '.join(argv)[:120]} exited with status {status}: {message[-1000:]}")


def has_account() -> bool:
    """Return whether the machine's image was made from a recipe of ours (or an earlier boot ran the bootstrap)."""
    return any(line.startswith(f"{ACCOUNT}:") for line in Path("/etc/passwd").read_text().splitlines())


def bootstrap() -> None:
    """Run the recipe's whole bootstrap on a public base image: it is slower, but needs no image of ours."""
    if not has_account():
        run("/bin/sh", str(HERE / "bootstrap.sh"), "live")


def pip_wheel() -> str:
    """Return the wheel from which ensurepip would install pip, or ''. Running pip from it saves seconds."""
    import ensurepip  # Debian's base image lacks it until the bootstrap has run

    folders = (Path("/usr/share/python-wheels"), Path(ensurepip.__file__).parent / "_bundled")
    return next((str(each) for folder in folders for each in sorted(folder.glob("pip-*.whl"))), "")


def install_code(settings: dict[str, str], root: Path) -> Path:
    """Install the code bundle in its own virtual environment, unless that is done; return the environment."""
    digest = settings["code_sha256"]
    target = root / f"code-{digest[:16]}"
    if not (target / "installed").exists():
        shutil.rmtree(target, ignore_errors=True)
        folder = target / "bundle"
        folder.mkdir(parents=True)
        fetch.unpack(fetch.part(settings, "code"), folder)
        wanted = json.loads((folder / "code.json").read_text())
        held = held_files(wanted, folder)
        own = pip_wheel()
        run(sys.executable, "-m", "venv", *(["--without-pip"] if own else []), str(target / "venv"))
        pip = [str(target / "venv/bin/python"), "-I", *([f"{own}/pip"] if own else ["-m", "pip"])]
        install(pip, wanted, held, target)
        source = folder / "source"
        if source.is_dir():
            link_source(target / "venv", source)
        (target / "installed").touch()
    link = root / ".venv"
    link.unlink(missing_ok=True)
    link.symlink_to(target / "venv")
    os.replace(link, root / "venv")
    return target / "venv"


def held_files(wanted: dict[str, Any], folder: Path) -> list[tuple[Path, str]]:
    """Return the bundle's files for this machine with their digests; raises DeliveryFailed if it holds none."""
    held = wanted["held"]
    machine = ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    kinds = sorted(key for key in held if key)
    if kinds and machine not in kinds:
        raise fetch.DeliveryFailed(
            f"the code bundle holds wheels for {', '.join(kinds)}, this machine is {machine}: correct the profile's "
            "arch, or code.architectures, and repeat `sfnodes up`"
        )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if wanted["python"] not in ("", here):
        raise fetch.DeliveryFailed(
            f"the code bundle is for Python {wanted['python']}, this machine has {here}: write "
            f"code: {{python: '{here}'}} and repeat `sfnodes up`"
        )
    return [(folder / name, digest) for name, digest in [*held[""], *held.get(machine, [])]]


def install(pip: list[str], wanted: dict[str, Any], held: list[tuple[Path, str]], target: Path) -> None:
    """Install exactly the files that the bundle holds, and with an index the other requirements.

    pip's environment and configuration on this machine are ignored, except for the settings of its indexes.
    """
    lines = [f"{path.as_uri()} --hash=sha256:{digest}" for path, digest in held]
    options = ["--isolated", "--disable-pip-version-check", "--no-cache-dir", "--no-compile", "-q"]
    alone = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    alone["PIP_CONFIG_FILE"] = os.devnull
    files = target / "held.txt"
    files.write_text("".join(f"{line}\n" for line in lines))
    if lines:
        only = ["--no-index", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        run(*pip, "install", *options, *only, "-r", str(files), env=alone)
    if wanted["index"]:
        # The files are given again: a file then meets a requirement on it, and pip does not look that up in the index.
        given = [path.as_uri() for path, _ in held]
        run(*pip, "install", *options, *indexes(pip), *given, *wanted["wanted"], env=alone)


def indexes(pip: list[str]) -> list[str]:
    """Return the settings of indexes of this machine's pip, as arguments."""
    shown = subprocess.run([pip[0], *pip[2:], "config", "list"], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):  # the later one counts
        for line in shown.stdout.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{scope}.") and name[len(scope) + 1 :] in INDEXES:
                found[name[len(scope) + 1 :]] = str(ast.literal_eval(value))
    many = ("extra-index-url", "find-links", "trusted-host")
    return [f"--{name}={one}" for name, value in found.items() for one in (value.split() if name in many else [value])]


def link_source(venv: Path, source: Path) -> None:
    """Make the files of a folder importable without a copy."""
    for packages in venv.glob("lib/python*/site-packages"):
        (packages / "simpleflow-source.pth").write_text(f"{source}\n")


def install_units(settings: dict[str, str]) -> None:
    """Copy all units and start those of this role without waiting for them, because cloud-init still runs."""
    names = settings["units"].split()
    for unit in sorted(HERE.glob("*.service")):
        shutil.copyfile(unit, Path("/etc/systemd/system") / unit.name)
    run("systemctl", "daemon-reload")
    for name in names:
        run("systemctl", "enable", "--quiet", name)
        run("systemctl", "start", "--no-block", name)


def main(arguments: list[str]) -> None:
    """Deliver everything, or with ``--code-only`` the code. The boot is counted before any step that may fail."""
    os.umask(0o022)  # whatever umask we inherit: only the owner may write the code that runs here
    path = Path(arguments[0])
    settings = json.loads(path.read_text())
    if "--code-only" in arguments:
        install_code(settings, Path(settings["root"]))
        return
    try:
        if settings.get("boot_counter") and not os.environ.get(fetch.COUNTED):
            fetch.count_first(settings)
        bootstrap()
        install_code(settings, Path(settings["root"]))
        install_units(settings)
    except Exception as problem:  # any error: a machine that cannot work as a node must be terminated
        fetch.give_up(path, settings, problem)


if __name__ == "__main__":
    main(sys.argv[1:])
