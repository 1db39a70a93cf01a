"""S3 with conditional writes and policies, rights of a record, images by EBS direct."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any

import botocore.config
import botocore.exceptions
import pytest

from simpleflow.testing import cloud as emulated
from tests.unit.testing.cloud.helpers import refused, role

ONCE = botocore.config.Config(retries={"total_max_attempts": 1})
PLACE = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}


def bucket(cloud: emulated.Cloud, name: str = "own") -> str:
    cloud.client("s3").create_bucket(Bucket=name, **PLACE)
    return name


def test_conditional_writes_are_atomic(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    won: list[int] = []
    lost: list[int] = []
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        s3 = cloud.http_client("s3", config=ONCE)
        barrier.wait()
        try:
            s3.put_object(Bucket=name, Key="control.json", Body=b"%d" % number, IfNoneMatch="*")
        except botocore.exceptions.ClientError as error:
            lost.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
        else:
            won.append(number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert lost == [412] * 7
    s3 = cloud.http_client("s3", config=ONCE)
    found = s3.get_object(Bucket=name, Key="control.json")
    assert found["Body"].read() == b"%d" % won[0]
    s3.put_object(Bucket=name, Key="control.json", Body=b"new", IfMatch=found["ETag"])
    assert refused(s3.put_object, Bucket=name, Key="control.json", Body=b"x", IfMatch=found["ETag"]) == (
        "PreconditionFailed"
    )


def test_a_conflict_comes_when_it_is_asked_for(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    cloud.faults.add(emulated.Fault("s3:PutObject", "conflict"))
    s3 = cloud.http_client("s3", config=ONCE)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.put_object(Bucket=name, Key="k", Body=b"x", IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert caught.value.response["Error"]["Code"] == "ConditionalRequestConflict"
    s3.put_object(Bucket=name, Key="k", Body=b"x", IfNoneMatch="*")


def test_bodies_and_keys_travel_unchanged(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    s3 = cloud.http_client("s3")
    body = bytes(range(256)) * 4096
    s3.put_object(Bucket=name, Key="a b/ü+%.bin", Body=body)
    assert s3.get_object(Bucket=name, Key="a b/ü+%.bin")["Body"].read() == body
    assert cloud.client("s3").get_object(Bucket=name, Key="a b/ü+%.bin")["Body"].read() == body
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=name, Prefix="a b/")["Contents"]] == ["a b/ü+%.bin"]
    s3.upload_fileobj(__import__("io").BytesIO(body * 10), name, "big")
    assert s3.head_object(Bucket=name, Key="big")["ContentLength"] == len(body) * 10


def deny(name: str, **condition: Any) -> str:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/nodes/*",
        "Condition": condition,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def test_bucket_policies_are_enforced_with_their_conditions(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    s3 = cloud.client("s3")
    node = cloud.client("s3", credentials=cloud.principals.assume("node", "i-0abc"))
    own = {"StringNotLike": {"ec2:SourceInstanceArn": "*instance/i-0abc"}}
    s3.put_bucket_policy(Bucket=name, Policy=deny(name, **own))
    node.put_object(Bucket=name, Key="nodes/i-0abc.json", Body=b"{}")
    other = cloud.client("s3", credentials=cloud.principals.assume("node", "i-0def"))
    assert refused(other.put_object, Bucket=name, Key="nodes/i-0abc.json", Body=b"{}") == "AccessDenied"
    other.put_object(Bucket=name, Key="elsewhere", Body=b"{}")
    s3.put_bucket_policy(Bucket=name, Policy=deny(name, Null={"s3:if-none-match": "true"}))
    assert refused(node.put_object, Bucket=name, Key="nodes/x", Body=b"{}") == "AccessDenied"
    node.put_object(Bucket=name, Key="nodes/x", Body=b"{}", IfNoneMatch="*")
    assert "Deny" in s3.get_bucket_policy(Bucket=name)["Policy"]
    s3.delete_bucket_policy(Bucket=name)
    node.put_object(Bucket=name, Key="nodes/x", Body=b"{}")
    assert refused(s3.get_bucket_policy, Bucket=name) == "NoSuchBucketPolicy"


def test_tls_is_taken_as_given(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    s3 = cloud.http_client("s3")
    s3.put_bucket_policy(Bucket=name, Policy=deny(name, Bool={"aws:SecureTransport": "false"}))
    s3.put_object(Bucket=name, Key="nodes/x", Body=b"")


@pytest.mark.parametrize(
    "policy",
    ["[]", "{", json.dumps({"Statement": [{"Effect": "Allow"}]}), deny("another")],
)
def test_malformed_policies_are_refused(cloud: emulated.Cloud, policy: str) -> None:
    name = bucket(cloud)
    assert refused(cloud.client("s3").put_bucket_policy, Bucket=name, Policy=policy) == "MalformedPolicy"


def test_an_operator_that_is_not_rehearsed_is_not_ignored(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    s3 = cloud.client("s3")
    s3.put_bucket_policy(Bucket=name, Policy=deny(name, DateGreaterThan={"aws:CurrentTime": "2020-01-01"}))
    s3.put_bucket_policy(Bucket=name, Policy=deny(name, IpAddress={"aws:SecureTransport": "10.0.0.0/8"}))
    assert refused(s3.put_object, Bucket=name, Key="nodes/x", Body=b"") == "NotRehearsed"


def test_a_buckets_region_and_its_end(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    s3 = cloud.client("s3")
    s3.put_bucket_policy(Bucket=name, Policy=deny(name, Bool={"aws:SecureTransport": "false"}))
    assert refused(s3.create_bucket, Bucket=name, **PLACE) in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
    s3.delete_bucket(Bucket=name)
    bucket(cloud)
    assert refused(s3.get_bucket_policy, Bucket=name) == "NoSuchBucketPolicy"


def test_calls_beyond_a_roles_policies_are_named(cloud: emulated.Cloud) -> None:
    name = bucket(cloud)
    role(
        cloud,
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{name}/nodes/*"},
        {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
    )
    keys = cloud.principals.assume("node", "i-0abc")
    s3 = cloud.client("s3", credentials=keys)
    s3.put_object(Bucket=name, Key="nodes/i-0abc.json", Body=b"{}")
    s3.head_object(Bucket=name, Key="nodes/i-0abc.json")
    cloud.client("ec2", credentials=keys).describe_instances()
    assert cloud.excess() == []
    s3.put_object(Bucket=name, Key="control.json", Body=b"{}")
    cloud.client("ec2", credentials=keys).create_vpc(CidrBlock="10.0.0.0/16")
    assert [(e.role, e.action, e.resource, e.times) for e in cloud.excess()] == [
        ("node", "ec2:CreateVpc", "*", 1),
        ("node", "s3:PutObject", f"arn:aws:s3:::{name}/control.json", 1),
    ]
    iam = cloud.client("iam")
    iam.delete_role_policy(RoleName="node", PolicyName="own")
    assert len(cloud.excess()) == 2  # what was allowed then stays allowed
    s3.head_object(Bucket=name, Key="nodes/i-0abc.json")
    assert len(cloud.excess()) == 3


# --- images ---------------------------------------------------------------------------------------------------------

BLOCK = b"x" * 524_288


def put(ebs: Any, snapshot: str, index: int, data: bytes = BLOCK, **more: Any) -> Any:
    stated = base64.b64encode(hashlib.sha256(data).digest()).decode()
    given = {"DataLength": len(data), "Checksum": stated, "ChecksumAlgorithm": "SHA256", **more}
    return ebs.put_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockData=data, **given)


def linear(*blocks: bytes) -> str:
    return base64.b64encode(hashlib.sha256(b"".join(hashlib.sha256(b).digest() for b in blocks)).digest()).decode()


def complete(ebs: Any, snapshot: str, count: int, checksum: str) -> Any:
    return ebs.complete_snapshot(
        SnapshotId=snapshot, ChangedBlocksCount=count, Checksum=checksum, ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )  # fmt: skip


def test_an_image_by_ebs_direct(cloud: emulated.Cloud) -> None:
    ebs, ec2 = cloud.http_client("ebs", config=ONCE), cloud.http_client("ec2")
    started = ebs.start_snapshot(VolumeSize=2, ClientToken="t", Tags=[{"Key": "commit", "Value": "c0ffee"}])
    assert ebs.start_snapshot(VolumeSize=2, ClientToken="t")["SnapshotId"] == started["SnapshotId"]
    snapshot = started["SnapshotId"]
    second = b"y" * 524_288
    put(ebs, snapshot, 9, second)
    assert put(ebs, snapshot, 0)["ChecksumAlgorithm"] == "SHA256"
    assert complete(ebs, snapshot, 2, linear(BLOCK, second))["Status"] == "completed"
    assert ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed"
    asked: dict[str, Any] = {
        "Name": "worker-1", "Architecture": "x86_64", "VirtualizationType": "hvm", "EnaSupport": True,
        "BootMode": "uefi", "ImdsSupport": "v2.0", "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}}],
    }  # fmt: skip
    image = ec2.register_image(**asked)["ImageId"]
    [shown] = ec2.describe_images(ImageIds=[image])["Images"]
    for name in ("Architecture", "EnaSupport", "BootMode", "ImdsSupport"):
        assert shown[name] == asked[name]
    assert shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot
    assert refused(ec2.register_image, **asked) == "InvalidAMIName.Duplicate"
    assert [i["ImageId"] for i in ec2.describe_images(Owners=["self"])["Images"]] == [image]
    ec2.run_instances(ImageId=image, InstanceType="m7i.large", MinCount=1, MaxCount=1)
    assert refused(ec2.delete_snapshot, SnapshotId=snapshot) == "InvalidSnapshot.InUse"
    ec2.deregister_image(ImageId=image)
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_what_ebs_direct_checks(cloud: emulated.Cloud) -> None:
    ebs, ec2 = cloud.http_client("ebs", config=ONCE), cloud.http_client("ec2")
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    assert refused(put, ebs=ebs, snapshot=snapshot, index=0, data=b"short") == "ValidationException"
    wrong = base64.b64encode(b"\0" * 32).decode()
    assert refused(put, ebs=ebs, snapshot=snapshot, index=0, Checksum=wrong) == "ValidationException"
    assert refused(put, ebs=ebs, snapshot=snapshot, index=2048) == "ValidationException"
    assert refused(put, ebs=ebs, snapshot="snap-0123456789abcdef0", index=0) == "ResourceNotFoundException"
    put(ebs, snapshot, 2047)
    assert refused(complete, ebs=ebs, snapshot=snapshot, count=2, checksum=linear(BLOCK)) == "ValidationException"
    assert refused(complete, ebs=ebs, snapshot=snapshot, count=1, checksum=wrong) == "ValidationException"
    early = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}]
    given = {"Name": "early", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": early}
    assert refused(ec2.register_image, **given) == "InvalidSnapshot.NotFound"
    complete(ebs, snapshot, 1, linear(BLOCK))
    assert refused(put, ebs=ebs, snapshot=snapshot, index=1) == "ConflictException"


def test_public_images_are_found_by_parameter(cloud: emulated.Cloud) -> None:
    ssm = cloud.client("ssm")
    debian = "/aws/service/debian/release/13/latest/amd64"
    amazon = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    found = {p["Name"]: p["Value"] for p in ssm.get_parameters(Names=[debian, amazon])["Parameters"]}
    ec2 = cloud.client("ec2")
    for image in found.values():
        ec2.run_instances(ImageId=image, InstanceType="m7i.large", MinCount=1, MaxCount=1)
    shown = {i["ImageId"]: i["State"] for i in ec2.describe_images(ImageIds=list(found.values()))["Images"]}
    assert shown == dict.fromkeys(found.values(), "available")
    assert ssm.get_parameter(Name=debian)["Parameter"]["Value"] == found[debian]
    assert ssm.get_parameters(Names=[debian, "/aws/service/none"])["InvalidParameters"] == ["/aws/service/none"]
