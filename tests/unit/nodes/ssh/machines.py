"""Machines for the ssh provider: an sshd each, on a loopback address, with a home and a host key of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from simpleflow.nodes import config

SSHD = Path("/usr/sbin/sshd")

#: stands for simpleflow on the machine: reads its drain mark as the real agent does, and ends with 0 when it is set
AGENT = """
import os, sys, time, urllib.request
base = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"].rstrip("/") + "/latest/"
def ask(path, method="GET", **headers):
    request = urllib.request.Request(base + path, method=method, headers=headers)
    return urllib.request.urlopen(request, timeout=10).read().decode()
token = ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
def meta(path):
    return ask("meta-data/" + path, **{"X-aws-ec2-metadata-token": token})
print("node", meta("instance-id"), "greeting", os.environ.get("GREETING"), flush=True)
while not any(key.startswith("simpleflow:drain.") for key in meta("tags/instance").split()):
    time.sleep(0.1)
print("drained", flush=True)
"""


def wheel(folder: Path, agent: str = AGENT) -> Path:
    """Write a wheel called simpleflow that holds nothing but the stand-in agent."""
    info = "simpleflow-0.dist-info"
    files = {
        "simpleflow/nodes/agent.py": agent,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: simpleflow\nVersion: 0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / "simpleflow-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


class Machine:
    """One sshd. ``stop`` and ``start`` are a reboot; ``reinstall`` gives it another host key."""

    def __init__(self, folder: Path, address: str, port: int, client_key: Path) -> None:
        self.folder, self.address, self.port = folder, address, port
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "authorized_keys").write_bytes(client_key.with_suffix(".pub").read_bytes())
        self.reinstall()

    def reinstall(self) -> None:
        key = self.folder / "host_key"
        key.unlink(missing_ok=True)
        new_key(key)
        (self.folder / "sshd_config").write_text(
            f"ListenAddress {self.address}:{self.port}\nHostKey {key}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin yes\n"
            f"KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\nSetEnv HOME={self.home}\n"
        )

    @property
    def pin(self) -> str:
        """The line of known_hosts that pins its present key."""
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        return f"[{self.address}]:{self.port} {kind} {key}\n"

    def start(self) -> None:
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        last = time.monotonic() + 120
        while time.monotonic() < last:
            try:
                socket.create_connection((self.address, self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        pytest.fail(f"sshd did not start: {(self.folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()


def new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def free_port(addresses: tuple[str, ...]) -> int:
    """Return a port that is free on all of the addresses."""
    for _ in range(50):
        with socket.create_server((addresses[0], 0)) as first:
            port: int = first.getsockname()[1]
            try:
                for other in addresses[1:]:
                    socket.create_server((other, port)).close()
            except OSError:
                continue
            return port
    pytest.fail("no port is free on all loopback addresses")


def require() -> None:
    """Skip, with the reason, where no sshd can be run."""
    if not SSHD.exists() or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd: install openssh-server (scripts/test-setup)")
    if os.geteuid() == 0:
        # Debian's sshd wants this folder, which its unit makes.
        Path("/run/sshd").mkdir(exist_ok=True)


def profile(machines: list[Machine], key: Path, known_hosts: Path) -> config.Profile:
    """The profile of a cluster file that names these machines."""
    reach = config.shapes.Ssh(user=getpass.getuser(), port=machines[0].port, key=str(key), known_hosts=str(known_hosts))
    return config.Profile(hosts=tuple(each.address for each in machines), ssh=reach)


def end_processes(machines: list[Machine]) -> None:
    """End what nodes left: processes whose environment names a node's folder below one of the homes."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if any(f"SIMPLEFLOW_NODE_FOLDER={each.home}/".encode() in environment for each in machines):
            os.kill(int(entry.name), signal.SIGKILL)
