"""The front: identification, record, faults, refusals, and that nothing reaches a real account."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from simpleflow.testing import cloud as emulated
from simpleflow.testing.cloud.wire import cbor
from tests.unit.testing.cloud.helpers import refused

ONCE = botocore.config.Config(retries={"total_max_attempts": 1})


def test_what_nobody_rehearses_is_refused_loudly(cloud: emulated.Cloud) -> None:
    ec2 = cloud.http_client("ec2", config=ONCE)
    assert refused(ec2.describe_hosts) == "NotRehearsed"
    assert cloud.record.named("ec2:DescribeHosts")[0].status == 501
    assert refused(cloud.http_client("lambda", config=ONCE).list_functions) == "NotRehearsed"


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_instances", "AuthFailure"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("iam", "list_roles", "InvalidClientTokenId"),
        ("ssm", "get_parameters_by_path", "UnrecognizedClientException"),
    ],
)
def test_keys_that_it_did_not_give_out_are_refused(cloud: emulated.Cloud, service: str, call: str, code: str) -> None:
    client = boto3.client(
        service,
        endpoint_url=cloud.endpoint,
        region_name="eu-west-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="real",
        config=ONCE,
    )
    params = {"Path": "/x"} if service == "ssm" else {}
    assert refused(getattr(client, call), **params) == code
    assert len(cloud.record) == 0


def test_a_childs_environment_is_scrubbed(cloud: emulated.Cloud) -> None:
    base = {
        "PATH": "/bin",
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SESSION_TOKEN": "real",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL_EC2": "https://ec2.eu-west-1.amazonaws.com",
        "AWS_CA_BUNDLE": "/corp.pem",
        "HTTPS_PROXY": "http://proxy:3128",
        "https_proxy": "http://proxy:3128",
        "all_proxy": "socks5://proxy",
        "HTTP_PROXY": "http://proxy:3128",
    }
    env = cloud.environment(base)
    assert "production" not in env.values()
    assert "real" not in env.values()
    assert not [key for key in env if key.lower().endswith("_proxy") and key.lower() != "no_proxy"]
    assert "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" not in env
    assert "AWS_ENDPOINT_URL_EC2" not in env
    assert env["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert env["AWS_CONFIG_FILE"] == env["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert env["PATH"] == "/bin"


@pytest.mark.needs_processes
def test_a_child_reaches_the_account_whatever_the_shell_had_set(cloud: emulated.Cloud) -> None:
    shell = {
        "PATH": "/usr/bin:/bin",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_PROFILE": "production",
        "HTTP_PROXY": "http://192.0.2.1:9",
        "HTTPS_PROXY": "http://192.0.2.1:9",
    }
    program = (
        "import boto3; print(boto3.client('ec2').describe_vpcs()['Vpcs'][0]['IsDefault']);"
        "boto3.client('s3').create_bucket(Bucket='from-a-child',"
        "CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=cloud.environment(shell), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"
    assert [c.name for c in cloud.record] == ["ec2:DescribeVpcs", "s3:CreateBucket"]


@pytest.mark.needs_processes
def test_a_process_whose_shell_had_set_anything_reaches_it() -> None:
    """A process of its own: moto reads the environment when it is imported."""
    program = (
        "import botocore.config; from simpleflow.testing.cloud import Cloud\n"
        "with Cloud() as cloud:\n"
        "    direct = botocore.config.Config(proxies={})\n"
        "    own = cloud.session().client('ec2', endpoint_url=cloud.endpoint, config=direct)\n"
        "    for each in (cloud.client('ec2'), cloud.http_client('ec2'), own): each.describe_vpcs()\n"
        "    print([call.name for call in cloud.record])\n"
        "import os; print(os.environ['AWS_PROFILE'])"
    )
    shell = {
        **os.environ,
        "AWS_PROFILE": "production",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_CONFIG_FILE": "/no/such/file",
        "HTTP_PROXY": "http://192.0.2.1:9",
        "HTTPS_PROXY": "http://192.0.2.1:9",
    }
    done = subprocess.run([sys.executable, "-c", program], env=shell, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['ec2:DescribeVpcs', 'ec2:DescribeVpcs', 'ec2:DescribeVpcs']\nproduction\n"


def test_a_dry_run_does_nothing(cloud: emulated.Cloud) -> None:
    ec2 = cloud.http_client("ec2", config=ONCE)
    given = {"ImageId": cloud.image, "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, DryRun=True, **given) == "DryRunOperation"
    assert refused(ec2.create_vpc, DryRun=True, CidrBlock="10.0.0.0/16") == "DryRunOperation"
    assert cloud.instances.all() == []


def test_only_one_cloud_at_a_time(cloud: emulated.Cloud) -> None:
    with pytest.raises(emulated.CloudError, match="another Cloud is open"):
        emulated.Cloud().__enter__()


def test_throttles_strike_as_often_as_planned(cloud: emulated.Cloud) -> None:
    fault = cloud.faults.add(emulated.Fault("ec2:DescribeInstances", "throttle", times=2, after=1))
    ec2 = cloud.http_client("ec2", config=ONCE)
    ec2.describe_instances()
    assert [refused(ec2.describe_instances) for _ in range(2)] == ["RequestLimitExceeded"] * 2
    ec2.describe_instances()
    assert fault.left == 0
    assert [c.error for c in cloud.record] == ["", "RequestLimitExceeded", "RequestLimitExceeded", ""]


def test_boto3_retries_a_throttle_by_itself(cloud: emulated.Cloud) -> None:
    cloud.faults.add(emulated.Fault("ec2:DescribeInstances", "throttle"))
    cloud.http_client("ec2").describe_instances()
    assert [c.status for c in cloud.record] == [503, 200]


def test_max_attempts_of_one_means_two_tries(cloud: emulated.Cloud) -> None:
    """The trap: ``max_attempts`` counts retries, ``total_max_attempts`` counts tries."""
    cloud.faults.add(emulated.Fault("ec2:DescribeInstances", "throttle", times=5))
    one = botocore.config.Config(retries={"max_attempts": 1})
    assert refused(cloud.http_client("ec2", config=one).describe_instances) == "RequestLimitExceeded"
    assert len(cloud.record) == 2


@pytest.mark.parametrize("kind", ["expired", "error"])
def test_expired_credentials_and_errors(cloud: emulated.Cloud, kind: Any) -> None:
    cloud.faults.add(emulated.Fault("ec2:*", kind, code="Unavailable", status=400))
    code = refused(cloud.http_client("ec2", config=ONCE).describe_vpcs)
    assert code == {"expired": "RequestExpired", "error": "Unavailable"}[kind]


def test_a_lost_answer_was_carried_out(cloud: emulated.Cloud) -> None:
    cloud.faults.add(emulated.Fault("ec2:CreateVpc", "lost"))
    for client in (cloud.client("ec2"), cloud.http_client("ec2", config=ONCE)):
        cloud.faults.add(emulated.Fault("ec2:CreateVpc", "lost"))
        before = len(client.describe_vpcs()["Vpcs"])
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            client.create_vpc(CidrBlock="10.1.0.0/16")
        assert len(client.describe_vpcs()["Vpcs"]) == before + 1


def test_unknown_parameters_are_refused_and_not_dropped(cloud: emulated.Cloud) -> None:
    from botocore.awsrequest import AWSRequest

    ec2 = cloud.http_client("ec2", config=ONCE)

    def smuggle(request: AWSRequest, **_: Any) -> None:
        request.data["Colour"] = "red"

    ec2.meta.events.register("request-created", smuggle)
    assert refused(ec2.describe_instances) == "UnknownParameter"


@pytest.mark.parametrize("protocol", ["json", "query", "smithy-rpc-v2-cbor"])
def test_cloudwatch_in_each_of_its_protocols(cloud: emulated.Cloud, protocol: str) -> None:
    """Releases of boto3 differ in which they choose."""
    import botocore.session

    session = botocore.session.Session()
    session.get_component("data_loader").load_service_model("cloudwatch", "service-2")["metadata"]["protocols"] = [
        protocol
    ]
    cloudwatch = session.create_client(
        "cloudwatch",
        region_name="eu-west-1",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=cloud.principals.admin.key,
        aws_secret_access_key=cloud.principals.admin.secret,
    )
    assert cloudwatch.meta.service_model.resolved_protocol == protocol
    given = {"Namespace": "N", "MetricName": "M", "Period": 60, "Statistic": "Sum", "EvaluationPeriods": 1}
    cloudwatch.put_metric_alarm(
        AlarmName="ä", Threshold=0.5, ComparisonOperator="GreaterThanThreshold", ActionsEnabled=False, **given
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["ä"])["MetricAlarms"]
    assert (alarm["Threshold"], alarm["ActionsEnabled"], alarm["Period"]) == (0.5, False, 60)
    assert alarm["StateUpdatedTimestamp"].timestamp() == cloud.clock.now()
    missing = refused(cloudwatch.delete_alarms, AlarmNames=["none"])
    assert missing.endswith("ResourceNotFound")
    assert [c.name.partition(":")[0] for c in cloud.record] == ["cloudwatch"] * 3


@pytest.mark.parametrize(
    "value",
    [
        0,
        23,
        24,
        255,
        256,
        65_536,
        2**32,
        2**63,
        -1,
        -500,
        1.5,
        "x" * 300,
        b"\x00\xff",
        [1, [2]],
        {"a": {"b": [True, False]}},
    ],
)
def test_cbor_there_and_back(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


def test_cbor_as_others_write_it() -> None:
    indefinite = bytes.fromhex("bf61619f01fa40200000ff6162f6ff")
    assert cbor.decode(indefinite) == {"a": [1, 2.5], "b": None}
    assert cbor.decode(bytes.fromhex("f93e00")) == 1.5
    assert cbor.decode(bytes.fromhex("c11a5e0be100")).isoformat() == "2020-01-01T00:00:00+00:00"


@pytest.mark.parametrize("bad", ["", "1a00", "ff", "0101", "7f61", "62c328"])
def test_cbor_that_is_none(bad: str) -> None:
    with pytest.raises(emulated.ApiError):
        cbor.decode(bytes.fromhex(bad))


def test_the_record_knows_who_called(cloud: emulated.Cloud) -> None:
    keys = cloud.principals.assume("node", "i-0abc")
    cloud.http_client("ec2", credentials=keys).describe_vpcs()
    cloud.client("ec2").describe_vpcs()
    assert [(c.principal.role, c.principal.session) for c in cloud.record] == [("node", "i-0abc"), ("", "")]
    assert cloud.record.by_principal()["node"]["ec2:DescribeVpcs"] == 1
