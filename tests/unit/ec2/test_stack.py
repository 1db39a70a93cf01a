"""up, down, status and plan on the emulated account, cut off between any two steps."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.data.blobs import s3
from simpleflow.nodes import config, control, errors, setups
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.manager import reconcile
from simpleflow.nodes.providers import base, ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import formation
from simpleflow.nodes.stack import down as stack_down
from simpleflow.nodes.stack import plan, status
from simpleflow.nodes.stack import up as stack
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CODE, CloudClients, DirectClients
from tests.unit.ec2.fakes import Drainer, MemoryStore
from tests.unit.nodes.fakes import Coordinator


class World:
    """One account with everything that the commands are made from; fresh objects for every command."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        builder: bundle.Builder,
        cloud: emulated.Cloud,
        made: CloudClients | None = None,
    ) -> None:
        self.cluster = cluster
        self.builder = builder
        self.cloud = cloud
        self.store = MemoryStore()
        self.made = made or CloudClients(cloud)

    @property
    def account(self) -> accounts.Account:
        return accounts.Account(self.made, formation.Formation(self.made, pause=0.02))

    @property
    def provider(self) -> ec2.Ec2Provider:
        return ec2.Ec2Provider(self.cluster, self.made, clocks.RealClock())

    def up(self) -> Iterator[stack.Step]:
        return stack.up(self.cluster, self.account, self.builder, lambda: CODE, file=self.file)

    def file(self, bucket: str = "") -> control.ControlFile:
        return control.ControlFile(self.store, "demo", "down", clocks.RealClock())

    def down(self, *, purge: bool = False) -> Iterator[stack.Step]:
        provider = self.provider
        return stack_down.down(
            self.cluster,
            self.account,
            self.file,
            lambda file: Drainer(provider),
            provider,
            purge=purge,
            wait=lambda seconds: time.sleep(0.01),
        )

    def state(self) -> Any:
        """What stands, without anything that a repetition may rightly make anew."""
        stacks = {
            each["StackName"]: each["StackStatus"].replace("UPDATE_", "CREATE_")
            for each in self.cloud.client("cloudformation").describe_stacks()["Stacks"]
        }
        buckets = [each["Name"] for each in self.cloud.client("s3").list_buckets()["Buckets"]]
        keys = [
            each["Key"]
            for bucket in buckets
            for each in self.cloud.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        ]
        groups = [
            (each["MinSize"], each["MaxSize"], each["DesiredCapacity"], len(each["SuspendedProcesses"]))
            for each in self.cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        ]
        alarms = [
            (each["AlarmName"].split("-")[1], each["ActionsEnabled"])
            for each in self.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
        ]
        alive = sum(each.alive for each in self.cloud.instances.all())
        roles = len(self.cloud.client("iam").list_roles()["Roles"])
        return stacks, len(buckets), keys, groups, alarms, alive, roles


@pytest.fixture
def world(cluster: config.ClusterConfig, builder: bundle.Builder, cloud: emulated.Cloud) -> World:
    return World(cluster, builder, cloud)


def launch(world: World, units: int, attempt: str) -> None:
    world.provider.launch(
        base.LaunchSpec(cluster="demo", profile="small", attempt=attempt, units=units, not_after=time.time() + 600)
    )


def names(steps: Iterator[stack.Step]) -> list[str]:
    return [each.name for each in steps]


def test_up_shows_progress_and_repeating_it_changes_nothing(world: World) -> None:
    steps = list(world.up())
    assert stack.Step(name="demo/Deciders", detail="CREATE_COMPLETE") in steps
    assert [each.name for each in steps if "/" not in each.name] == [
        "templates", "account", "spot role", "demo-base", "demo-base", "upload", "upload", "upload", "upload",
        "demo", "demo", "domain", "decider group",
    ]  # fmt: skip
    before = world.state()
    again = list(world.up())
    assert not [each for each in again if each.detail == "began"]
    assert not [each for each in again if each.name == "upload"]
    assert world.state() == before
    assert before[0] == {"demo-base": "CREATE_COMPLETE", "demo": "CREATE_COMPLETE"}


def _points(steps: list[str], every: int) -> list[int]:
    """Where to cut: after the first step of each name of ours, and after every so many events of stacks.

    ``every=1`` is exhaustive: after each step, ours or an event.
    """
    if every == 1:
        return list(range(1, len(steps) + 1))
    events = 0
    points = []
    for number, name in enumerate(steps, 1):
        events += "/" in name
        if name not in steps[: number - 1] if "/" not in name else events % every == 0:
            points.append(number)
    return points


Opens = Callable[[], tuple[emulated.Cloud, type[CloudClients]]]


def _still() -> tuple[emulated.Cloud, type[CloudClients]]:
    """An account whose time stands still: stacks are complete when their call returns, and cuts are cheap."""
    return emulated.Cloud(clock=clocks.VirtualClock(time.time()), group_pause=0.05, patience=5.0), DirectClients


def _moving() -> tuple[emulated.Cloud, type[CloudClients]]:
    """An account whose stacks are made while the command looks on: a cut leaves them in the middle."""
    return emulated.Cloud(group_pause=0.05, patience=5.0), CloudClients


def _cut_up(
    cluster: config.ClusterConfig, builder: bundle.Builder, opens: Opens, points: Callable[[list[str]], list[int]]
) -> None:
    opened, clients = opens()
    with opened as cloud:
        world = World(cluster, builder, cloud, clients(cloud))
        steps = names(world.up())
        wanted = world.state()
    for point in points(steps):
        opened, clients = opens()
        with opened as cloud:
            world = World(cluster, builder, cloud, clients(cloud))
            cut = world.up()
            for _ in itertools.islice(cut, point):
                pass
            cut.close()  # type: ignore[attr-defined]  # a generator, dropped as a killed process drops it
            names(world.up())
            assert world.state() == wanted, f"cut after step {point} ({steps[point - 1]})"


def test_up_may_be_cut_off_between_any_two_steps(cluster: config.ClusterConfig, builder: bundle.Builder) -> None:
    _cut_up(cluster, builder, _still, lambda steps: _points(steps, every=90))


@pytest.mark.slow
def test_up_may_be_cut_off_while_a_stack_is_made(cluster: config.ClusterConfig, builder: bundle.Builder) -> None:
    def middle(steps: list[str]) -> list[int]:
        """In the middle of each stack's events."""
        events = [[n for n, name in enumerate(steps, 1) if name.startswith(f"{one}/")] for one in ("demo-base", "demo")]
        return [each[len(each) // 2] for each in events]

    _cut_up(cluster, builder, _moving, middle)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_up_may_be_cut_off_after_every_event(cluster: config.ClusterConfig, builder: bundle.Builder) -> None:
    _cut_up(cluster, builder, _moving, lambda steps: _points(steps, every=1))


def _busy_cluster(cluster: config.ClusterConfig, builder: bundle.Builder, cloud: emulated.Cloud) -> World:
    world = World(cluster, builder, cloud, DirectClients(cloud))
    names(world.up())
    launch(world, 2, "demo-a")
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    cloud.advance(1.0)
    return world


def test_down_takes_everything_that_costs_and_keeps_the_data(world: World) -> None:
    names(world.up())
    launch(world, 2, "demo-a")
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    before = len(world.cloud.record)
    steps = names(world.down())
    own = [each for each in steps if "/" not in each]
    order = ["wake-up alarm", "lease", "drain", "workers", "decider group", "deciders", "bills", "demo"]
    assert [key for key, _ in itertools.groupby(own)] == order
    stacks, buckets, keys, groups, alarms, alive, _ = world.state()
    assert stacks == {"demo-base": "CREATE_COMPLETE"}
    assert (buckets, groups, alarms, alive) == (1, [], [], 0)
    assert keys
    calls = [each.name for each in world.cloud.record if not each.via][before:]
    assert "ec2:DeleteFleets" not in calls
    assert names(world.down()) == ["demo"]
    names(world.down(purge=True))
    assert world.state()[:2] == ({}, 0)
    assert names(world.down(purge=True)) == ["demo", "demo-base"]


def _cut_down(cluster: config.ClusterConfig, builder: bundle.Builder, every: int) -> None:
    with _still()[0] as cloud:
        world = _busy_cluster(cluster, builder, cloud)
        steps = names(world.down(purge=True))
        wanted = world.state()
    assert wanted[0] == {}
    # One account serves several cuts: after each the cluster is made again.
    with _still()[0] as cloud:
        for point in _points(steps, every):
            world = _busy_cluster(cluster, builder, cloud)
            cut = world.down(purge=True)
            for _ in itertools.islice(cut, point):
                pass
            cut.close()  # type: ignore[attr-defined]  # a generator, dropped as a killed process drops it
            names(world.down(purge=True))
            assert world.state() == wanted, f"cut after step {point} ({steps[point - 1]})"
            cloud.tokens.forget()


def test_down_may_be_cut_off_between_any_two_steps(cluster: config.ClusterConfig, builder: bundle.Builder) -> None:
    _cut_down(cluster, builder, every=200)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_down_may_be_cut_off_after_every_event(cluster: config.ClusterConfig, builder: bundle.Builder) -> None:
    _cut_down(cluster, builder, every=1)


def test_down_of_nothing_is_no_error(world: World) -> None:
    assert names(world.down(purge=True)) == ["demo", "demo-base"]


def test_down_works_when_things_were_deleted_by_hand(world: World) -> None:
    names(world.up())
    group = ec2.Ec2DeciderGroup("demo", world.made).name
    world.cloud.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    names(world.down())
    assert world.state()[0] == {"demo-base": "CREATE_COMPLETE"}


def test_a_stack_whose_creation_failed_is_named_with_its_cause_and_the_way_out(world: World) -> None:
    _fail_once(world)
    with pytest.raises(errors.ProviderRefused, match="`sfnodes down` removes what is left, then `sfnodes up` again"):
        names(world.up())
    assert status.status(world.cluster, world.account, world.provider).stacks["demo"] == "ROLLBACK_COMPLETE"
    names(world.down())
    names(world.up())
    assert world.state()[0]["demo"] == "CREATE_COMPLETE"


def _fail_once(world: World) -> None:
    """Begin the stack with a template that CloudFormation refuses at one resource."""
    broken = json.loads(world.builder.templates().main)
    broken["Resources"]["Vpc"]["Properties"]["CidrBlock"] = "10.0.0.0/99"
    account = world.account
    for _ in stack._deploy(account, "demo-base", {"TemplateBody": world.builder.templates().base}, {}, {}):
        pass
    outputs = stack._outputs(account, "demo-base")
    given = stack.parameters(outputs, outputs["Bucket"], CODE)
    body = stack.body_of(json.dumps(broken), account.bucket(outputs["Bucket"]))
    with pytest.raises(errors.NodesError, match=r"ended in ROLLBACK_COMPLETE: Vpc: "):
        for _ in stack._deploy(account, "demo", body, given, stack.stack_tags(world.cluster)):
            pass


def test_status_shows_what_stands(world: World) -> None:
    nothing = status.status(world.cluster, world.account, world.provider)
    assert nothing.stacks == {"demo-base": "", "demo": ""}
    names(world.up())
    launch(world, 1, "demo-a")
    shown = status.status(world.cluster, world.account, world.provider)
    assert shown.stacks == {"demo-base": "CREATE_COMPLETE", "demo": "CREATE_COMPLETE"}
    assert (shown.desired, shown.launches, len(shown.workers)) == (0, True, 1)
    assert shown.alarms["boot"] == "OK"


def test_up_resumes_what_the_boot_guard_stopped(world: World) -> None:
    names(world.up())
    group = ec2.Ec2DeciderGroup("demo", world.made)
    info = status.status(world.cluster, world.account, world.provider)
    world.cloud.client("autoscaling").suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Launch"])
    world.cloud.client("s3").put_object(Bucket=info.bucket, Key=stack.BOOTS_KEY, Body=b'{"boots": 3}')
    assert not status.status(world.cluster, world.account, world.provider).launches
    names(world.up())
    assert status.status(world.cluster, world.account, world.provider).launches
    assert not world.cloud.client("s3").list_objects_v2(Bucket=info.bucket, Prefix="boots/").get("Contents")


class ContestedStore(MemoryStore):
    """Another manager writes between the next read and the write that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.contests = 0

    def get(self, key: str) -> tuple[bytes, str] | None:
        got = super().get(key)
        if got is not None and self.contests:
            self.contests -= 1
            document = msgspec.json.decode(got[0], type=documents.Control)
            self.put(key, msgspec.json.encode(msgspec.structs.replace(document, seq=document.seq + 1)))
        return got


def test_up_resumes_what_the_breaker_stopped_also_while_a_manager_writes(world: World) -> None:
    world.store = store = ContestedStore()
    assert "breaker" not in names(world.up())
    failure = documents.Failures(profile="small", image="", count=3, last_log="no such module")
    store.put(documents.CONTROL_KEY, msgspec.json.encode(documents.Control(cluster="demo", failures=(failure,))))
    store.contests = 2
    assert names(world.up())[-1] == "breaker"
    assert world.file().read().failures == ()
    assert "breaker" not in names(world.up())


def test_down_takes_the_lease_also_while_a_manager_writes(world: World) -> None:
    names(world.up())
    world.store = store = ContestedStore()
    file = world.file()
    file.replace(control.take(file.read(), "manager", 1.0))
    store.contests = 3
    assert "lease" in names(world.down())
    assert control.holds(file.read(), "down")


def test_down_waits_for_a_launch_that_may_still_come_and_ends_its_machine(world: World) -> None:
    """A manager died between the intent and the call; the call arrives while ``down`` runs."""
    quick = {"intent": 0.3, "signature": 0.3, "list_lag": 0.3, "lease_renew": 0.1}
    world.cluster = msgspec.structs.replace(world.cluster, times=quick)
    names(world.up())
    intent = documents.Intent(
        id="demo-late", kind="launch", creator="dead", profile="small", not_after=time.time() + 0.3, units=1
    )
    file = world.file()
    file.replace(control.open_intent(file.read(), intent))
    waits = itertools.count()

    def wait(seconds: float) -> None:
        if next(waits) == 0:
            launch(world, 1, "demo-late")
        time.sleep(0.05)

    def drainer(opened: control.ControlFile) -> reconcile.Reconciler:
        made = reconcile.Reconciler(
            world.cluster, opened, world.provider, opened.store, Coordinator(), clocks.RealClock()
        )
        made.ending = made.hurry = True
        return made

    steps = list(stack_down.down(world.cluster, world.account, world.file, drainer, world.provider, wait=wait))
    assert stack.Step(name="drain", detail="0 workers left; 1 launch that may still come (at most 21 minutes)") in steps
    [late] = [each for each in world.cloud.instances.all() if not each.group]
    assert not late.alive
    document = world.file().read()
    assert (document.rows, document.intents) == ((), ())


def test_down_keeps_the_lease_until_no_decider_is_left(world: World) -> None:
    """A manager that took it back would launch workers for what is still open, and nobody would end them."""
    names(world.up())
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    passes: list[str] = []

    class Counting(Drainer):
        def run_pass(self) -> None:
            passes.append("pass")

    steps = []
    for step in stack_down.down(
        world.cluster, world.account, world.file, lambda file: Counting(world.provider), world.provider,
        wait=lambda seconds: time.sleep(0.01),
    ):  # fmt: skip
        steps.append(step)
    left = [each for each in steps if each.name == "deciders" and each.detail != "none"]
    assert left
    assert len(passes) == len(left)


def test_down_ends_the_workers_of_a_cluster_whose_bucket_was_deleted_by_hand(world: World) -> None:
    names(world.up())
    launch(world, 2, "demo-a")
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    bucket = status.status(world.cluster, world.account, world.provider).bucket
    world.account.bucket(bucket).destroy()
    shown = status.status(
        world.cluster, world.account, world.provider, lambda url: s3.S3Store(url, client=world.made.get("s3"))
    )
    assert (len(shown.workers), shown.stacks["demo"]) == (2, "CREATE_COMPLETE")
    assert shown.notes[0].startswith("the documents cannot be read: ")
    steps = names(world.down(purge=True))
    assert "lease" not in steps
    assert world.state()[0] == {}
    assert world.state()[5] == 0


def test_the_plan_names_what_changes_and_a_change_set_agrees(world: World) -> None:
    old = world.builder.templates()
    assert {each.action for each in plan.diff("", old.main)} == {"add"}
    assert plan.diff(old.main, old.main) == ()
    names(world.up())
    assert plan.diff(world.account.formation.template("demo"), old.main) == ()
    profiles = dict(world.cluster.profiles)
    profiles["small"] = msgspec.structs.replace(profiles["small"], disk=config.Disk(size=99))
    new = bundle.Builder(msgspec.structs.replace(world.cluster, profiles=profiles)).templates()
    # Deciders carry the cluster file, so their template changes with it.
    assert [str(each) for each in plan.diff(old.main, new.main)] == [
        "change DecidersTemplate (AWS::EC2::LaunchTemplate): LaunchTemplateData",
        "change SmallTemplate (AWS::EC2::LaunchTemplate): LaunchTemplateData",
    ]
    outputs = stack._outputs(world.account, "demo-base")
    store = world.account.bucket(outputs["Bucket"])
    given = stack.parameters(outputs, store.name, CODE)
    found = world.account.formation.change_set(
        "demo", stack.body_of(new.main, store), given, stack.stack_tags(world.cluster)
    )
    assert {"DecidersTemplate", "SmallTemplate"} <= {each.resource for each in found}
    assert {each.action for each in found} == {"Modify"}


def test_what_stands_idle_and_is_billed(cluster: config.ClusterConfig) -> None:
    assert plan.at_rest(bundle.Builder(cluster).templates().main) == ()
    nat = msgspec.structs.replace(cluster, network=config.Network(access="nat"))
    assert plan.at_rest(bundle.Builder(nat).templates().main) == (("Nat", 0.045), ("NatAddress", 0.005))
    closed = msgspec.structs.replace(cluster, network=config.Network(access="endpoints"))
    assert len(plan.at_rest(bundle.Builder(closed).templates().main)) == 7


def test_a_replacement_is_called_one(cluster: config.ClusterConfig) -> None:
    old = bundle.Builder(cluster).templates().main
    moved = msgspec.structs.replace(cluster, network=config.Network(cidr="10.78.0.0/16"))
    replaced = {each.resource for each in plan.diff(old, bundle.Builder(moved).templates().main) if each.replaced}
    assert replaced == {"Vpc", "SubnetA", "SubnetB"}


def test_a_template_over_the_direct_limit_is_uploaded(world: World) -> None:
    names(world.up())
    bucket = status.status(world.cluster, world.account, world.provider).bucket
    store = world.account.bucket(bucket)
    assert stack.body_of("x" * 51_200, store) == {"TemplateBody": "x" * 51_200}
    [(key, url)] = stack.body_of("x" * 51_201, store).items()
    assert key == "TemplateURL"
    assert url.startswith(f"https://{bucket}.s3.eu-west-1.amazonaws.com/templates/")
    many = {f"p{number}": world.cluster.profiles["small"] for number in range(4)}
    lists = {f"l{number}": config.TaskList(profile=f"p{number}", max=1) for number in range(4)}
    larger = World(msgspec.structs.replace(world.cluster, profiles=many, task_lists=lists), world.builder, world.cloud)
    larger.builder = bundle.Builder(larger.cluster)
    assert len(larger.builder.templates().main.encode()) > 51_200
    names(larger.up())
    assert larger.state()[0]["demo"] == "CREATE_COMPLETE"


def test_the_deciders_are_told_the_whole_cluster_file(cluster: config.ClusterConfig) -> None:
    setup = setups.machine_setup(cluster, "deciders", "s3://b")
    assert config.loads(setup.cluster_file) == cluster
    assert len(setup.cluster_file) < 500
    assert setups.machine_setup(cluster, "small", "s3://b").cluster_file == ""
