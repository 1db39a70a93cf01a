"""The scripts that run before anything of ours is installed: signing, digests, archives, the boot counter."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import sys
import tarfile
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from simpleflow.provisioning import bundle, errors
from simpleflow.provisioning.node import fetch

KEYS = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret/with+signs", "Token": "session=="}
NODE = Path(fetch.__file__).parent


@pytest.mark.parametrize("path", sorted(NODE.glob("*.py")), ids=lambda path: path.name)
def test_only_the_standard_library_is_imported(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"fetch"}
    for each in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
        names = [a.name for a in each.names] if isinstance(each, ast.Import) else []
        names += [each.module or ""] if isinstance(each, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= allowed


class Cloud(ThreadingHTTPServer):
    """S3, autoscaling, CloudWatch and metadata of one test; every signature is made again by botocore and compared."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.actions: list[dict[str, str]] = []
        self.failures: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _signed(self, body: bytes) -> bool:
        claim = self.headers.get("Authorization", "")
        service = claim.split("/")[3]
        names = claim.split("SignedHeaders=")[1].split(",")[0].split(";")
        kept = {
            name: self.headers[name] for name in names if name not in {"x-amz-date", "x-amz-security-token", "host"}
        }
        url = f"http://{self.headers['Host']}{self.path}"
        request = botocore.awsrequest.AWSRequest(self.command, url, headers=kept, data=body)
        request.context["timestamp"] = self.headers["x-amz-date"]
        keys = botocore.credentials.Credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"], KEYS["Token"])
        kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
        signer = kind(keys, service, "eu-west-1")
        request.headers["X-Amz-Date"] = self.headers["x-amz-date"]
        request.headers["X-Amz-Security-Token"] = KEYS["Token"]
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return claim.endswith(f"Signature={signer.signature(text, request)}")

    def _work(self) -> None:
        cloud = cast(Cloud, self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length") or "0"))
        if self.path.startswith("/latest/"):
            self._metadata()
        elif cloud.failures:
            self._fail(cloud.failures.pop(0))
        elif not self._signed(body):
            self._answer(400, b"SignatureDoesNotMatch")
        elif self.command == "POST":
            cloud.actions.append({name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()})
            self._answer(200)
        elif self.command == "PUT":
            cloud.objects[self.path] = body
            self._answer(200)
        elif self.path in cloud.objects:
            self._answer(200, cloud.objects[self.path])
        else:
            self._answer(404)

    def _fail(self, status: int) -> None:
        """A status below 200 is a fault of the way: 1 cuts the answer off, 2 is not HTTP."""
        if status == 1:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        elif status == 2:
            self.wfile.write(b"SSH-2.0-other\r\n\r\n")
        else:
            self._answer(status)
            return
        self.close_connection = True

    def _metadata(self) -> None:
        if self.command == "PUT":
            self._answer(200, b"token")
        elif self.headers.get("X-aws-ec2-metadata-token") != "token":
            self._answer(401)
        elif self.path.endswith("/security-credentials/"):
            self._answer(200, b"node-role")
        else:
            self._answer(200, json.dumps({**KEYS, "Expiration": "never"}).encode())

    do_GET = do_PUT = do_POST = _work


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    server = Cloud()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(fetch, "METADATA", server.url)
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("key", ["code/abc", "folder/with blank+plus=and~tilde", "ünïcode"])
def test_signed_reads_match_botocore(cloud: Cloud, key: str) -> None:
    cloud.objects[f"/bucket/{urllib.parse.quote(key, safe='/-_.~')}"] = b"content"
    assert fetch.read(f"s3://bucket/{key}", "eu-west-1", cloud.url) == b"content"


def test_a_service_that_is_not_ready_is_asked_again(cloud: Cloud) -> None:
    cloud.objects["/bucket/k"] = b"content"
    cloud.failures = [403, 503, 1, 2, 500]
    assert fetch.read("s3://bucket/k", "eu-west-1", cloud.url) == b"content"
    cloud.failures = [503] * fetch.TRIES
    with pytest.raises(fetch.DeliveryFailed, match="HTTP 503"):
        fetch.read("s3://bucket/k", "eu-west-1", cloud.url)


@pytest.mark.parametrize("keys", [[], "late", None, 5, {"Code": "Success"}])
def test_keys_that_are_not_ones_are_waited_for(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, keys: Any) -> None:
    answers = [keys, keys]
    real = fetch.metadata

    def odd(path: str, token: str) -> str:
        asked = path.endswith("node-role") and answers
        return json.dumps(answers.pop()) if asked else real(path, token)

    monkeypatch.setattr(fetch, "metadata", odd)
    assert fetch.credentials() == KEYS
    assert not answers


def test_addresses_of_objects() -> None:
    assert fetch.object_url("s3://b/k/ü", "eu-west-1", "") == "https://b.s3.eu-west-1.amazonaws.com/k/%C3%BC"
    assert fetch.object_url("s3://b/k", "cn-north-1", "") == "https://b.s3.cn-north-1.amazonaws.com.cn/k"


def test_another_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"changed")
    settings = {"code": (tmp_path / "part").as_uri(), "code_sha256": hashlib.sha256(b"promised").hexdigest()}
    with pytest.raises(fetch.DeliveryFailed, match="nothing of it was run"):
        fetch.part(settings, "code")
    (tmp_path / "part").write_bytes(b"promised")
    assert fetch.part(settings, "code") == b"promised"


@pytest.mark.parametrize(
    ("name", "kind"), [("../out", tarfile.REGTYPE), ("/etc/x", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)]
)
def test_archives_cannot_leave_their_folder(tmp_path: Path, name: str, kind: bytes) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(fetch.DeliveryFailed, match="only plain files below"):
        fetch.unpack(raw.getvalue(), tmp_path / "in")
    assert not list(tmp_path.iterdir())


def test_bundles_are_the_same_each_time(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    first, second = bundle.code_bundle(wheels=[wheel]), bundle.code_bundle(wheels=[wheel])
    assert first.sha256 == second.sha256
    fetch.unpack(first.data, tmp_path / "out")
    assert json.loads((tmp_path / "out/code.json").read_text()) == {
        "held": {"": [["wheels/demo-1.0-py3-none-any.whl", hashlib.sha256(b"wheel").hexdigest()]]},
        "index": False,
        "python": "",
        "wanted": [],
    }
    with pytest.raises(errors.ProvisioningError, match="without an index a bundle holds wheels only"):
        bundle.code_bundle(wheels=[wheel], requirements=["films==1.0"])
    with pytest.raises(errors.ProvisioningError, match="is not a wheel"):
        bundle.code_bundle(wheels=[tmp_path / "x.zip"])
    with pytest.raises(errors.ProvisioningError, match="nothing would be installed"):
        bundle.code_bundle(wheels=[])


def test_a_node_bundle_holds_what_deliver_runs(tmp_path: Path) -> None:
    made = bundle.node_bundle(cluster="farm", profile="gpu", bootstrap="#!/bin/sh\n")
    fetch.unpack(made.data, tmp_path)
    units = {"simpleflow-agent-again.service", "simpleflow-agent.service", "simpleflow-boot-settled.service"}
    scripts = {"bootstrap.sh", "boot_counter.py", "deliver.py", "fetch.py", "host.py"}
    assert {each.name for each in tmp_path.iterdir()} == units | scripts


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # The scripts import each other as files that lie side by side, as in the unpacked bundle.
    monkeypatch.setitem(sys.modules, "fetch", fetch)
    from simpleflow.provisioning.node import boot_counter

    return boot_counter


def settings(cloud: Cloud) -> dict[str, str]:
    return {
        "boot_counter": "s3://bucket/boots.json", "region": "eu-west-1", "endpoint": cloud.url, "group": "deciders",
        "alarm": "broken", "autoscaling_endpoint": cloud.url, "cloudwatch_endpoint": cloud.url,
    }  # fmt: skip


def actions(cloud: Cloud) -> list[Any]:
    return [each["Action"] for each in cloud.actions]


def test_the_third_failed_boot_suspends_launches(cloud: Cloud, counter: ModuleType) -> None:
    for _ in range(2):
        counter.count(settings(cloud))
        counter.failed(settings(cloud))
    assert actions(cloud) == []
    counter.count(settings(cloud))
    assert actions(cloud) == []  # the third boot may still be a good one
    counter.failed(settings(cloud))
    assert actions(cloud) == ["SuspendProcesses", "SetAlarmState"]
    assert cloud.actions[0]["AutoScalingGroupName"] == "deciders"
    assert cloud.actions[0]["ScalingProcesses.member.1"] == "Launch"
    assert cloud.actions[1]["AlarmName"] == "broken"


def test_boots_that_die_without_a_word_count_too(cloud: Cloud, counter: ModuleType) -> None:
    for _ in range(3):
        counter.count(settings(cloud))
    assert actions(cloud) == []
    counter.count(settings(cloud))
    assert actions(cloud) == ["SuspendProcesses", "SetAlarmState"]


def test_a_good_boot_begins_anew(cloud: Cloud, counter: ModuleType) -> None:
    for _ in range(10):
        counter.count(settings(cloud))
        counter.write(settings(cloud), 0)
    assert actions(cloud) == []
    assert counter.read(settings(cloud)) == 0
