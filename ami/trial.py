"""Boots a built image with user data that runs the recipe's tests inside and reports what each said."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from . import errors
from . import recipe as recipes
from .boot import container, metadata, network, vm

_FOLDER = "/var/lib/simpleflow-image-tests"
_RUNNER = f"""\
import json, subprocess, urllib.request
subprocess.run(["cloud-init", "status", "--wait"], stdout=subprocess.DEVNULL)
results = []
for test in json.load(open("{_FOLDER}/tests.json")):
    done = subprocess.run(["/bin/sh", "-c", test["run"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    results.append({{"name": test["name"], "code": done.returncode, "output": done.stdout[-2000:]}})
body = json.dumps({{"results": results}}).encode()
urllib.request.urlopen(urllib.request.Request("http://{metadata.ADDRESS}/report", data=body), timeout=30).read()
"""
_UNIT = f"""\
[Unit]
Description=Tests of the image's recipe
SuccessAction=poweroff
FailureAction=poweroff

[Service]
# Not oneshot: at a later boot multi-user.target would wait for it, and cloud-init's last stage for that target.
Type=exec
StandardOutput=journal+console
ExecStart=/usr/bin/python3 {_FOLDER}/run.py

[Install]
WantedBy=multi-user.target
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one test of the recipe said in the booted image."""

    name: str
    code: int
    output: str


class _Booted(Protocol):
    @property
    def running(self) -> bool: ...
    def tail(self) -> str: ...
    def wait_off(self, seconds: float) -> None: ...


def user_data(tests: Iterable[recipes.Test]) -> str:
    """Return cloud-config that runs the tests once a boot is done, each time, posts what they said, and powers off."""

    def file(path: str, content: str) -> dict[str, str]:
        return {"path": path, "encoding": "b64", "content": base64.b64encode(content.encode()).decode()}

    listed = json.dumps([{"name": each.name, "run": each.run} for each in tests])
    unit = "simpleflow-image-tests.service"
    config = {
        "write_files": [
            file(f"{_FOLDER}/tests.json", listed),
            file(f"{_FOLDER}/run.py", _RUNNER),
            file(f"/etc/systemd/system/{unit}", _UNIT),
        ],
        # Enabled, for the tests run anew at each later boot.
        "runcmd": [["systemctl", "enable", "--quiet", unit], ["systemctl", "start", "--no-block", unit]],
    }
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


#: what holds of a machine that has a disk and a kernel of its own
VM_TESTS = (
    recipes.Test(
        name="the root file system is as large as the volume",
        run='test "$(df --output=size -k / | tail -1)" -gt 2500000',
    ),
    recipes.Test(
        name="no unit printed a kernel warning about the disk",
        run="! dmesg --level=err | grep -E 'nvme|EXT4'",
    ),
)


def in_container(root: Path, recipe: recipes.Recipe, folder: Path, *, seconds: float = 120) -> list[Result]:
    """Run the recipe's tests in a container of the unpacked root; raises BootFailed when it does not report."""
    settings = metadata.settings(
        instance_id="i-0c0ffee0000000001", user_data=user_data(recipe.tests), token_required=False
    )
    with (
        _state(folder, "container") as state,
        network.Network(state, settings) as net,
        container.Container(root, net, state / "console.log") as booted,
    ):
        return _results(booted, net, seconds)


def in_vm(image: Path, recipe: recipes.Recipe, folder: Path, *, seconds: float = 300) -> list[Result]:
    """Run the recipe's tests, and those of a whole machine, in a virtual machine; raises BootFailed."""
    tests = (*recipe.tests, *VM_TESTS)
    settings = metadata.settings(instance_id="i-0c0ffee0000000002", user_data=user_data(tests), token_required=True)
    identity = uuid.uuid4()
    size = recipe.size_gib + 1
    with (
        _state(folder, "vm") as state,
        network.Network(state, settings) as net,
        vm.Machine(image, net, state, size_gib=size, identity=identity) as booted,
    ):
        return _results(booted, net, seconds)


@contextlib.contextmanager
def _state(folder: Path, kind: str) -> Iterator[Path]:
    """A folder for one boot; its console stays behind as KIND-console.log, all else goes."""
    state = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=folder))
    try:
        yield state
    finally:
        with contextlib.suppress(FileNotFoundError):
            (state / "console.log").rename(folder / f"{kind}-console.log")
        shutil.rmtree(state, ignore_errors=True)


def _results(booted: _Booted, net: network.Network, seconds: float) -> list[Result]:
    begun = time.monotonic()
    booted.wait_off(seconds)
    report = net.report()
    if report is None:
        took = time.monotonic() - begun
        raise errors.BootFailed(f"the machine powered off after {took:.0f} s without a report:\n{booted.tail()}")
    return [Result(name=str(e["name"]), code=int(e["code"]), output=str(e["output"])) for e in report["results"]]
