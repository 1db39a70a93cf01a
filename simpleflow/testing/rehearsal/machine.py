"""What stands for a machine in a rehearsal: does with its real user data what cloud-init and systemd would do.

``python -m simpleflow.testing.rehearsal.machine FOLDER`` reads the user data from instance metadata (version 2), writes
its files below FOLDER instead of ``/``, runs its fetch with the role's keys (bundles from the bucket, their digests
verified), counts a decider's boot, installs the code bundle as a machine does, and becomes the program of the agent's
unit, in a folder, a home and an environment where nothing of the client is found. Not rehearsed: units, accounts.
"""

from __future__ import annotations

import base64
import fcntl
import gzip
import json
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import urllib3
import yaml

from simpleflow.core import errors

_METADATA = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_AGENT_UNIT = "simpleflow-agent.service"


class BootFailed(errors.SimpleflowError):
    """This machine cannot become a node; the message is the last line of its console."""


def user_data(base: str) -> str:
    """Read this machine's user data with a token, as an image that requires IMDSv2 must."""
    http = urllib3.PoolManager(retries=False, timeout=5.0)
    seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = http.request("PUT", f"{base}latest/api/token", headers=seconds).data.decode()
    answer = http.request("GET", f"{base}latest/user-data", headers={"X-aws-ec2-metadata-token": token})
    if answer.status != 200:
        raise BootFailed(f"metadata has no user data (HTTP {answer.status}): the launch template gives none")
    return answer.data.decode()


def write_files(text: str, root: Path) -> tuple[dict[str, Path], list[list[str]]]:
    """Write a cloud-config's files below ``root``; returns them by their real path, and its commands."""
    if not text.startswith("#cloud-config"):
        raise BootFailed("the user data does not begin with #cloud-config: cloud-init would not read it")
    config = yaml.safe_load(text)
    written: dict[str, Path] = {}
    for one in config.get("write_files", []):
        content = one["content"].encode()
        if one.get("encoding") == "gz+b64":
            content = gzip.decompress(base64.b64decode(one["content"]))
        path = root / one["path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written[one["path"]] = path
    return written, config.get("runcmd", [])


def deliver(commands: list[list[str]], written: dict[str, Path], root: Path) -> tuple[Path, dict[str, Any]]:
    """Run the fetch that the user data names, up to where a machine installs: the node bundle fetched and verified.

    Returns the folder of the node bundle, and the delivery's settings.
    """
    command = next((one for one in commands if any(str(part).endswith("fetch.py") for part in one)), None)
    if command is None:
        raise BootFailed("the user data runs no fetch.py: nothing would be installed")
    fetch_path, settings_path = (written[str(part)] for part in command[-2:])
    settings: dict[str, Any] = json.loads(settings_path.read_text())
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    settings |= {"root": str(root / "opt/simpleflow"), "endpoint": endpoint}
    if "boot_counter" in settings:
        settings |= {"autoscaling_endpoint": endpoint, "cloudwatch_endpoint": endpoint}
    settings_path.write_text(json.dumps(settings))
    fetch = runpy.run_path(str(fetch_path))
    if settings.get("boot_counter"):
        # First of all, as the machine does.
        fetch["count_first"](settings)
    folder = Path(settings["root"]) / "node"
    folder.mkdir(parents=True, exist_ok=True)
    fetch["unpack"](fetch["part"](settings, "node"), folder)
    return folder, settings


def install(folder: Path, settings: dict[str, Any], shared: Path) -> None:
    """Install the code bundle by the machine's own script; what another machine of the stage installed is taken from
    there, as from an image that has it."""
    name = f"code-{settings['code_sha256'][:16]}"
    mine, other = Path(settings["root"]) / name, shared / name
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if other.exists() and not mine.exists():
            mine.symlink_to(other.resolve())
        path = folder / "delivery.json"
        path.write_text(json.dumps(settings))
        command = [sys.executable, str(folder / "deliver.py"), str(path), "--code-only"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
        sys.stderr.write(done.stderr)
        if done.returncode:
            raise BootFailed(done.stderr.strip().rpartition("\n")[2] or f"deliver.py: status {done.returncode}")
        if not other.exists():
            other.symlink_to(mine)


def unit(folder: Path, written: dict[str, Path], root: Path) -> tuple[list[str], dict[str, str]]:
    """The agent's command and environment as its unit says, with this machine's files."""
    command: list[str] = []
    environment: dict[str, str] = {}
    for line in (folder / _AGENT_UNIT).read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "ExecStart":
            command = shlex.split(value)
        elif key == "Environment":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(value))
    if not command:
        raise BootFailed(f"{_AGENT_UNIT} has no ExecStart")
    environment.pop("HOME", None)
    real = [str(written.get(part, part)) for part in command[1:]]
    return [str(root / command[0].lstrip("/")), *real], environment


def give_up(commands: list[list[str]], written: dict[str, Path], failure: Exception) -> NoReturn:
    """Do what a machine does whose delivery fails: count it, tell why, power off (exit code 0)."""
    path = next((written[part] for one in commands for part in one if part.endswith("delivery.json")), None)
    if path is None:
        raise failure
    fetch_path = next(written[part] for one in commands for part in one if part.endswith("fetch.py"))
    runpy.run_path(str(fetch_path))["give_up"](path, json.loads(path.read_text()), failure)
    raise AssertionError("a machine that gave up is off")


def main(arguments: list[str]) -> None:
    """Boot; on success this process becomes the agent."""
    root = Path(arguments[0])
    root.mkdir(parents=True, exist_ok=True)
    written, commands = write_files(user_data(os.environ[_METADATA]), root)
    try:
        folder, settings = deliver(commands, written, root)
        install(folder, settings, root.parent / "installed")
    except Exception as failure:
        give_up(commands, written, failure)
    command, environment = unit(folder, written, root)
    print(f"rehearsal: the bundle {settings['code_sha256'][:12]} is installed, the agent starts", flush=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**kept, "HOME": str(root), **environment}
    os.chdir(root)
    os.execve(command[0], command, environment)  # noqa: S606  (an argument vector, no shell)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (errors.SimpleflowError, OSError, KeyError, subprocess.CalledProcessError) as failure:
        print(f"rehearsal: this machine cannot become a node: {failure}", flush=True)
        sys.exit(1)
