"""Domains: registration, deprecation, lists and resource tags."""

from __future__ import annotations

from typing import Any

import pytest

from . import driver as drivers

_DAYS = "workflowExecutionRetentionPeriodInDays"


def test_register_and_describe(swf: Any) -> None:
    name = drivers.unique("domain")
    swf.register_domain(
        name=name, description="of a test", **{_DAYS: "7"}, tags=[{"key": "team", "value": "a"}, {"key": "bare"}]
    )
    answer = swf.describe_domain(name=name)
    info = answer["domainInfo"]
    assert (info["name"], info["status"], info["description"]) == (name, "REGISTERED", "of a test")
    assert info["arn"].startswith("arn:aws")
    assert info["arn"].endswith(f":/domain/{name}")
    assert answer["configuration"] == {_DAYS: "7"}
    drivers.fault("DomainAlreadyExistsFault", swf.register_domain, name=name, **{_DAYS: "7"})


def test_deprecation_and_back(swf: Any) -> None:
    name = drivers.unique("domain")
    swf.register_domain(name=name, **{_DAYS: "1"})
    driver = drivers.Driver(swf, name)
    activity, workflow = driver.activity, driver.workflow
    run = driver.start()
    drivers.fault("DomainAlreadyExistsFault", swf.undeprecate_domain, name=name)
    swf.deprecate_domain(name=name)
    assert swf.describe_domain(name=name)["domainInfo"]["status"] == "DEPRECATED"
    drivers.fault("DomainDeprecatedFault", swf.deprecate_domain, name=name)
    drivers.fault("DomainAlreadyExistsFault", swf.register_domain, name=name, **{_DAYS: "1"})
    listed = swf.list_domains(registrationStatus="DEPRECATED")["domainInfos"]
    assert name in [each["name"] for each in listed]
    # Its types are deprecated with it; what runs goes on.
    described = swf.describe_activity_type(domain=name, activityType=activity)
    assert described["typeInfo"]["status"] == "DEPRECATED"
    described = swf.describe_workflow_type(domain=name, workflowType=workflow)
    assert described["typeInfo"]["status"] == "DEPRECATED"
    run.decide(drivers.decision("CompleteWorkflowExecution"))
    assert run.info()["closeStatus"] == "COMPLETED"
    swf.undeprecate_domain(name=name)
    assert swf.describe_domain(name=name)["domainInfo"]["status"] == "REGISTERED"


def test_nothing_new_begins_in_a_deprecated_domain(fresh: drivers.Driver) -> None:
    workflow = fresh.workflow
    fresh.swf.deprecate_domain(name=fresh.domain)
    request = {"domain": fresh.domain, "name": "late", "version": "1"}
    drivers.fault("UnknownResourceFault", fresh.swf.register_activity_type, **request)
    drivers.fault("UnknownResourceFault", fresh.swf.register_workflow_type, **request)
    drivers.fault(
        "TypeDeprecatedFault",
        fresh.swf.start_workflow_execution,
        domain=fresh.domain,
        workflowId="late",
        workflowType=workflow,
        taskList={"name": "list"},
    )


def test_lists_are_sorted_and_paged(own: drivers.Driver) -> None:
    made = [drivers.unique("page") for _ in range(5)]
    for name in made:
        own.swf.register_domain(name=name, **{_DAYS: "1"})
    every = [each["name"] for each in own.swf.list_domains(registrationStatus="REGISTERED")["domainInfos"]]
    assert every == sorted(every)
    assert set(made) <= set(every)
    backwards = own.swf.list_domains(registrationStatus="REGISTERED", reverseOrder=True)["domainInfos"]
    assert [each["name"] for each in backwards] == every[::-1]
    request = {"registrationStatus": "REGISTERED", "maximumPageSize": 2}
    paged: list[str] = []
    while True:
        page = own.swf.list_domains(**request)
        assert len(page["domainInfos"]) <= 2
        paged += [each["name"] for each in page["domainInfos"]]
        if "nextPageToken" not in page:
            break
        request["nextPageToken"] = page["nextPageToken"]
    assert paged == every


def test_tags_of_a_domain(swf: Any) -> None:
    name = drivers.unique("domain")
    swf.register_domain(name=name, **{_DAYS: "1"}, tags=[{"key": "a", "value": "1"}])
    arn = swf.describe_domain(name=name)["domainInfo"]["arn"]
    swf.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "2"}, {"key": "b", "value": "3"}])
    found = swf.list_tags_for_resource(resourceArn=arn)["tags"]
    assert {each["key"]: each["value"] for each in found} == {"a": "2", "b": "3"}
    swf.untag_resource(resourceArn=arn, tagKeys=["a", "never there"])
    found = swf.list_tags_for_resource(resourceArn=arn)["tags"]
    assert found == [{"key": "b", "value": "3"}]
    many = [{"key": f"k{number}", "value": ""} for number in range(50)]
    drivers.fault("TooManyTagsFault", swf.tag_resource, resourceArn=arn, tags=many)
    drivers.fault(
        "TooManyTagsFault",
        swf.register_domain,
        name=drivers.unique("d"),
        **{_DAYS: "1"},
        tags=[*many, many[0] | {"key": "z"}],
    )
    assert swf.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "3"}]


def test_a_hundred_domains_are_the_limit(own: drivers.Driver) -> None:
    there = len(own.swf.list_domains(registrationStatus="REGISTERED")["domainInfos"])
    for _ in range(there, 100):
        own.swf.register_domain(name=drivers.unique("many"), **{_DAYS: "1"})
    drivers.fault("LimitExceededFault", own.swf.register_domain, name=drivers.unique("over"), **{_DAYS: "1"})


@pytest.mark.parametrize("days", ["NONE", "0"])
def test_a_domain_that_keeps_nothing(swf: Any, days: str) -> None:
    name = drivers.unique("forgets")
    swf.register_domain(name=name, **{_DAYS: days})
    driver = drivers.Driver(swf, name)
    run = driver.start()
    assert run.info()["executionStatus"] == "OPEN"
    parent, child = driver.parent_and_child()
    child.decide(drivers.decision("CompleteWorkflowExecution", result="kept by its parent"))
    run.decide(drivers.decision("CompleteWorkflowExecution"))
    assert parent.one("ChildWorkflowExecutionCompleted")["result"] == "kept by its parent"
    for gone in (run, child):
        for call in (swf.describe_workflow_execution, swf.get_workflow_execution_history):
            drivers.fault("UnknownResourceFault", call, domain=name, execution=gone.execution)
    times = {"oldestDate": 0}
    for given in ({"startTimeFilter": times}, {"closeTimeFilter": times}):
        assert swf.list_closed_workflow_executions(domain=name, **given)["executionInfos"] == []
        assert swf.count_closed_workflow_executions(domain=name, **given)["count"] == 0
    assert swf.count_open_workflow_executions(domain=name, startTimeFilter=times)["count"] == 1
    again = driver.start(workflowId=run.workflow_id)
    again.terminate()
    parent.terminate()
    swf.deprecate_domain(name=name)
