"""One refused call stops nothing but itself: it is told, and tried again at the next pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest

from simpleflow.core import documents
from simpleflow.core.errors import SimpleflowError
from simpleflow.data.blobs import base as blobs
from simpleflow.data.blobs import errors as blob_errors
from simpleflow.nodes import config, control, errors, stores, tags
from simpleflow.nodes.manager import reconcile
from simpleflow.nodes.manager import report as reports
from simpleflow.nodes.providers import base, fake

from . import fakes
from . import world as worlds

CLUSTER = config.loads(
    "cluster: demo\npolicy: boundary\npreset: aws\nprofiles: {small: {}}\n"
    "task_lists: {light: {profile: small, max: 9}}\n"
)


class Provider(fake.FakeProvider):
    """Refuses one call about one machine."""

    cursed = ""
    call = ""

    def _refuse(self, call: str, instance_id: str) -> None:
        if (call, instance_id) == (self.call, self.cursed):
            raise errors.ProviderRefused(f"{call} of {instance_id}: TagLimitExceeded or an SCP")

    def mark(self, instance_id: str, generation: int) -> None:
        self._refuse("mark", instance_id)
        super().mark(instance_id, generation)

    def unmark(self, instance_id: str, generation: int) -> None:
        self._refuse("unmark", instance_id)
        super().unmark(instance_id, generation)

    def terminate(self, instance_id: str) -> None:
        self._refuse("terminate", instance_id)
        super().terminate(instance_id)

    def diagnose(self, instance_id: str) -> str:
        self._refuse("diagnose", instance_id)
        return super().diagnose(instance_id)


class Store(fakes.MemoryStore):
    """Refuses one call about one key."""

    cursed = ""

    def get(self, key: str) -> tuple[bytes, str] | None:
        if self.cursed == f"get {key}":
            raise SimpleflowError(f"{key}: AccessDenied")
        return super().get(key)

    def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        if self.cursed == f"put {key}":
            raise SimpleflowError(f"{key}: AccessDenied")
        return super().put(key, content, if_match=if_match, if_absent=if_absent)


class World:
    """Three machines that work and idle, one of them cursed."""

    def __init__(self) -> None:
        self.clock = fakes.virtual()
        self.provider = Provider("demo", self.clock)
        self.store = Store()
        self.file = control.ControlFile(self.store, "demo", "m", self.clock)
        self.reconciler = reconcile.Reconciler(
            CLUSTER, self.file, self.provider, self.store, fakes.Coordinator(), self.clock
        )
        self.reconciler.run_pass()
        spec = base.LaunchSpec(
            cluster="demo", profile="small", attempt="demo-a", units=3, not_after=self.clock.now() + 60
        )
        intent = documents.Intent(
            id="demo-a", kind="launch", creator="m", profile="small", not_after=spec.not_after, units=3
        )
        self.file.replace(control.open_intent(self.file.read(), intent))
        self.ids = [each.id for each in self.provider.launch(spec).instances]
        self.provider.cursed = self.ids[0]
        self.reconciler.run_pass()

    def report(self, **changes: object) -> None:
        for each in self.ids:
            now = self.clock.now()
            document = documents.NodeDocument(
                node=each, profile="small", attempt="demo-a", state="working", booted=0.0, written=now,
                first_polled=1.0, idle_since=now - 10_000,
                task_lists=(documents.ListStatus(task_list="light", slots=1, polling=True),),
            )  # fmt: skip
            self.store.put(f"nodes/{each}.json", msgspec.json.encode(msgspec.structs.replace(document, **changes)))

    def passes(self, count: int = 1, seconds: float = 30.0) -> None:
        for _ in range(count):
            self.clock.advance(seconds)
            self.reconciler.run_pass()

    def states(self) -> dict[str, tuple[str, int]]:
        return {each.id: (each.state, tags.drain_generation(each.tags)) for each in self.provider.list().instances}

    def notes(self) -> tuple[str, ...]:
        return reports.look(CLUSTER, self.store, lambda node: "running", since=time.time()).notes


@pytest.fixture
def world() -> World:
    return World()


def mended(world: World) -> None:
    world.provider.call = world.store.cursed = ""


def test_a_refused_mark_keeps_no_other_machine_from_its_drain(world: World) -> None:
    world.provider.call = "mark"
    world.report()
    world.passes()
    cursed, *others = world.ids
    assert [world.states()[each][1] for each in others] == [1, 1]
    assert world.states()[cursed] == ("running", 0)
    [note] = world.notes()
    assert note.startswith(f"machine {cursed} could not be marked for its drain: mark of {cursed}: TagLimitExceeded")
    mended(world)
    world.report()
    world.passes()
    assert (world.states()[cursed][1], world.notes()) == (1, ())


def test_a_refused_end_keeps_no_other_machine_alive(world: World) -> None:
    world.provider.call = "terminate"
    world.reconciler.ending = world.reconciler.hurry = True
    world.passes()
    cursed, *others = world.ids
    assert {world.states()[each][0] for each in others} == {"terminated"}
    assert f"machine {cursed} could not be ended" in world.notes()[0]
    mended(world)
    world.passes(2)
    assert (world.file.read().rows, world.notes()) == ((), ())


def test_a_log_that_cannot_be_read_keeps_no_boot_failure_from_being_counted(world: World) -> None:
    world.provider.call = "diagnose"
    world.passes(5, seconds=400.0)
    assert {state for state, _ in world.states().values()} == {"terminated"}
    [failures] = world.file.read().failures
    assert failures.count == 3


def refused_put(world: World) -> None:
    world.store.cursed = f"put ledger/{world.ids[0]}.json"


def refused_get(world: World) -> None:
    world.store.cursed = f"get nodes/{world.ids[0]}.json"


def nonsense(world: World) -> None:
    world.store.put(f"nodes/{world.ids[0]}.json", b'{"node": 7')


def test_a_ledger_entry_that_is_refused_keeps_its_row_alone(world: World) -> None:
    refused_put(world)
    world.reconciler.ending = world.reconciler.hurry = True
    world.passes(3)
    assert [row.instance for row in world.file.read().rows] == [world.ids[0]]
    assert "its row stays open" in world.notes()[0]
    mended(world)
    world.passes(2)
    assert (world.file.read().rows, world.notes()) == ((), ())


@pytest.mark.parametrize("spoil", [refused_get, nonsense])
def test_a_document_that_cannot_be_read_hides_no_other(world: World, spoil: Callable[[World], None]) -> None:
    world.report()
    spoil(world)
    world.passes()
    assert [world.states()[each][1] for each in world.ids] == [0, 1, 1]


def test_status_shows_the_others_beside_a_document_that_is_refused(tmp_path: Path) -> None:
    store = stores.open_store(f"file://{tmp_path}")
    seen = documents.Control(cluster="demo")
    for name in ("n-1", "n-2"):
        row = documents.Row(instance=name, profile="small", attempt="a", price=1, since=time.time(), until=0)
        seen = msgspec.structs.replace(seen, rows=(*seen.rows, row))
        node = documents.NodeDocument(
            node=name, profile="small", attempt="a", state="working", booted=0, written=0, health=f"{name} is well"
        )
        store.put(f"{documents.NODES_PREFIX}{name}.json", msgspec.json.encode(node))
    store.put(documents.CONTROL_KEY, msgspec.json.encode(seen))
    real = store.get

    class Refusing:
        url = store.url
        list = store.list

        def get(self, key: str) -> tuple[bytes, str] | None:
            if key.endswith("n-1.json"):
                raise blob_errors.BlobStoreError("AccessDenied")
            return real(key)

    shown = reports.look(CLUSTER, cast(blobs.BlobStore, Refusing()), lambda node: "running")
    assert [(each.node, each.health) for each in shown.nodes] == [("n-1", ""), ("n-2", "n-2 is well")]


def test_a_refused_launch_is_shown_with_the_providers_words_until_one_succeeds() -> None:
    world = worlds.World()
    world.tick()
    world.provider.faults = ["refused"]
    world.add("a")
    shown = []
    while not world.document().rows:
        world.tick()
        shown.append(world.document().troubles)
    assert "1 of profile 'small' were not launched: sold out in every zone" in " ".join(shown[-2])
    assert shown[-1] == ()


@pytest.mark.parametrize(
    "problem",
    [
        errors.ProviderRefused("the credentials have expired"),
        RuntimeError("can't start new thread"),
        MemoryError("no memory"),
        OSError(24, "Too many open files"),
    ],
)
def test_why_passes_end_early_is_shown(world: World, monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    def broken() -> base.Listing:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(world.provider, "list", broken)
        world.passes()
        assert world.notes() == (f"a pass of the manager ended early: {problem}",)
    world.passes()
    assert world.notes() == ()


def test_a_ledger_that_cannot_be_read_is_told_and_ends_nothing(world: World) -> None:
    world.store.put("control.json", b"{")
    world.passes()
    assert {state for state, _ in world.states().values()} == {"running"}
    with pytest.raises(errors.NodesError, match=r"control.json of memory:// cannot be read .*put back a copy"):
        world.notes()


def test_tags_are_counted_before_anything_is_made() -> None:
    text = "cluster: demo\nprovider: ec2\nregion: eu-west-1\nprofiles: {small: {types: [c7i.large]}}\n"
    text += "task_lists: {light: {profile: small, max: 9}}\ntags:\n"
    config.loads(text + "".join(f"  t{number}: x\n" for number in range(45)))
    with pytest.raises(errors.ClusterFileError, match=r"cluster.yaml:6: 46 tags: .* keep at most 45"):
        config.loads(text + "".join(f"  t{number}: x\n" for number in range(46)))
