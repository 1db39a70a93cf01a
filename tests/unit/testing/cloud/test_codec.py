"""The codec is botocore's mirror: what a caller passes is what a handler gets, and the other way round."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simpleflow.testing import cloud as emulated
from simpleflow.testing.cloud.wire import codec, models

OPERATIONS = [
    ("ec2", "RunInstances"),
    ("ec2", "CreateFleet"),
    ("ec2", "DescribeInstances"),
    ("ec2", "DescribeLaunchTemplateVersions"),
    ("autoscaling", "CreateAutoScalingGroup"),
    ("autoscaling", "DescribeAutoScalingGroups"),
    ("cloudformation", "CreateStack"),
    ("cloudformation", "DescribeStackEvents"),
    ("iam", "CreateRole"),
    ("iam", "GetInstanceProfile"),
]
#: no control characters: XML cannot carry them
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8).filter(
    lambda text: text.strip() == text and "\ufffe" not in text and "\uffff" not in text
)


def values(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    match shape.type_name:
        case "structure":
            members = {
                n: m for n, m in shape.members.items() if depth or m.type_name not in ("structure", "list", "map")
            }
            some = dict(list(members.items())[:12])
            return st.fixed_dictionaries({}, optional={n: values(m, depth - 1) for n, m in some.items()})
        case "list":
            return st.lists(values(shape.member, depth - 1), min_size=1, max_size=2).filter(
                lambda found: all(one != {} for one in found)
            )
        case "map":
            return st.dictionaries(TEXT, values(shape.value, depth - 1), min_size=1, max_size=2)
        case "boolean":
            return st.booleans()
        case "integer" | "long":
            return st.integers(0, 2**31 - 1)
        case "float" | "double":
            return st.floats(0, 1e6, allow_nan=False, width=32)
        case "timestamp":
            return st.datetimes(
                datetime.datetime(2020, 1, 1), datetime.datetime(2030, 1, 1), timezones=st.just(datetime.UTC)
            ).map(lambda moment: moment.replace(microsecond=0))
        case "blob":
            return st.binary(min_size=1, max_size=8)
    return TEXT


def pruned(value: Any) -> Any:
    """Without empty structures, which neither protocol can carry."""
    if isinstance(value, dict):
        found = {key: pruned(one) for key, one in value.items()}
        return {key: one for key, one in found.items() if one not in ({}, [])}
    if isinstance(value, list):
        return [one for one in map(pruned, value) if one not in ({}, [])]
    return value


def close(value: Any) -> Any:
    """Floats as the wire shows them."""
    if isinstance(value, dict):
        return {key: close(one) for key, one in value.items()}
    if isinstance(value, list):
        return [close(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


@pytest.mark.parametrize(("service", "action"), OPERATIONS)
def test_a_request_arrives_as_it_was_passed(service: str, action: str) -> None:
    operation = models.operation(service, action)
    assert operation is not None
    serializer = botocore.serialize.create_serializer(models.protocol(service), include_validation=False)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values(operation.input_shape, 3).map(pruned))
    def check(params: dict[str, Any]) -> None:
        body = urlencode(serializer.serialize_to_request(params, operation)["body"]).encode()
        assert close(codec.parse_query(service, action, codec.parse_form(body))) == close(params)

    check()


@pytest.mark.parametrize(("service", "action"), [one for one in OPERATIONS if one[1] != "CreateAutoScalingGroup"])
def test_an_answer_arrives_as_it_was_made(service: str, action: str) -> None:
    operation = models.operation(service, action)
    assert operation is not None
    protocol: Any = models.protocol(service)
    parser = botocore.parsers.create_parser(protocol)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values(operation.output_shape, 3).map(pruned))
    def check(made: dict[str, Any]) -> None:
        _, body = codec.answer(service, action, protocol, made, "id")
        got = parser.parse({"body": body, "headers": {}, "status_code": 200}, operation.output_shape)
        del got["ResponseMetadata"]
        assert close(pruned(got)) == close(made)

    check()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("Action=RunInstances&MinCount=one", "Value (one) for parameter MinCount is invalid"),
        ("Action=RunInstances&Colour=red", "The parameter Colour is not recognized"),
        ("Action=RunInstances&Placement.Colour=red", "The parameter Placement.Colour is not recognized"),
        ("Action=RunInstances&EbsOptimized=maybe", "for parameter EbsOptimized is invalid"),
        ("Action=RunInstances&MinCount.1=3", "MinCount must be a single value"),
    ],
)
def test_what_is_no_request_is_refused(form: str, message: str) -> None:
    with pytest.raises(emulated.ApiError) as caught:
        codec.parse_query("ec2", "RunInstances", codec.parse_form(form.encode()))
    assert message in caught.value.message


def test_an_action_that_a_service_lacks() -> None:
    with pytest.raises(emulated.ApiError, match="InvalidAction"):
        codec.parse_query("ec2", "RunAway", {})
