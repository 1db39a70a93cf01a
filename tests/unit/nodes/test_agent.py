"""The agent with real child processes: a worker of the test's own that speaks the status channel."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents, errors
from simpleflow.nodes import config, control, drain, setups
from simpleflow.nodes.agent import Agent, OrphanWatch, metadata_client
from simpleflow.nodes.providers.process import MetadataServer, node_folder

from . import fakes

#: works on TASK until FINISH exists; after stop_polling takes the task that HANDED names to the poll that is open
WORKER = """
import json, os, select, socket, sys, time
from pathlib import Path
here = Path(sys.argv[1])
link = socket.socket(socket.AF_UNIX)
link.connect(os.environ["SIMPLEFLOW_STATUS_SOCKET"])
(here / f"worker-{os.getpid()}").touch()
running, polling, stopping, done = [], True, False, set()
if (here / "task").exists():
    running = [{"id": "r/task", "started": time.time(), "start_to_close": 300}]
while True:
    if select.select([link], [], [], 0.02)[0]:
        line = link.recv(4096)
        if not line: sys.exit(1)
        (here / "told").write_bytes(line)
        stopping = True
    if stopping and polling:
        polling = False
        if (here / "handed").exists():
            running.append({"id": "r/handed", "started": time.time(), "start_to_close": 300})
    for each in list(running):
        if (here / f"finish-{each['id'][2:]}").exists():
            running.remove(each)
            (here / f"done-{each['id'][2:]}").touch()
    said = {"pid": os.getpid(), "task_list": "light", "polling": polling, "running": running, "stopping": stopping,
            "acknowledged": stopping and not polling and not running}
    link.sendall(json.dumps(said).encode() + b"\\n")
"""


class Store(fakes.MemoryStore):
    """Notes what the agent does, and refuses what a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.refused: set[str] = set()

    def _call(self, call: str) -> None:
        self.calls.append(call)
        if call in self.refused:
            raise errors.SimpleflowError(f"{call}: 503")

    def get(self, key: str) -> tuple[bytes, str] | None:
        self._call(f"get {key}")
        return super().get(key)

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        self._call(f"put {key}")
        return super().put(key, content, if_match=if_match, if_absent=if_absent)


class Node:
    """An agent in this process, its worker as a child, its metadata and documents."""

    def __init__(self, folder: Path, cluster: str = "", directory: str = "") -> None:
        self.folder = folder
        self.store = Store()
        self.server = MetadataServer(str(folder))
        self.server.start()
        self.files = node_folder.NodeFolder(folder / "nodes" / "n-1")
        self.files.create(
            node_folder.Record(
                id="n-1",
                attempt="a-1",
                profile="small",
                launched=0.0,
                instance_type="process",
                tags={"simpleflow:attempt": "a-1"},
            )
        )
        script = folder / "worker.py"
        script.write_text(WORKER)
        setup = setups.node_setup(
            fakes.cluster(cluster), "small", store="memory://", endpoint="unix:///nowhere.sock", directory=directory
        )
        times = {**setup.times, "metadata": 0.05, "document_min": 0.05, "look": 0.1, "lease": 0.3, "margin": 4.5}
        self.own()
        self.store.calls.clear()
        self.agent = self.start(msgspec.structs.replace(setup, times=times), script)

    def start(self, setup: documents.NodeSetup, script: Path) -> Agent:
        """An agent of this machine, the first one or another one."""
        self.again = functools.partial(self.start, setup, script)
        return Agent(
            setup,
            metadata_client.Metadata({metadata_client.ENDPOINT_VARIABLE: f"{self.server.url}/n-1/"}),
            self.store,
            dict(os.environ),
            clocks.RealClock(),
            lambda setup, task_list, slots: [sys.executable, str(script), str(self.folder), task_list],
        )

    def own(self, **changes: object) -> None:
        """A manager's control.json that names this node."""
        row = documents.Row(
            instance="n-1", profile="small", attempt="a-1", price=0, since=0.0, until=time.time() + 1000
        )
        document = documents.Control(cluster="demo", seq=1, rows=(row,))
        self.store.put("control.json", msgspec.json.encode(msgspec.structs.replace(document, **changes)))

    def document(self) -> documents.NodeDocument:
        return msgspec.json.decode(self.store.objects["nodes/n-1.json"][0], type=documents.NodeDocument)

    def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        limit = time.monotonic() + seconds
        self.agent.turn()
        while not condition():
            assert time.monotonic() < limit, f"not within {seconds} s; {self.agent.state}, {self.document()}"
            self.agent.turn()
            self.agent.listen(0.02)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def touch(self, name: str) -> None:
        (self.folder / name).touch()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.agent.close()
    made.server.stop()


pytestmark = pytest.mark.needs_processes


def test_a_drain_whose_mark_is_refused_reaches_a_busy_node_by_the_ledger(node: Node) -> None:
    node.touch("task")
    node.until(lambda: node.document().task_lists[0].running != ())
    row = documents.Row(
        instance="n-1", profile="small", attempt="a-1", price=0, since=0.0, until=time.time() + 1000, drain=3
    )
    node.own(rows=(row,))
    node.until(lambda: node.document().state == "draining")
    assert node.document().generation == 3
    node.touch("finish-task")
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)
    assert node.has("done-task")


def test_a_marked_node_finishes_its_task_takes_no_other_and_goes(node: Node) -> None:
    node.touch("task")
    node.until(lambda: node.document().state == "working" and node.document().task_lists[0].running != ())
    assert node.document().busy[-1][1] is None
    node.files.set_tag("simpleflow:drain.1", "1")
    node.until(lambda: node.document().state == "draining" and not node.document().task_lists[0].polling)
    assert node.agent.state is drain.DrainState.STOPPING
    assert node.document().generation == 1
    node.touch("finish-task")
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)
    assert node.has("done-task")
    assert node.agent.run() == 0
    assert node.document().state == "ended"
    assert node.document().busy[-1][1] is not None


def test_a_task_handed_to_the_poll_open_at_the_mark_is_worked(node: Node) -> None:
    node.until(lambda: node.document().state == "working")
    node.touch("handed")
    node.files.set_tag("simpleflow:drain.4", "1")
    node.until(lambda: node.document().task_lists[0].running != ())
    node.touch("finish-handed")
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)
    assert node.has("done-handed")


def test_a_mark_taken_back_after_it_was_seen_changes_nothing(node: Node) -> None:
    node.touch("task")
    node.until(lambda: node.document().state == "working")
    node.files.set_tag("simpleflow:drain.1", "1")
    node.until(lambda: node.document().state == "draining")
    node.files.remove_tag("simpleflow:drain.1")
    node.touch("finish-task")
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)


def test_a_dead_worker_is_started_again_and_told_what_stands(node: Node) -> None:
    node.until(lambda: node.document().state == "working")
    first = next(node.folder.glob("worker-*"))
    os.kill(int(first.name.removeprefix("worker-")), signal.SIGKILL)
    node.until(lambda: len(list(node.folder.glob("worker-*"))) == 2 and node.document().task_lists[0].polling)
    assert "worker of 'light' was killed by SIGKILL" in node.document().health


def test_a_worker_that_dies_while_draining_holds_nothing_up(node: Node) -> None:
    node.touch("task")
    node.until(lambda: node.document().task_lists[0].running != ())
    node.files.set_tag("simpleflow:drain.1", "1")
    node.until(lambda: node.has("told"))
    os.kill(int(next(node.folder.glob("worker-*")).name.removeprefix("worker-")), signal.SIGKILL)
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)


def test_a_notice_tells_the_workers_its_deadline_and_ends_in_time(node: Node) -> None:
    node.touch("task")
    node.until(lambda: node.document().task_lists[0].running != ())
    deadline = time.time() + 9
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(deadline))
    node_folder.write(node.files.notice, f'{{"action":"terminate","time":"{moment}"}}'.encode())
    node.until(lambda: node.has("told") and (node.folder / "told").read_bytes().endswith(b"\n"))
    told = msgspec.json.decode((node.folder / "told").read_bytes().splitlines()[0])
    assert told == {"stop_polling": True, "deadline": pytest.approx(int(deadline) - 4.5)}
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)
    assert node.document().deadline is not None


def test_an_idle_node_that_nobody_owns_ends_itself_and_a_busy_one_does_not(node: Node) -> None:
    node.touch("task")
    node.until(lambda: node.document().task_lists[0].running != ())
    node.own(rows=())
    before = time.monotonic()
    node.until(lambda: time.monotonic() - before > 0.5)
    assert node.agent.state is drain.DrainState.WORKING
    node.touch("finish-task")
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)
    assert "no manager owns" in node.document().reason


def test_a_node_whose_time_is_up_ends_when_no_lease_lives(node: Node) -> None:
    node.until(lambda: node.document().state == "working")
    row = documents.Row(instance="n-1", profile="small", attempt="a-1", price=0, since=0.0, until=1.0)
    node.own(rows=(row,))
    node.until(lambda: node.agent.state is drain.DrainState.ENDED)


def test_the_orphan_watch_reads_twice_a_lease_time_apart() -> None:
    times = config.PRESETS["aws"]
    watch = OrphanWatch("i-1", "a", times)
    intent = documents.Intent(id="a", kind="launch", creator="m", profile="p", not_after=0.0)
    document = control.open_intent(control.empty("demo"), intent)
    assert watch.look(document, 0.0) == "owned"
    row = documents.Row(instance="i-1", profile="p", attempt="a", price=0, since=1000.0, until=1100.0)
    document = documents.Control(cluster="demo", seq=5, rows=(row,))
    assert watch.look(document, 10.0) == "owned", "the launch is past: 90 s are left at most"
    assert watch.look(document, 109.0) == "owned"
    assert watch.look(document, 110.0) == "look_again"
    assert watch.look(document, 169.0) == "look_again"
    assert watch.look(msgspec.structs.replace(document, seq=6), 172.0) == "look_again"
    assert watch.look(msgspec.structs.replace(document, seq=6), 231.0) == "look_again"
    assert watch.look(msgspec.structs.replace(document, seq=6), 232.0) == "orphaned"
    assert watch.look(control.empty("demo"), 0.0) == "orphaned"


def test_the_orphan_watch_learns_the_providers_time_from_the_lease() -> None:
    """An agent that was started anew has not seen the launch; the leases' renewals are moments of the same clock."""
    watch = OrphanWatch("i-1", "a", config.PRESETS["aws"])
    row = documents.Row(instance="i-1", profile="p", attempt="a", price=0, since=1000.0, until=5000.0)
    leased = documents.Control(
        cluster="demo", seq=5, rows=(row,), lease=documents.Lease(holder="m", epoch=1, renewed=4900.0)
    )
    assert watch.look(leased, 10.0) == "owned"
    left = msgspec.structs.replace(leased, seq=6, lease=None)
    assert watch.look(left, 109.0) == "owned"
    assert watch.look(left, 110.0) == "look_again"
    assert watch.look(left, 170.0) == "orphaned"
