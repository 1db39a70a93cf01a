"""What an agent does before its first worker is started: store its document, then read control.json, and no other way.

docs/design/control.md, part 3: a manager may end a machine that has stored no document.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.nodes import boot, drain

from .test_agent import Node

pytestmark = pytest.mark.needs_processes

PUT, GET = "put nodes/n-1.json", "get control.json"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.agent.close()
    made.server.stop()


def started(node: Node) -> bool:
    return bool(list(node.folder.glob("worker-*")))


def turns(node: Node, count: int = 30) -> None:
    """Enough of them for everything that is due."""
    for _ in range(count):
        node.agent._next_try = 0.0
        node.agent.turn()
        node.agent.listen(0.0)


def mark(node: Node, generation: int) -> None:
    row = documents.Row(
        instance="n-1", profile="small", attempt="a-1", price=0, since=0.0, until=time.time() + 1000, drain=generation
    )
    node.own(rows=(row,))


def test_it_stores_its_document_then_reads_control_json_then_starts_its_worker(node: Node) -> None:
    assert not started(node)
    node.agent.turn()
    assert node.store.calls[:2] == [PUT, GET]
    assert node.document().state == "booting"
    node.until(lambda: node.document().state == "working")


def test_a_machine_that_was_marked_while_it_booted_never_starts_a_worker(node: Node) -> None:
    mark(node, 2)
    assert node.agent.run() == 0
    assert not started(node)
    assert node.agent.state is drain.DrainState.ENDED
    assert (node.document().state, node.document().generation, node.document().first_polled) == ("ended", 2, None)


def test_a_mark_that_was_written_between_its_document_and_its_look_is_seen(node: Node) -> None:
    put = node.store.put

    def slow(key: str, content: bytes, **conditions: object) -> str:
        done = put(key, content, **conditions)  # type: ignore[arg-type]  # the same ones
        if key.startswith("nodes/") and not node.store.calls.count(GET):
            mark(node, 1)
        return done

    node.store.put = slow  # type: ignore[method-assign]
    assert node.agent.run() == 0
    assert not started(node)


def test_a_machine_that_nobody_owns_never_starts_a_worker(node: Node) -> None:
    node.own(rows=())
    assert node.agent.run() == 0
    assert not started(node)
    assert "no manager owns this machine" in node.document().reason


def test_an_open_launch_is_enough_to_begin(node: Node) -> None:
    intent = documents.Intent(id="a-1", kind="launch", creator="m", profile="small", not_after=0.0, units=1)
    node.own(rows=(), intents=(intent,))
    node.until(lambda: node.document().state == "working")


@pytest.mark.parametrize("refused", [PUT, GET])
def test_without_the_stores_answer_no_worker_is_started(node: Node, refused: str) -> None:
    node.store.refused = {refused}
    turns(node)
    assert node.agent.boot in {boot.BootState.STARTING, boot.BootState.ANNOUNCED}
    assert not started(node)
    if refused == GET:
        node.until(lambda: "control.json cannot be read: no worker is started" in node.document().health)
    node.store.refused = set()
    node.until(lambda: started(node))
    node.until(lambda: node.document().state == "working" and node.document().health == "ok")


def test_control_json_that_cannot_be_decoded_is_not_read(node: Node) -> None:
    node.store.objects["control.json"] = (b"<html>", "e0")
    turns(node)
    assert not started(node)
    node.own()
    node.until(lambda: node.document().state == "working")


@pytest.mark.parametrize("refused", [{PUT}, {GET}, {PUT, GET}])
def test_a_machine_that_is_kept_from_beginning_ends_itself_at_last(node: Node, refused: set[str]) -> None:
    """No longer than any manager waits for a boot; nobody could tell it that it is not wanted any more."""
    node.store.refused = refused
    node.agent._late = time.monotonic()
    assert node.agent.run() == 0
    assert not started(node)
    assert node.agent.boot is boot.BootState.REFUSED
    if PUT not in refused:
        assert node.document().state == "ended"
        assert "this machine ends itself" in node.document().reason


def test_an_agent_that_is_started_again_looks_again(node: Node) -> None:
    """On the same machine, after the first one had polled: the document is there, and says what is true now."""
    node.until(lambda: node.document().state == "working")
    node.agent.close()
    before = len(list(node.folder.glob("worker-*")))
    mark(node, 1)
    node.store.calls.clear()
    node.agent = node.again()
    assert node.agent.run() == 0
    assert node.store.calls[:2] == [PUT, GET]
    assert len(list(node.folder.glob("worker-*"))) == before
    assert node.document().state == "ended"


def test_a_notice_before_it_began_ends_it_without_a_worker(node: Node) -> None:
    node.store.refused = {GET}
    node.agent.end_soon()
    assert node.agent.run() == 0
    assert not started(node)
    assert msgspec.json.decode(node.store.objects["nodes/n-1.json"][0])["state"] == "ended"
