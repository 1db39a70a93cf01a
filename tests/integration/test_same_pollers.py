"""Each fault of a network, of keys and of clocks: the same processes poll again, and no finished work is lost.

One worker and one decider live through all of these tests.
"""

from __future__ import annotations

import datetime
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fault_flows
import odd_proxy
import psutil
import pytest
from place_rig import Place, eventually

from simpleflow.client import Client, executions
from simpleflow.process import tree

pytestmark = pytest.mark.needs_processes
#: finds the service's name while there is a file ``names``; without it a line in another file says who looked
RESOLVER = """
import os, socket
looked_up = socket.getaddrinfo
def getaddrinfo(host, port, *args, **kwargs):
    if host == "service.test":
        if not os.path.exists({names!r}):
            with open({names!r} + "-refused", "a") as refused:
                refused.write(str(os.getpid()) + "\\n")
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        host = "127.0.0.1"
    return looked_up(host, port, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""
#: what is made of an action's first calls, and how many of them
TIMES = 2
POLLS = {"PollForActivityTask", "PollForDecisionTask"}
CALLS = POLLS | {
    "RecordActivityTaskHeartbeat",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
    "RespondDecisionTaskCompleted",
}
FAULTS = {
    "throttling": odd_proxy.met("ThrottlingException"),
    "reset": odd_proxy.RESET,
    "lost": odd_proxy.LOST,
    "garbage": odd_proxy.met("garbage"),
    "garbage after": odd_proxy.met("garbage", after=True),
    "page": odd_proxy.met("200 with HTML"),
    "keys": odd_proxy.met("ExpiredTokenException"),
}


class Survivors:
    """A service, and a worker and a decider that reach it by a name, with keys, through a proxy."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.names, self._keys = place.folder / "names", place.folder / "keys"
        self.names.touch()
        self.key("FIRST")
        (place.folder / "sitecustomize.py").write_text(RESOLVER.format(names=str(self.names)))
        place.env["PYTHONPATH"] = f"{place.folder}:{place.env['PYTHONPATH']}"
        place.env["AWS_SHARED_CREDENTIALS_FILE"] = str(self._keys)
        place.env["AWS_EC2_METADATA_DISABLED"] = "true"
        place.ok("server.start", "--detach")
        self.near = Client(endpoint_url=f"unix://{place.folder}/run/swf.sock")
        self.proxy = odd_proxy.OddProxy(f"{place.folder}/run/swf.sock", share=0.0)
        url = self.proxy.url.replace("127.0.0.1", "service.test")
        self.worker = place.spawn("worker.start", "-t", "work", "-N", "2", "--endpoint-url", url).pid
        decider = place.spawn("decider.start", "-t", "decisions", "--endpoint-url", url)
        self.once()
        self.decider = psutil.Process(decider.pid).children()[0].pid

    def key(self, name: str) -> None:
        """Have the processes find this key when they look for one."""
        self._keys.write_text(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = secret\n")

    def folder(self) -> str:
        return tempfile.mkdtemp(dir=self.place.folder)

    def once(self) -> None:
        """One task is polled, run and answered."""
        result = self.near.result(self.near.start(fault_flows.Once, self.folder()), timeout=240)
        assert result == self.worker, self.place.logs()

    def close(self) -> None:
        self.near.close()
        self.proxy.close()  # ends the polls that were opened without their names
        self.place.close()


@pytest.fixture(scope="module")
def kept() -> Iterator[Survivors]:
    made = Survivors(Place(Path(tempfile.mkdtemp(prefix="sf-"))))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def same(kept: Survivors) -> Iterator[Survivors]:
    """The same processes before and after, which do their work again."""
    yield kept
    kept.proxy.judge, kept.proxy.plain = lambda call: None, False
    kept.names.touch()
    assert tree.lives(kept.worker), kept.place.logs()
    assert tree.lives(kept.decider), kept.place.logs()
    kept.once()
    assert "ActivityPoller(task_list=work)" in " ".join(psutil.Process(kept.worker).cmdline())
    assert "DeciderPoller(task_list=decisions)" in " ".join(psutil.Process(kept.decider).cmdline())


def kinds(same: Survivors, run: executions.Run) -> Counter[str]:
    """How many events of each kind a history has."""
    return Counter(type(event).__name__ for event in same.near.history(run))


def effects(folder: str) -> Counter[str]:
    return Counter(Path(folder, "effects").read_text().split("\n")[:-1])


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_two_calls_of_each_action_fail(same: Survivors, name: str) -> None:
    folder = same.folder()
    met: Counter[str] = Counter()
    through: Counter[str] = Counter()

    def judge(call: odd_proxy.Call) -> odd_proxy.Met | None:
        if met[call.action] < TIMES:
            met[call.action] += 1
            return FAULTS[name]
        through[call.action] += 1
        if call.action == "RecordActivityTaskHeartbeat":
            Path(folder, "beaten").touch()
        return None

    same.proxy.judge = judge
    run = same.near.start(fault_flows.Everything, folder)
    eventually(lambda: through["RespondActivityTaskCanceled"])
    same.near.signal(run, "cancelled")
    assert same.near.result(run, timeout=240) == [same.worker, "TaskCanceled", "TaskFailed", same.worker]
    eventually(lambda: set(met) >= CALLS and all(through[action] for action in met))
    assert {met[action] for action in CALLS} == {TIMES}
    # A decision whose way to its decider was cut goes to the next poll at once: its event says that it timed out.
    assert not kinds(same, run)["ActivityTaskTimedOut"]
    assert effects(folder) == {"naps": 1, "beats": 1, "fails": 1, "effect": 1}


def test_an_answer_is_throttled_until_its_task_has_timed_out(same: Survivors) -> None:
    folder = same.folder()
    run = same.near.start(fault_flows.Twice, folder)

    def judge(call: odd_proxy.Call) -> odd_proxy.Met | None:
        if call.action != "RespondActivityTaskCompleted" or Path(folder, "late").exists():
            return None
        return FAULTS["throttling"]

    same.proxy.judge = judge
    eventually(lambda: kinds(same, run)["ActivityTaskTimedOut"])
    Path(folder, "late").touch()
    assert same.near.result(run, timeout=240) == same.worker
    assert effects(folder)["twice"] == 1 + kinds(same, run)["ActivityTaskTimedOut"]
    eventually(lambda: "RespondActivityTaskCompleted came too late" in same.place.logs())


def test_the_name_of_the_service_has_no_address_for_a_while(same: Survivors) -> None:
    refused = Path(f"{same.names}-refused")
    same.names.unlink()
    same.proxy.cut()  # connections that stand need no name
    run = same.near.start(fault_flows.Once, same.folder())
    wanted = {str(same.worker), str(same.decider)}
    eventually(lambda: refused.exists() and {w for w in wanted if refused.read_text().split().count(w) > 2} == wanted)
    same.names.touch()
    assert same.near.result(run, timeout=240) == same.worker


def test_keys_expire_and_new_ones_are_found(same: Survivors) -> None:
    taken: Counter[str] = Counter()

    def judge(call: odd_proxy.Call) -> odd_proxy.Met | None:
        if b"Credential=SECOND/" not in call.request:
            return FAULTS["keys"]
        taken[call.action] += 1
        return None

    same.key("SECOND")
    same.proxy.judge = judge
    assert same.near.result(same.near.start(fault_flows.Once, same.folder()), timeout=240) == same.worker
    eventually(lambda: set(taken) >= POLLS)


def test_the_services_clock_is_an_hour_ahead(same: Survivors) -> None:
    taken: Counter[str] = Counter()

    def judge(call: odd_proxy.Call) -> odd_proxy.Met | None:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        found = re.search(rb"X-Amz-Date: (\w+)", call.request)
        assert found is not None
        signed = datetime.datetime.strptime(found[1].decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        if abs(now - signed) > datetime.timedelta(minutes=5):
            return odd_proxy.said("InvalidSignatureException", now)
        taken[call.action] += 1
        return None

    same.proxy.judge = judge
    assert same.near.result(same.near.start(fault_flows.Once, same.folder()), timeout=240) == same.worker
    eventually(lambda: set(taken) >= POLLS)


def test_the_network_forgets_idle_connections(same: Survivors) -> None:
    """As a NAT does after 350 s: a connection that was idle for longer than an instant is reset by its next request."""
    forgotten: Counter[str] = Counter()

    def judge(call: odd_proxy.Call) -> odd_proxy.Met | None:
        if call.idle < 0.2:
            return None
        forgotten[call.action] += 1
        return odd_proxy.RESET

    same.proxy.judge = judge
    while not forgotten:  # the answers may have gone over connections that were just opened
        folder = same.folder()
        run = same.near.start(fault_flows.Pauses, folder)
        assert same.near.result(run, timeout=240) == [same.worker] * 3
        assert effects(folder) == {"0": 1, "1": 1, "2": 1}


@pytest.mark.parametrize(
    ("flow", "action", "closed", "result"),
    [
        (fault_flows.Once, "RespondActivityTaskCompleted", "ActivityTaskCompleted", None),
        (fault_flows.Rejected, "RespondActivityTaskFailed", "ActivityTaskFailed", None),
        (fault_flows.Stopped, "RespondActivityTaskCanceled", "ActivityTaskCanceled", "TaskCanceled"),
        (fault_flows.Once, "RespondDecisionTaskCompleted", "DecisionTaskCompleted", None),
    ],
)
def test_an_answer_whose_acknowledgement_is_lost_counts_once(
    same: Survivors, flow: type[fault_flows.Base], action: str, closed: str, result: str | None
) -> None:
    """By Amazon's protocol alone: the repeated answer is refused with UnknownResourceFault, and the history has it."""
    folder, lost = same.folder(), 0

    def judge(call: odd_proxy.Call) -> odd_proxy.Met | None:
        nonlocal lost
        if call.action == action and not lost:
            lost += 1
            return odd_proxy.LOST
        return None

    def told() -> int:
        return same.place.logs().count(f"{action} had arrived: its acknowledgement was lost")

    before = told()
    same.proxy.judge, same.proxy.plain = judge, True
    run = same.near.start(flow, folder)
    if flow is fault_flows.Stopped:
        eventually(lambda: kinds(same, run)[closed])
        same.near.signal(run, "cancelled")
    found = same.near.result(run, timeout=240)
    assert result is None or found == result
    eventually(lambda: told() == before + 1)
    assert not kinds(same, run)["ActivityTaskTimedOut"]
    assert set(effects(folder).values()) == {1}
