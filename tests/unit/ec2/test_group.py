"""The decider group: who may set which number, and how the last decider leaves."""

from __future__ import annotations

import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.nodes import control, errors
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import leave
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CloudClients
from tests.unit.ec2.fakes import MemoryStore


@pytest.fixture
def cloud(fresh: emulated.Cloud) -> emulated.Cloud:
    return fresh


@pytest.fixture
def group(made: CloudClients) -> ec2.Ec2DeciderGroup:
    return ec2.Ec2DeciderGroup("demo", made)


def test_ensure_raises_zero_to_one_and_leaves_any_other_size(group: ec2.Ec2DeciderGroup, cloud: emulated.Cloud) -> None:
    assert group.desired() == 0
    group.ensure_one()
    assert group.desired() == 1
    group.ensure_one()
    assert len(cloud.record.named("autoscaling:SetDesiredCapacity")) == 1


def test_members_are_protected_from_launch_to_end(group: ec2.Ec2DeciderGroup, cloud: emulated.Cloud) -> None:
    group.ensure_one()
    [member] = group.read().members
    assert member.protected
    group.sleep()
    assert [each.instance for each in group.read().members] == [member.instance]
    assert cloud.instances.get(member.instance).alive
    group.unprotect(member.instance)
    assert not [each for each in group.read().members if each.protected]
    assert not cloud.instances.get(member.instance).alive
    group.unprotect("i-0123456789abcdef0")


def test_the_manager_stays_between_one_and_max(group: ec2.Ec2DeciderGroup) -> None:
    with pytest.raises(errors.ProviderRefused, match="not between 1 and 1"):
        group.set(2)
    with pytest.raises(errors.ProviderRefused, match="not between 1 and 1"):
        group.set(0)
    group.set(1)
    assert group.desired() == 1


def test_a_group_that_the_boot_guard_stopped_says_so(
    group: ec2.Ec2DeciderGroup, cloud: emulated.Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.client("autoscaling").suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Launch"])
    group.ensure_one()
    assert "`sfnodes up` resumes it" in caplog.text
    assert (group.desired(), group.read().members) == (1, ())
    group.sleep()
    group.resume()
    group.ensure_one()
    assert len(group.read().members) == 1


class _Look:
    """Answers as told; what is asked is written down."""

    def __init__(self, *, empty: list[bool], idle: list[bool]) -> None:
        self._empty = empty
        self._idle = idle

    def begin_poll(self) -> None:
        self._now: bool | None = None

    def empty_poll(self) -> bool | None:
        if self._now is None:
            self._now = self._empty.pop(0)
        return self._now

    def idle(self) -> bool:
        return self._idle.pop(0)


class _Group:
    def __init__(self, *, alone: bool = True, desired: int = 1) -> None:
        self._alone = alone
        self.number = desired
        self.taken = False

    def alone(self) -> bool:
        return self._alone

    def sleep(self) -> None:
        self.number = 0

    def desired(self) -> int:
        if self.taken:
            self.number = 1
        return self.number


def _file(**more: object) -> control.ControlFile:
    file = control.ControlFile(MemoryStore(), "demo", "me", clocks.VirtualClock())
    document = control.take(file.read(), "me", 0.0)
    for key, value in more.items():
        document = documents.Control(**{**{k: getattr(document, k) for k in document.__struct_fields__}, key: value})
    file.replace(document)
    return file


def _leave(group: _Group, look: _Look, file: control.ControlFile) -> tuple[list[str], list[str]]:
    began: list[str] = []
    return list(leave.leave(group, look, file, lambda: began.append("began"))), began


def test_the_last_decider_leaves_after_whole_empty_polls() -> None:
    group, file = _Group(), _file()
    steps, began = _leave(group, _Look(empty=[True, True], idle=[True, True]), file)
    assert steps == ["polled", "looked", "asleep", "polled again", "read the group", "left"]
    assert began == ["began"]
    assert group.number == 0
    assert file.read().lease is None


ROW = documents.Row(instance="i", profile="p", attempt="a", price=1, since=0.0, until=1.0)
INTENT = documents.Intent(id="a", kind="launch", creator="me", profile="p", not_after=1.0)


@pytest.mark.parametrize(
    ("group", "look", "more"),
    [
        (_Group(), _Look(empty=[False], idle=[]), {}),
        (_Group(alone=False), _Look(empty=[True], idle=[]), {}),
        (_Group(), _Look(empty=[True], idle=[False]), {}),
        (_Group(), _Look(empty=[True], idle=[True]), {"rows": (ROW,)}),
        (_Group(), _Look(empty=[True], idle=[True]), {"intents": (INTENT,)}),
        (_Group(), _Look(empty=[True], idle=[True]), {"lease": documents.Lease(holder="o", epoch=2, renewed=0.0)}),
    ],
    ids=["a task came", "not alone", "a run is open", "a node stands", "an intent is open", "no lease"],
)
def test_it_stays_and_sets_nothing(group: _Group, look: _Look, more: dict[str, object]) -> None:
    steps, began = _leave(group, look, _file(**more))
    assert steps[-1] == "stays"
    assert group.number == 1
    assert not began


@pytest.mark.parametrize(
    "look",
    [_Look(empty=[True, False], idle=[True]), _Look(empty=[True, True], idle=[True, False])],
    ids=["a task came", "a run is listed"],
)
def test_what_comes_after_the_group_was_set_to_zero_keeps_it(look: _Look) -> None:
    file = _file()
    steps, began = _leave(_Group(), look, file)
    assert steps[-1] == "stays"
    assert began
    assert file.read().lease is not None


def test_a_group_that_was_raised_meanwhile_keeps_it() -> None:
    group, file = _Group(), _file()
    group.taken = True
    steps, _ = _leave(group, _Look(empty=[True, True], idle=[True, True]), file)
    assert steps[-1] == "stays"
    assert file.read().lease is not None


def test_the_lives_of_deciders_are_read_from_the_groups_activities(
    group: ec2.Ec2DeciderGroup, cloud: emulated.Cloud
) -> None:
    made, since = [], cloud.clock.now()
    for _ in range(51):  # more activities than a page has
        before = cloud.clock.now()
        group.ensure_one()
        [member] = group.read().members
        made.append((member.instance, before))
        group.sleep()
        group.unprotect(member.instance)
    group.ensure_one()
    [living] = group.read().members
    lives = group.lives(since)
    assert [each.instance for each in lives] == [*(name for name, _ in made), living.instance]
    assert len(cloud.record.named("autoscaling:DescribeScalingActivities")) > 1
    assert [each.ended is None for each in lives] == [False] * 51 + [True]
    for life, (_, before) in zip(lives, made, strict=False):
        assert life.ended is not None
        assert before - 0.001 <= life.began <= life.ended
    assert [each.instance for each in group.lives(cloud.clock.now() + 1)] == [living.instance]
