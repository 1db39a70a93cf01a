"""What a real node needs around it: wheels, the emulated account's bucket, the embedded service, ways to both."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import msgspec
import pytest

from simpleflow.ami.boot import metadata, network
from simpleflow.core import documents
from simpleflow.nodes import config
from simpleflow.provisioning import bundle, render
from simpleflow.testing import cloud as emulated

ROOT = Path(__file__).resolve().parents[3]
#: Python of each release's image
PYTHON = {"debian12": "3.11", "debian13": "3.13"}
DOMAIN, BUCKET, REGION = "farm", "farm-bucket", "eu-west-1"
WORK = """
import platform
from simpleflow import activity

@activity.with_attributes(version="1", task_list="work")
def where(word):
    return [word, platform.node(), open("/etc/machine-id").read().strip()]
"""


def _pip(*arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"the node's wheels cannot be had: {done.stderr.strip()[-500:]}")


def needed(release: str) -> list[Path]:
    """Wheels of everything that simpleflow needs, for the image's Python; kept, so that later runs need no index."""
    wanted = [each for each in importlib.metadata.requires("simpleflow") or () if "extra ==" not in each]
    kept = ROOT / ".ami" / "cache" / f"wheels-{release}"
    listed = kept / "requirements.txt"
    if not listed.exists() or listed.read_text().splitlines() != wanted:
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        platforms = [f"--platform={each}_x86_64" for each in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
        python = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON[release]}"]
        _pip("download", *python, *platforms, "--dest", str(kept), *wanted)
        listed.write_text("\n".join(wanted) + "\n")
    return sorted(kept.glob("*.whl"))


def own(folder: Path) -> list[Path]:
    """Wheels of this checkout and of an activity."""
    settings = folder / "builds.cfg"
    settings.write_text(f"[build]\nbuild_base = {folder}/build\n[egg_info]\negg_base = {folder}\n")
    _pip(
        "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT),
        DIST_EXTRA_CONFIG=str(settings),
    )  # fmt: skip
    info = "nodework-1.dist-info"
    files = {
        "nodework.py": WORK,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: nodework\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "nodework-1-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return sorted(folder.glob("*.whl"))


class Forward:
    """Passes connections to a unix socket on to a TCP port here: sockets of that kind know no namespaces."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self._port = port
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(("127.0.0.1", self._port))
                self._open += [inside, outside]
                for pair in ((inside, outside), (outside, inside)):
                    thread = threading.Thread(target=self._pump, args=pair)
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()


@dataclasses.dataclass(frozen=True)
class Swf:
    """The embedded service: its socket, and a client of it."""

    socket: Path
    client: Any


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Swf]:
    """Run the embedded service of this checkout, with a port for the test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own_places = {"SIMPLEFLOW_RUNTIME_DIR": str(folder / "run"), "SIMPLEFLOW_DATA_DIR": str(folder / "data")}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "simpleflow.cli.main", "server.start", "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **own_places},
        )  # fmt: skip
    try:
        last = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            if process.poll() is not None or time.monotonic() > last:
                pytest.fail(f"the service did not start:\n{(folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.05)
        client = boto3.client(
            "swf", region_name=REGION, endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="a",
            aws_secret_access_key="b", config=botocore.config.Config(proxies={}, read_timeout=70),
        )  # fmt: skip
        yield Swf(folder / "run" / "swf.sock", client)
        client.close()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclasses.dataclass(frozen=True)
class Farm:
    """One node and everything around it."""

    instance: str
    cloud: emulated.Cloud
    swf: Any
    net: network.Network

    def document(self) -> documents.NodeDocument | None:
        """What the agent last wrote of itself."""
        s3 = self.cloud.client("s3")
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="nodes/").get("Contents", [])]
        if not keys:
            return None
        assert keys == [f"nodes/{self.instance}.json"]
        return msgspec.json.decode(
            s3.get_object(Bucket=BUCKET, Key=keys[0])["Body"].read(), type=documents.NodeDocument
        )


def _role(cloud: emulated.Cloud) -> None:
    """The role of the machine: the rights of a worker's documents and code, no more."""
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{BUCKET}/code/*"},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{BUCKET}/control.json"},
        {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": f"arn:aws:s3:::{BUCKET}/nodes/i-*.json"},
    ]
    texts = [
        msgspec.json.encode({"Version": "2012-10-17", "Statement": each}).decode() for each in ([trust], statements)
    ]
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=texts[0])
    iam.put_role_policy(RoleName="node", PolicyName="own", PolicyDocument=texts[1])


def _control(instance: str) -> bytes:
    """A row that names the machine, so that its agent does not take it for an orphan."""
    now = time.time()
    row = documents.Row(instance=instance, profile="general", attempt="a", price=1, since=now, until=now + 3600)
    return msgspec.json.encode(documents.Control(cluster="farm", rows=(row,)))


@contextlib.contextmanager
def farm(folder: Path, wheels: list[Path], *, instance: str, token_required: bool) -> Iterator[Farm]:
    """Bucket, service and network of one node, with user data as ``sfnodes up`` renders it."""
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(emulated.Cloud())
        swf = stack.enter_context(service(folder))
        _role(cloud)
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket=BUCKET, Key=documents.CONTROL_KEY, Body=_control(instance))
        ways = {"AWS_ENDPOINT_URL": f"http://{metadata.HOST}:9000", "AWS_DEFAULT_REGION": REGION}
        node = bundle.node_bundle(cluster="farm", profile="general", bootstrap="exit 1\n", environment=ways)
        code = bundle.code_bundle(wheels=wheels)
        for each in (node, code):
            s3.put_object(Bucket=BUCKET, Key=f"code/{each.sha256}.tar.gz", Body=each.data)
        setup = documents.NodeSetup(
            cluster="farm", domain=DOMAIN, profile="general", provider="ec2", store=f"s3://{BUCKET}",
            task_lists=(("work", 1),), times=msgspec.structs.asdict(config.times.LOCAL), region=REGION,
            endpoint=f"http://{metadata.HOST}:9001", modules=("nodework",),
        )  # fmt: skip
        delivery = render.Delivery(
            node=node.part(f"s3://{BUCKET}/code/{node.sha256}.tar.gz"),
            code=code.part(f"s3://{BUCKET}/code/{code.sha256}.tar.gz"),
            region=REGION,
            endpoint=f"http://{metadata.HOST}:9000",
        )
        way = Forward(folder / "aws.sock", int(re.split("[:/]", cloud.endpoint)[4]))
        stack.callback(way.close)
        key, secret, token = cloud.principals.assume("node", instance)
        settings = metadata.settings(
            instance_id=instance,
            user_data=render.user_data(msgspec.to_builtins(setup), delivery),
            token_required=token_required,
            tags={"simpleflow:cluster": "farm", "simpleflow:attempt": "a"},
            relays={9000: str(way.path), 9001: str(swf.socket)},
            credentials={"AccessKeyId": key, "SecretAccessKey": secret, "Token": token},
            region=REGION,
        )
        net = stack.enter_context(network.Network(folder, settings))
        yield Farm(instance, cloud, swf.client, net)
