"""A machine that cannot become a node is counted first, told, and off; keys that come late are waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from simpleflow.provisioning.node import fetch
from tests.unit.provisioning import test_node_scripts as scripts
from tests.unit.provisioning.test_node_scripts import KEYS, Cloud

cloud = scripts.cloud
counter = scripts.counter


@pytest.fixture
def deliver(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "fetch", fetch)
    monkeypatch.delenv(fetch.COUNTED, raising=False)
    from simpleflow.provisioning.node import deliver

    return deliver


def answers(early: list[Any]) -> Callable[[scripts._Handler], None]:
    """Metadata whose role and keys come late: a status, or a body, per early look."""

    def metadata(self: scripts._Handler) -> None:
        if self.command == "PUT":
            self._answer(200, b"token")
        elif early:
            first = early.pop(0)
            self._answer(*((first,) if isinstance(first, int) else (200, first)))
        elif self.path.endswith("/security-credentials/"):
            self._answer(200, b"node-role")
        else:
            self._answer(200, json.dumps({**KEYS, "Code": "Success"}).encode())

    return metadata


@pytest.mark.parametrize(
    "early",
    [
        [404, 404],
        [500, 503, 429],
        [b"", b"\n"],
        [b"node-role", b'{"Code": "AssumeRoleUnauthorizedAccess", "Message": "not yet"}'],
        [b"node-role", b'{"Code": "Success"}', b"node-role", b"<html>", b"node-role", 404],
    ],
)
def test_keys_of_the_role_that_come_late_are_waited_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, early: list[Any]
) -> None:
    monkeypatch.setattr(scripts._Handler, "_metadata", answers(early))
    cloud.objects["/bucket/k"] = b"content"
    assert fetch.read("s3://bucket/k", "eu-west-1", cloud.url) == b"content"
    assert early == []


def test_keys_that_never_come_are_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts._Handler, "_metadata", answers([404] * 1000))
    with pytest.raises(fetch.DeliveryFailed, match=r"no keys of a role: HTTPError: HTTP Error 404.*profile"):
        fetch.read("s3://bucket/k", "eu-west-1", cloud.url)


def delivery(cloud: Cloud, folder: Path, **changes: str) -> Path:
    path = folder / "delivery.json"
    given = {
        **scripts.settings(cloud), "root": str(folder / "opt"), "node": "s3://bucket/node", "node_sha256": "0" * 64,
        "code": "s3://bucket/code", "code_sha256": "0" * 64, "units": "x.service", **changes,
    }  # fmt: skip
    path.write_text(json.dumps(given))
    return path


def boots(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cloud.objects["/bucket/boots.json"])
    return found


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "HTTP 404"), (b"another", "nothing of it was run"), (b"no archive", "not a gzip file")],
)
def test_a_node_bundle_that_cannot_be_had_is_counted_told_and_ends_the_machine(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, reason: str
) -> None:
    import hashlib

    digest = hashlib.sha256(b"no archive").hexdigest()
    if content is not None:
        cloud.objects["/bucket/node"] = content
    monkeypatch.setattr(os, "environ", {**os.environ})
    for number in (1, 2, 3):
        with pytest.raises(SystemExit) as ended:
            fetch.main([str(delivery(cloud, tmp_path, node_sha256=digest))])
        assert ended.value.code == 0, "off"
        assert boots(cloud)["boots"] == number
        assert reason in boots(cloud)["reason"]
    assert scripts.actions(cloud) == ["SuspendProcesses", "SetAlarmState"]


@pytest.mark.parametrize("step", ["bootstrap", "install_code", "install_units"])
@pytest.mark.parametrize(
    "problem", [subprocess.CalledProcessError(100, "apt-get"), OSError("disk full"), KeyError("x")]
)
def test_each_step_of_a_delivery_that_fails_is_counted_told_and_ends_the_machine(
    cloud: Cloud, deliver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, problem: Exception
) -> None:
    def broken(*_: object) -> None:
        raise problem

    for name in ("bootstrap", "install_code", "install_units"):
        monkeypatch.setattr(deliver, name, broken if name == step else lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        deliver.main([str(delivery(cloud, tmp_path))])
    assert ended.value.code == 0
    assert (boots(cloud)["boots"], str(problem) in boots(cloud)["reason"]) == (1, True)


def test_what_a_program_said_last_is_the_reason(
    cloud: Cloud,
    deliver: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = r"echo fetching; printf 'E: no route to \377\n\nE: give up\n' >&2; exit 100"
    monkeypatch.setattr(deliver, "bootstrap", lambda: deliver.run("/bin/sh", "-c", said))
    with pytest.raises(SystemExit):
        deliver.main([str(delivery(cloud, tmp_path))])
    assert "\nfetching\nE: no route" in capfd.readouterr().out
    assert boots(cloud)["reason"].endswith("exited with status 100: fetching / E: no route to \ufffd / E: give up")


def test_a_worker_whose_delivery_fails_is_off_too(cloud: Cloud, tmp_path: Path) -> None:
    path = delivery(cloud, tmp_path)
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "boot_counter"})
    )
    with pytest.raises(SystemExit) as ended:
        fetch.main([str(path)])
    assert (ended.value.code, cloud.objects) == (0, {})


def test_a_boot_that_cannot_be_counted_is_not_replaced_at_once(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", waits.append)
    monkeypatch.setattr(fetch, "TRIES", 1)
    cloud.failures = [500] * 100
    with pytest.raises(SystemExit):
        fetch.main([str(delivery(cloud, tmp_path))])
    assert waits.count(60) == fetch.COUNT_TRIES - 1


def test_only_a_real_machine_is_powered_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(fetch.subprocess, "run", lambda argv, **_: ran.append(argv))
    for path, wanted in ((tmp_path / "delivery.json", []), (Path(fetch.OWN), [["systemctl", "poweroff"]])):
        with pytest.raises(SystemExit):
            fetch.power_off(path)
        assert ran == wanted


def test_an_alarm_that_is_refused_keeps_the_group_from_nothing(cloud: Cloud, counter: ModuleType) -> None:
    counter.count({**scripts.settings(cloud)})
    counter.write(scripts.settings(cloud), 3)
    counter.failed({**scripts.settings(cloud), "autoscaling_endpoint": f"{cloud.url[:-1]}0"}, "apt")
    assert scripts.actions(cloud) == ["SetAlarmState"]
    assert boots(cloud)["reason"] == "apt"


# --- the watch over the agent -----------------------------------------------------------------------------------------

Looks = list[tuple[float, bool, str]]


@pytest.mark.parametrize(
    ("looks", "verdicts"),
    [
        ([(0, True, "a"), (59, True, "a"), (60, True, "a"), (9999, True, "a")], ["", "", "steady", ""]),
        ([(0, True, "a"), (10, False, "a"), (20, True, "b"), (30, True, "c"), (40, True, "d"), (50, True, "e")],
         ["", "", "", "", "", "failed"]),
        # Steady for a day, then a loop.
        ([(0, True, "a"), (60, True, "a"), (90000, True, "b"), (90010, True, "c"), (90020, True, "d"),
          (90030, True, "e"), (90040, True, "f")], ["", "steady", "", "", "", "", "failed"]),
        # One restart a day is no loop.
        ([(0, True, "a"), (60, True, "a"), (90000, True, "b"), (90060, True, "b"), (180000, True, "c")],
         ["", "steady", "", "steady", ""]),
        # It never starts.
        ([(0, False, ""), (900, False, ""), (1800, False, "")], ["", "", "failed"]),
    ],
)  # fmt: skip
def test_the_watch_over_the_agent(counter: ModuleType, looks: Looks, verdicts: list[str]) -> None:
    watch = counter.Watch(0.0)
    assert [watch.look(active, run, now) for now, active, run in looks] == verdicts


def test_an_agent_that_crashes_after_a_good_boot_is_counted_and_its_machine_ends(
    cloud: Cloud, counter: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(0, 10_000, 30))
    runs = iter(["a", "a", "a", "b", "c", "d", "e", "f"])
    monkeypatch.setattr(counter.time, "monotonic", lambda: float(next(moments)))
    monkeypatch.setattr(counter, "shown", lambda: (True, next(runs)))
    monkeypatch.setattr(counter, "last_lines", lambda: "ModuleNotFoundError: films")
    path = delivery(cloud, tmp_path)
    counter.write(scripts.settings(cloud), 1)
    with pytest.raises(SystemExit) as ended:
        counter.main(["settle", str(path)])
    assert (ended.value.code, boots(cloud)["boots"]) == (0, 1)
    assert "its agent ends again and again:\nModuleNotFoundError: films" in boots(cloud)["reason"]
