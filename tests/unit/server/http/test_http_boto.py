"""boto3, unchanged: each action arrives as it was called, and each refusal becomes the exception that AWS's would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import botocore
import botocore.config
import botocore.exceptions
import pytest
import skin_rig
from test_validation import request

from simpleflow.server.requests import errors, faults, validation


def client(served: skin_rig.Served, attempts: int = 1) -> Any:
    return boto3.client(
        "swf",
        endpoint_url=f"http://127.0.0.1:{served.port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=botocore.config.Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


@pytest.fixture(scope="module")
def swf(shared: skin_rig.Served) -> Iterator[Any]:
    made = client(shared)
    yield made
    made.close()


@pytest.mark.parametrize("action", [each for each in validation.actions() if not each.startswith("Poll")])
def test_each_action_arrives_as_it_was_called(served: skin_rig.Served, swf: Any, action: str) -> None:
    made = request(action)
    answer = getattr(swf, botocore.xform_name(action))(**made)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert len(answer["ResponseMetadata"]["RequestId"]) == 36
    assert served.host.calls == [(action, made)]


@pytest.mark.parametrize("name", sorted(errors.MODELLED))
def test_each_fault_of_the_model_becomes_its_exception(served: skin_rig.Served, swf: Any, name: str) -> None:
    served.host.answers["StartWorkflowExecution"] = errors.modelled(name, "what happened")
    with pytest.raises(getattr(swf.exceptions, name)) as caught:
        swf.start_workflow_execution(**request("StartWorkflowExecution"))
    assert caught.value.response["Error"]["Code"] == name
    assert "what happened" in str(caught.value)


def test_other_refusals_keep_their_codes(served: skin_rig.Served, swf: Any) -> None:
    cases = [
        (errors.validation("m"), "ValidationException", 400),
        (errors.throttled(), "ThrottlingException", 400),
        (errors.internal("m"), "InternalFailure", 500),
        (errors.unavailable("m"), "ServiceUnavailable", 503),
    ]
    for fault, code, status in cases:
        served.host.answers["DescribeDomain"] = fault
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            swf.describe_domain(name="d")
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_lengths_that_boto3_does_not_check_are_refused(served: skin_rig.Served, swf: Any) -> None:
    made = {**request("StartWorkflowExecution"), "input": "x" * 32_769}
    with pytest.raises(botocore.exceptions.ClientError, match="less than or equal to 32768") as caught:
        swf.start_workflow_execution(**made)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_boto3_tries_again_what_was_throttled_or_lost(serve: skin_rig.Serve) -> None:
    served = serve(provoked=faults.Faults(["throttle:DescribeDomain:1", "lost-response:DescribeDomain:1"]))
    patient = client(served, attempts=4)
    served.host.answers["DescribeDomain"] = {"domainInfo": {"name": "d", "status": "REGISTERED"}}
    assert patient.describe_domain(name="d")["domainInfo"]["name"] == "d"
    assert len(served.host.calls) == 2
    patient.close()


def test_an_open_poll_is_answered(served: skin_rig.Served, swf: Any) -> None:
    answers: list[Any] = []
    call = {"domain": "d", "taskList": {"name": "l"}}
    thread = threading.Thread(target=lambda: answers.append(swf.poll_for_activity_task(**call)))
    thread.start()
    assert served.host.opened.wait(10)
    (name,) = served.host.polls
    assert served.post("SimpleflowEmbedded.RevokePoll", f'{{"pollId":"{name}"}}'.encode())[1] == {"revoked": True}
    thread.join(10)
    assert answers[0]["taskToken"] == ""
