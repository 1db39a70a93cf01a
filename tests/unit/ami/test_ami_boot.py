"""A node booted here, from its real user data to its power-off: cloud-init, signed fetch, units, drain by its tag.

The code that is delivered is a small stand-in for the agent, so that this shows the way there and nothing else; the
real agent and worker boot in test_ami_worker.py.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ami_services
import pytest

from simpleflow.ami import build, errors, tools, trial
from simpleflow.ami import recipe as recipes
from simpleflow.ami.boot import container, metadata, network, vm
from simpleflow.provisioning import bundle, render

STAND_IN = """
import json, os, sys, time, urllib.request
if not os.path.exists("failed-once"):
    open("failed-once", "w").close()
    sys.exit(1)
setup = json.load(open(sys.argv[sys.argv.index("--setup") + 1]))
def ask(url, method="GET", **headers):
    request = urllib.request.Request(url, method=method, headers=headers)
    return urllib.request.urlopen(request, timeout=10).read().decode()
base = "http://169.254.169.254/latest"
token = ask(base + "/api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
def meta(path):
    return ask(base + "/meta-data/" + path, **{"X-aws-ec2-metadata-token": token})
node = meta("instance-id")
ask(f"{setup['endpoint']}/polled/{node}")
while "simpleflow:drain.1" not in meta("tags/instance").split():
    time.sleep(0.2)
ask(f"{setup['endpoint']}/drained/{node}")
"""


def stand_in_wheel(folder: Path) -> Path:
    """Write a wheel called simpleflow: its agent fails once, then polls, waits for its drain mark, and ends with 0."""
    path = folder / "simpleflow-0-py3-none-any.whl"
    info = "simpleflow-0.dist-info"
    files = {
        "simpleflow/nodes/agent.py": STAND_IN,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: simpleflow\nVersion: 0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@contextlib.contextmanager
def node(
    folder: Path, *, instance: str, token_required: bool
) -> Iterator[tuple[network.Network, ami_services.Objects]]:
    """Everything around one node: its user data, the bucket it fetches from, its metadata and network."""
    with ami_services.Objects(folder / "bucket.sock") as bucket:
        node_bundle = bundle.node_bundle(cluster="farm", profile="general", bootstrap="exit 1\n")
        code = bundle.code_bundle(wheels=[stand_in_wheel(folder)])
        for each in (node_bundle, code):
            bucket.content[f"/bucket/{each.sha256}"] = each.data
        setup = {
            "cluster": "farm", "domain": "default", "profile": "general", "provider": "ec2",
            "store": "file:///var/lib/simpleflow/store", "task_lists": [["work", 1]], "times": {},
            "endpoint": f"http://{metadata.HOST}:9000", "region": "eu-west-1",
        }  # fmt: skip
        delivery = render.Delivery(
            node=node_bundle.part(f"s3://bucket/{node_bundle.sha256}"),
            code=code.part(f"s3://bucket/{code.sha256}"),
            region="eu-west-1",
            endpoint=f"http://{metadata.HOST}:9000",
        )
        settings = metadata.settings(
            instance_id=instance,
            user_data=render.user_data(setup, delivery),
            token_required=token_required,
            tags={"simpleflow:cluster": "farm"},
            relays={9000: str(bucket.path)},
            credentials={"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": "session"},
        )
        with network.Network(folder, settings) as net:
            yield net, bucket


def wait_for(what: str, holds: Any, booted: container.Container | vm.Machine, seconds: float) -> None:
    last = time.monotonic() + seconds
    while not holds():
        if not booted.running or time.monotonic() > last:
            pytest.fail(f"{what} did not come; the console ends with:\n{booted.tail()}")
        time.sleep(0.1)


def drained(net: network.Network, bucket: ami_services.Objects, booted: container.Container | vm.Machine, instance: str,
            seconds: float) -> None:  # fmt: skip
    """The story of one node: it polls, is marked, drains, and powers itself off."""
    wait_for("a poll", lambda: f"/polled/{instance}" in bucket.paths, booted, seconds)
    assert f"/drained/{instance}" not in bucket.paths
    assert booted.running
    net.tag("simpleflow:drain.1")
    wait_for("the drain", lambda: f"/drained/{instance}" in bucket.paths, booted, seconds)
    booted.wait_off(seconds)
    assert bucket.unsigned == []


@pytest.mark.slow  # the real agent does the same in test_ami_worker.py, but for the failure of its first start
@pytest.mark.needs_processes
def test_a_container_becomes_a_node_and_leaves(debian12: build.Artifacts, tmp_path: Path) -> None:
    tools_or_skip(tools.CONTAINER)
    if not debian12.tree.exists():
        container.unpack(debian12.tar, debian12.tree)
    instance = "i-0123456789abcdef0"
    with (
        node(tmp_path, instance=instance, token_required=False) as (net, bucket),
        container.Container(debian12.tree, net, tmp_path / "console.log") as booted,
    ):
        drained(net, bucket, booted, instance, 60)


@pytest.mark.needs_processes
def test_changed_code_is_never_run(debian12: build.Artifacts, tmp_path: Path) -> None:
    tools_or_skip(tools.CONTAINER)
    if not debian12.tree.exists():
        container.unpack(debian12.tar, debian12.tree)
    with (
        node(tmp_path, instance="i-0123456789abcdef1", token_required=False) as (net, bucket),
        container.Container(debian12.tree, net, tmp_path / "console.log") as booted,
    ):
        for path in bucket.content:
            bucket.content[path] = bucket.content[path] + b"changed"
        wait_for("the refusal", lambda: "nothing of it was run" in booted.tail(), booted, 30)
        assert not any(path.startswith("/polled/") for path in bucket.paths)


def tools_or_skip(programs: Mapping[str, str]) -> None:
    try:
        tools.need(programs, "this boot")
    except errors.MissingTools as problem:
        pytest.skip(str(problem))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.needs_processes
def test_a_machine_becomes_a_node_and_leaves(debian12: build.Artifacts, tmp_path: Path) -> None:
    """Under UEFI, by IMDSv2 alone; a token comes before any read, and the machine says which instance it is."""
    tools_or_skip(tools.VM)
    instance = "i-0123456789abcdef2"
    with (
        node(tmp_path, instance=instance, token_required=True) as (net, bucket),
        vm.Machine(debian12.image, net, tmp_path, size_gib=3, identity=uuid.uuid4()) as booted,
    ):
        drained(net, bucket, booted, instance, 300)
        asked = net.requests()
    assert asked[0]["method"] == "PUT"
    assert all(each["token"] for each in asked if each["status"] == 200)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.needs_processes
def test_identities_differ_between_machines_and_stay_over_a_reboot(debian12: build.Artifacts, tmp_path: Path) -> None:
    tools_or_skip(tools.VM)
    show = recipes.Test(name="identity", run="cat /etc/machine-id; sha256sum < /etc/ssh/ssh_host_ed25519_key")
    seen = []
    for folder, instance, identity in (("a", "i-0a", 1), ("a", "i-0a", 1), ("b", "i-0b", 2)):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / metadata.REPORT).unlink(missing_ok=True)
        (place / metadata.READY).unlink(missing_ok=True)
        data = trial.user_data([show])
        settings = metadata.settings(instance_id=instance, user_data=data, token_required=True)
        with (
            network.Network(place, settings) as net,
            vm.Machine(debian12.image, net, place, size_gib=3, identity=uuid.UUID(int=identity << 64)) as booted,
        ):
            booted.wait_off(300)
            report = net.report()
        assert report is not None
        seen.append(report["results"][0]["output"])
    assert seen[0] == seen[1]
    assert not set(seen[0].split()) & set(seen[2].split()) - {"-"}


def test_metadata_lists_folders_and_hides_nothing() -> None:
    document = metadata.settings(
        instance_id="i-1", user_data="#cloud-config\n", token_required=True, tags={"simpleflow:drain.3": ""}
    )
    assert metadata.look_up(document, "/latest/meta-data/instance-id") == "i-1"
    assert metadata.look_up(document, "/2021-03-23/meta-data/instance-id") == "i-1"
    assert metadata.look_up(document, "/latest/meta-data/tags/instance") == "simpleflow:drain.3"
    assert "tags/" in (metadata.look_up(document, "/latest/meta-data/") or "").split()
    identity = metadata.look_up(document, "/latest/dynamic/instance-identity/document")
    assert json.loads(identity or "")["instanceId"] == "i-1"
    assert metadata.look_up(document, "/latest/meta-data/iam/") is None
    assert metadata.look_up(document, "/latest/nothing") is None
    assert metadata.look_up(document, "/latest/user-data") == "#cloud-config\n"
