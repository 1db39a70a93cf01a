"""Somebody else's property: nothing is changed or deleted that does not bear the cluster's tag or marker."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core.errors import UsageError
from simpleflow.data.blobs import s3
from simpleflow.nodes import config, control, errors, published, stores
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import bucket, formation, stackinfo
from simpleflow.nodes.stack import status, up
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CLUSTER, DirectClients
from tests.unit.ec2.test_stack import World, launch, names

FOREIGN = json.dumps(
    {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "the shop, production",
        "Resources": {"ShopVpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}}},
    }
)


@pytest.fixture
def world(cluster: config.ClusterConfig, builder: bundle.Builder) -> Any:
    with emulated.Cloud(clock=clocks.VirtualClock(time.time()), group_pause=0.05, patience=5.0) as cloud:
        yield World(cluster, builder, cloud, DirectClients(cloud))


def foreign(world: World, name: str, tags: dict[str, str]) -> None:
    labels = [{"Key": key, "Value": value} for key, value in tags.items()]
    world.cloud.client("cloudformation").create_stack(StackName=name, TemplateBody=FOREIGN, Tags=labels)


def writes(world: World, since: int) -> set[str]:
    calls = {each.name for each in list(world.cloud.record)[since:] if not each.via}
    return {each for each in calls if not each.split(":")[1].startswith(("Describe", "List", "Get", "Head"))}


@pytest.mark.parametrize("name", ["demo", "demo-base"])
@pytest.mark.parametrize("tags", [{"owner": "shop-team"}, {}, {"simpleflow:cluster": "other"}])
def test_a_foreign_stack_of_the_clusters_name_is_left_alone(world: World, name: str, tags: dict[str, str]) -> None:
    foreign(world, name, tags)
    before = len(world.cloud.record)
    said = ", ".join(f"{key}={value}" for key, value in tags.items()) or "none"
    for command in (world.up, world.down, lambda: world.down(purge=True)):
        with pytest.raises(errors.ProviderRefused) as refused:
            names(command())
        assert f"stack '{name}' is not of cluster 'demo': its tags are {said}, described as 'the shop" in str(
            refused.value
        )
        assert "give the cluster another name" in str(refused.value)
    assert writes(world, before) == set()
    if name == "demo":
        for call in (
            lambda: stackinfo.read(world.made, "demo"),
            lambda: ec2.Ec2DeciderGroup("demo", world.made).ensure_one(),
        ):
            with pytest.raises(errors.ProviderRefused, match="not of cluster 'demo'"):
                call()
    shown = status.status(world.cluster, world.account, world.provider)
    assert "is not of cluster 'demo'" in " ".join(shown.notes)


def test_a_stack_made_between_the_look_and_the_update_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(world.up())
    looked = world.account.formation.find_own("demo", "demo")
    assert looked is not None
    world.cloud.client("cloudformation").delete_stack(StackName="demo")
    foreign(world, "demo", {"owner": "shop-team"})
    world.account.formation.delete(looked.id)
    monkeypatch.setattr(formation.Formation, "find_own", lambda self, name, cluster: looked)
    with pytest.raises(errors.NodesError):
        world.account.formation.begin("demo", {"TemplateBody": world.builder.templates().base}, {}, {})
    again = world.account.formation.find("demo")
    assert again is not None
    assert (again.description, again.status) == ("the shop, production", "CREATE_COMPLETE")


def test_a_stack_of_ours_whose_tag_was_taken_off_is_known_by_its_description(world: World) -> None:
    for _ in up._deploy(world.account, "demo-base", {"TemplateBody": world.builder.templates().base}, {}, {}):
        pass
    names(world.up())
    assert world.state()[0] == {"demo-base": "CREATE_COMPLETE", "demo": "CREATE_COMPLETE"}


def test_the_name_of_a_kept_stack_is_no_clusters_name() -> None:
    with pytest.raises(errors.ClusterFileError, match=r"cluster.yaml:1: .*ends with '-base'"):
        config.loads(CLUSTER.replace("cluster: demo", "cluster: demo-base"))


def shared(world: World, name: str) -> World:
    cluster = config.loads(CLUSTER.replace("cluster: demo", f"cluster: {name}\nstore: s3://team-bucket"))
    return Shared(cluster, bundle.Builder(cluster), world.cloud, DirectClients(world.cloud))


class Shared(World):
    """One of several clusters in one bucket, with its documents there."""

    def file(self, bucket: str = "") -> control.ControlFile:
        return control.ControlFile(self.documents(), self.cluster.cluster, "down", clocks.RealClock())

    def documents(self) -> s3.S3Store:
        return up.documents_of(self.cluster, self.account, "team-bucket")


def keys(world: World) -> set[str]:
    listed = world.cloud.client("s3").list_objects_v2(Bucket="team-bucket").get("Contents", [])
    return {each["Key"] for each in listed}


def test_two_clusters_in_one_bucket_have_each_its_folder(world: World) -> None:
    world.cloud.client("s3").create_bucket(
        Bucket="team-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    world.cloud.client("s3").put_object(Bucket="team-bucket", Key="films/master.mov", Body=b"film")
    alpha, beta = shared(world, "alpha"), shared(world, "beta")
    names(alpha.up())
    names(beta.up())
    owners = {each.split("/")[0] for each in keys(world)}
    assert owners == {"films", "alpha", "beta"}
    assert {"alpha/cluster.json", "alpha/control.json", "beta/cluster.json"} <= keys(world)
    row = documents.Row(instance="i-0a", profile="small", attempt="a", price=1, since=0, until=0)
    file = alpha.file()
    file.replace(msgspec.structs.replace(file.read(), rows=(row,)))
    # What a role of one may write is below its own folder.
    resources = msgspec.json.decode(beta.builder.templates().main)["Resources"]
    objects = json.dumps([each for name, each in resources.items() if name.endswith("Role")])
    assert "${Bucket}/beta/control.json" in objects
    assert "${Bucket}/control.json" not in objects
    names(beta.down(purge=True))
    assert {each.split("/")[0] for each in keys(world)} == {"films", "alpha"}
    assert alpha.file().read().rows == (row,)


def test_a_purge_leaves_what_others_keep_in_the_clusters_folder(world: World) -> None:
    s3_api = world.cloud.client("s3")
    s3_api.create_bucket(Bucket="team-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    theirs = {"alpha/master.mov", "alpha/control.json.bak", "alpha/nodes.txt", "alpha-2/cluster.json"}
    for key in theirs:
        s3_api.put_object(Bucket="team-bucket", Key=key, Body=b"mine")
    alpha = shared(world, "alpha")
    names(alpha.up())
    nested = shared(world, "beta")
    nested.cluster = msgspec.structs.replace(nested.cluster, store="s3://team-bucket/alpha/beta")
    nested.builder = bundle.Builder(nested.cluster)
    names(nested.up())
    s3_api.put_object(Bucket="team-bucket", Key="alpha/blobs/4c1f", Body=b"a value")
    before = {each for each in keys(world) if each.startswith("alpha/beta/")}
    assert "alpha/beta/cluster.json" in before
    names(alpha.down(purge=True))
    assert keys(world) == theirs | before


def test_a_folder_with_another_clusters_documents_is_refused_by_up_down_and_purge(world: World) -> None:
    world.cloud.client("s3").create_bucket(
        Bucket="team-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    alpha = shared(world, "alpha")
    names(alpha.up())
    beta = shared(world, "beta")
    beta.cluster = msgspec.structs.replace(beta.cluster, store="s3://team-bucket/alpha")
    before = keys(world)
    with pytest.raises(errors.NodesError, match=r"control.json of s3://team-bucket/alpha belongs to cluster 'alpha'"):
        names(beta.up())
    with pytest.raises(errors.NodesError, match="belongs to cluster 'alpha', not to 'beta'"):
        names(beta.down(purge=True))
    assert keys(world) == before


def test_documents_of_another_cluster_on_a_folder_of_this_machine(tmp_path: Any) -> None:
    store = stores.open_store(f"file://{tmp_path}")
    file = control.ControlFile(store, "alpha", "m", clocks.RealClock())
    file.replace(control.take(file.read(), "m", 1.0))
    (tmp_path / "thesis.txt").write_text("mine")
    other = control.ControlFile(store, "beta", "m2", clocks.RealClock())
    with pytest.raises(errors.NodesError, match="belongs to cluster 'alpha', not to 'beta'"):
        other.read()
    with pytest.raises(Exception, match="belong to cluster 'alpha', not to 'beta': nothing was deleted"):
        stores.purge(store, "beta")
    assert control.holds(file.read(), "m")
    stores.purge(store, "alpha")
    assert store.get(documents.CONTROL_KEY) is None
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b'{"cluster": 5}'])
def test_documents_that_cannot_be_read_are_not_purged(tmp_path: Any, content: bytes) -> None:
    store = stores.open_store(f"file://{tmp_path}")
    store.put(documents.CONTROL_KEY, content)
    store.put("nodes/n-1.json", b"{}")
    with pytest.raises(UsageError, match=r"control.json of .* cannot be read .*: nothing was deleted"):
        stores.purge(store, "alpha")
    assert store.get("nodes/n-1.json") is not None


@pytest.mark.parametrize("content", [b"<html>", b'{"boots": "many"}'])
def test_a_boot_counter_that_cannot_be_read_hides_no_status(world: World, content: bytes) -> None:
    names(world.up())
    bucket_name = stackinfo.read(world.made, "demo").bucket
    world.cloud.client("s3").put_object(Bucket=bucket_name, Key=up.BOOTS_KEY, Body=content)
    shown = status.status(world.cluster, world.account, world.provider)
    assert "the deciders' boot counter cannot be read: " in " ".join(shown.notes)
    assert shown.alarms["boot"]


def test_a_purge_that_s3_refuses_says_so_and_ends() -> None:
    class Locked:
        calls = 0

        def list_objects_v2(self, **given: Any) -> Any:
            Locked.calls += 1
            if "ContinuationToken" in given:
                return {"Contents": [{"Key": "b"}], "IsTruncated": False}
            return {"Contents": [{"Key": "control.json"}], "IsTruncated": True, "NextContinuationToken": "2"}

        def delete_objects(self, **given: Any) -> Any:
            key = given["Delete"]["Objects"][0]["Key"]
            refused = {"Key": key, "Code": "AccessDenied", "Message": "Access Denied"}
            return {"Errors": [refused] if key == "control.json" else []}

        def delete_bucket(self, **given: Any) -> Any:
            raise AssertionError("it still holds objects")

    class Made:
        region = "eu-west-1"

        def get(self, service: str, *, retries: bool = True) -> Any:
            return Locked()

    with pytest.raises(errors.ProviderRefused, match=r"1 object could not be deleted, .*control.json: Access Denied"):
        bucket.Bucket(Made(), "b").destroy()
    assert Locked.calls == 2


# --- a changed file under living machines -----------------------------------------------------------------------------


def role_names(world: World) -> list[str]:
    found = world.cloud.client("cloudformation").list_stack_resources(StackName="demo")["StackResourceSummaries"]
    return [
        each["LogicalResourceId"]
        for each in found
        if each["LogicalResourceId"].endswith("Role") and each["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def without_small(world: World) -> None:
    lists = {"heavy": world.cluster.task_lists["heavy"]}
    profiles = {"gpu-2": world.cluster.profiles["gpu-2"]}
    world.cluster = msgspec.structs.replace(world.cluster, profiles=profiles, task_lists=lists)
    world.builder = bundle.Builder(world.cluster)


def documents_of(world: World) -> s3.S3Store:
    return up.documents_of(world.cluster, world.account, stackinfo.read(world.made, "demo").bucket)


def test_a_removed_profiles_role_stays_while_its_machines_live(world: World) -> None:
    names(world.up())
    launch(world, 1, "demo-a")
    without_small(world)
    steps = list(world.up())
    assert up.Step(name="profile 'small'", detail="1 of its machines live: their role goes with the next `up`") in steps
    assert "SmallRole" in role_names(world)
    works_by = published.read(documents_of(world), "demo")
    assert works_by is not None
    assert set(works_by.config.profiles) == {"gpu-2"}
    for each in world.cloud.instances.all():
        world.provider.terminate(each.id)
    world.cloud.advance(60.0)
    names(world.up())
    assert "SmallRole" not in role_names(world)


def test_a_removed_profiles_role_stays_for_a_launch_that_may_still_come(world: World) -> None:
    names(world.up())
    intent = documents.Intent(id="demo-x", kind="launch", creator="m", profile="small", not_after=time.time(), units=2)
    file = world.file()
    file.replace(control.open_intent(file.read(), intent))
    without_small(world)
    assert "2 of its machines live" in " ".join(each.detail for each in world.up())
    assert "SmallRole" in role_names(world)


def test_a_managers_pass_that_began_before_the_publication_launches_nothing(world: World) -> None:
    names(world.up())
    file = world.file()
    document = file.read()
    without_small(world)
    names(world.up())
    intent = documents.Intent(id="demo-x", kind="launch", creator="m", profile="small", not_after=time.time(), units=2)
    with pytest.raises(errors.ControlLost):
        file.replace(control.open_intent(document, intent))


def test_the_network_is_not_moved_under_living_machines(world: World) -> None:
    names(world.up())
    launch(world, 1, "demo-a")
    world.cluster = msgspec.structs.replace(world.cluster, network=config.Network(cidr="10.78.0.0/16"))
    world.builder = bundle.Builder(world.cluster)
    before = len(world.cloud.record)
    with pytest.raises(errors.NodesError, match=r"network: .*Vpc.* would be replaced under 1 living machines"):
        names(world.up())
    assert writes(world, before) == set()
    names(world.down())
    names(world.up())
    assert world.state()[0]["demo"] == "CREATE_COMPLETE"


def test_a_domain_cannot_change_while_the_cluster_is_up(world: World) -> None:
    names(world.up())
    world.cluster = msgspec.structs.replace(world.cluster, domain="another")
    world.builder = bundle.Builder(world.cluster)
    with pytest.raises(Exception, match="domain: demo cannot become another while the cluster is up"):
        names(world.up())
    names(world.down())
    names(world.up())


def test_machines_carry_the_version_that_up_publishes(world: World) -> None:
    names(world.up())
    works_by = published.read(documents_of(world), "demo")
    assert works_by is not None
    launch(world, 1, "demo-a")
    ec2.Ec2DeciderGroup("demo", world.made).ensure_one()
    world.cloud.advance(1.0)
    for each in world.cloud.instances.all():
        version = works_by.versions["" if each.group else "small"]
        assert version.encode() in each.user_data
        assert version.endswith(works_by.code)
