"""Bad input: one clear message each, before anything is made or launched."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from simpleflow.nodes import config, errors
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.stack import up
from simpleflow.testing import cloud as emulated
from tests.unit.ec2.conftest import CODE, CloudClients


@pytest.fixture
def cloud(fresh: emulated.Cloud) -> emulated.Cloud:
    """What is refused makes nothing, so that one account serves every test."""
    return fresh


def changed(cluster: config.ClusterConfig, **profile: Any) -> config.ClusterConfig:
    small = msgspec.structs.replace(cluster.profiles["small"], **profile)
    return msgspec.structs.replace(cluster, profiles={**cluster.profiles, "small": small})


def refused(cluster: config.ClusterConfig, cloud: emulated.Cloud, credentials: Any = None) -> str:
    """The message with which ``up`` refuses; nothing was made."""
    account = accounts.Account(CloudClients(cloud, credentials))
    with pytest.raises(errors.NodesError) as caught:
        for _ in up.up(cluster, account, bundle.Builder(cluster), lambda: CODE):
            pass
    made = [each.name for each in cloud.record if each.action.startswith(("Create", "Put", "Run", "Update"))]
    assert made == []
    return str(caught.value)


def test_expired_credentials(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    cloud.faults.add(emulated.Fault("ec2:*", "expired"))
    assert "the credentials have expired; renew them, then repeat" in refused(cluster, cloud)


def test_credentials_of_someone_else(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    keys = ("AKIAIOSFODNN7EXAMPLE", "secret", "")
    assert "AWS does not know these credentials, or not in this region" in refused(cluster, cloud, keys)


def test_a_wrong_region(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    said = refused(msgspec.structs.replace(cluster, region="eu-wset-1"), cloud)
    assert "region 'eu-wset-1' is unknown to the installed boto3" in said
    assert "did you mean 'eu-west-1'?" in said
    assert list(cloud.record) == []


@pytest.mark.parametrize("types", [("c7i.lagre",), ("c99.large",), ("c7i.large", "c7i.lagre")])
def test_an_unknown_instance_type(cluster: config.ClusterConfig, cloud: emulated.Cloud, types: tuple[str, ...]) -> None:
    assert f"instance type '{types[-1]}'" in refused(changed(cluster, types=types), cloud)


def test_an_unknown_image(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    said = refused(changed(cluster, image="ami-0123456789abcdef0"), cloud)
    assert "profile 'small': image 'ami-0123456789abcdef0' does not exist in eu-west-1" in said
    assert "no such parameter" in refused(changed(cluster, image="ssm:/no/such"), cloud)
    assert "write 'ami-...' or 'ssm:/path/of/a/parameter'" in refused(changed(cluster, image="worker"), cloud)


def test_an_image_of_another_architecture(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    said = refused(changed(cluster, types=("c7g.large",), arch="arm64", image=cloud.image), cloud)
    assert "is for x86_64, the profile for arm64" in said


def test_an_image_that_a_type_cannot_boot(
    cluster: config.ClusterConfig, cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = accounts.Account(CloudClients(cloud, None))
    ec2 = account.clients.get("ec2")
    found = ec2.describe_images(ImageIds=[cloud.image])
    found["Images"][0]["BootMode"] = "uefi"
    monkeypatch.setattr(ec2, "describe_images", lambda ImageIds: found)
    monkeypatch.setattr(account.clients, "get", lambda name: ec2)
    said = account.image_problem(cloud.image, "x86_64", ("c7i.large", "t2.small", "m4.large"))
    assert "boots under UEFI, which t2.small, m4.large cannot" in said
    assert account.image_problem(cloud.image, "x86_64", ("c7i.large",)) == ""


def test_a_type_that_no_subnets_zone_has(
    cluster: config.ClusterConfig, cloud: emulated.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {each: frozenset({"eu-west-1c"}) for each in ("c7i.large", "c6i.large")}
    real = accounts.Account.offered
    monkeypatch.setattr(accounts.Account, "offered", lambda self, types: {**real(self, types), **elsewhere})
    said = refused(cluster, cloud)
    assert "profile 'small': c7i.large, c6i.large exists only in eu-west-1c, where the cluster has no subnet" in said


def test_more_zones_than_the_region_has(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    many = msgspec.structs.replace(cluster, network=config.Network(zones=5))
    assert "network.zones: eu-west-1d, eu-west-1e does not exist for this account" in refused(many, cloud)


def test_a_bucket_that_is_elsewhere(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    said = refused(msgspec.structs.replace(cluster, store="s3://nobodys/prefix"), cloud)
    assert "store: bucket 'nobodys' does not exist; make it, or leave 'store' out" in said
    cloud.client("s3").create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    made = CloudClients(cloud)
    assert accounts.Account(made).bucket("far-away").location_problem() == ""
    made.region = "us-east-1"
    far = accounts.Account(made).bucket("far-away").location_problem()
    assert far.startswith("bucket 'far-away' lies in eu-west-1, the cluster in us-east-1; use one of")


def test_a_bucket_of_someone_else(cloud: emulated.Cloud) -> None:
    cloud.faults.add(emulated.Fault("s3:GetBucketLocation", "error", code="AccessDenied", status=403))
    assert "belongs to someone else" in accounts.Account(CloudClients(cloud)).bucket("theirs").location_problem()


def test_user_data_over_the_limit(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    filler = {f"NAME{number}": "x" * 900 for number in range(20)}
    said = refused(changed(cluster, environment=filler), cloud)
    assert "16384" in said
    assert "small" in said


def test_a_tag_that_aws_does_not_take(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    with pytest.raises(errors.ClusterFileError, match="my tag"):
        config.loads("cluster: a\nprovider: ec2\nregion: eu-west-1\nprofiles: {}\ntask_lists: {}\ntags: {my tag: a}\n")
    tagged = msgspec.structs.replace(cluster, tags={"my tag": "a"})
    assert "tag 'my tag': instance metadata shows only letters" in refused(tagged, cloud)


def test_a_template_over_the_size_limit(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    many = {f"p{number}": config.Profile(types=("c7i.large",)) for number in range(32)}
    lists = {f"l{number}": config.TaskList(profile=f"p{number}", max=1) for number in range(32)}
    tags = {f"tag{number}": "x" * 160 for number in range(16)}
    large = msgspec.structs.replace(cluster, profiles=many, task_lists=lists, tags=tags)
    assert "CloudFormation takes 1000000; split the profiles over two clusters" in refused(large, cloud)


def test_a_profile_named_as_the_deciders(cluster: config.ClusterConfig, cloud: emulated.Cloud) -> None:
    named = msgspec.structs.replace(
        cluster,
        profiles={"deciders": cluster.profiles["small"]},
        task_lists={"light": config.TaskList(profile="deciders", max=1)},
    )
    assert "choose another" in refused(named, cloud)
