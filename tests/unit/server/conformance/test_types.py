"""Workflow and activity types: registration, lists, deprecation, deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from . import driver as drivers


class Kind:
    """The calls about one kind of types."""

    def __init__(self, driver: drivers.Driver, kind: str) -> None:
        self.driver = driver
        self.kind = kind
        self.member = f"{kind}Type"

    def _call(self, verb: str, plural: str = "") -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.driver.swf, f"{verb}_{self.kind}_type{plural}")
        return method

    def register(self, name: str, version: str = "1", **more: Any) -> drivers.Attributes:
        self._call("register")(domain=self.driver.domain, name=name, version=version, **more)
        return {"name": name, "version": version}

    def register_again(self, code: str, made: drivers.Attributes) -> None:
        drivers.fault(code, self._call("register"), domain=self.driver.domain, **made)

    def do(self, verb: str, made: drivers.Attributes) -> Any:
        return self._call(verb)(domain=self.driver.domain, **{self.member: made})

    def refused(self, code: str, verb: str, made: drivers.Attributes) -> None:
        drivers.fault(code, self._call(verb), domain=self.driver.domain, **{self.member: made})

    def page(self, status: str = "REGISTERED", **more: Any) -> Any:
        return self._call("list", "s")(domain=self.driver.domain, registrationStatus=status, **more)

    def listed(self, status: str = "REGISTERED", **more: Any) -> list[tuple[str, str]]:
        request, found = dict(more), []
        while True:
            page = self.page(status, **request)
            found += [(each[self.member]["name"], each[self.member]["version"]) for each in page["typeInfos"]]
            if "nextPageToken" not in page:
                return found
            request["nextPageToken"] = page["nextPageToken"]


@pytest.fixture(params=["activity", "workflow"])
def kind(request: pytest.FixtureRequest, driver: drivers.Driver) -> Kind:
    return Kind(driver, request.param)


def test_activity_type_keeps_its_defaults(driver: drivers.Driver) -> None:
    defaults = {
        "defaultTaskStartToCloseTimeout": "1",
        "defaultTaskHeartbeatTimeout": "2",
        "defaultTaskScheduleToStartTimeout": "3",
        "defaultTaskScheduleToCloseTimeout": "NONE",
        "defaultTaskPriority": "-7",
    }
    made = Kind(driver, "activity").register(
        drivers.unique("type"), description="does", defaultTaskList={"name": "list"}, **defaults
    )
    answer = driver.swf.describe_activity_type(domain=driver.domain, activityType=made)
    assert answer["configuration"] == {**defaults, "defaultTaskList": {"name": "list"}}
    info = answer["typeInfo"]
    assert (info["activityType"], info["status"], info["description"]) == (made, "REGISTERED", "does")
    assert "deprecationDate" not in info


def test_workflow_type_keeps_its_defaults(driver: drivers.Driver) -> None:
    defaults = {
        "defaultTaskStartToCloseTimeout": "NONE",
        "defaultExecutionStartToCloseTimeout": "31536000",
        "defaultTaskPriority": "7",
        "defaultChildPolicy": "ABANDON",
        "defaultLambdaRole": "arn:aws:iam::123456789012:role/lambda",
    }
    made = Kind(driver, "workflow").register(
        drivers.unique("type"), description="does", defaultTaskList={"name": "list"}, **defaults
    )
    answer = driver.swf.describe_workflow_type(domain=driver.domain, workflowType=made)
    assert answer["configuration"] == {**defaults, "defaultTaskList": {"name": "list"}}
    info = answer["typeInfo"]
    assert (info["workflowType"], info["status"], info["description"]) == (made, "REGISTERED", "does")


def test_a_type_without_defaults(kind: Kind) -> None:
    made = kind.register(drivers.unique("bare"))
    answer = kind.do("describe", made)
    assert set(answer["configuration"]) <= {"defaultTaskList"}


def test_life_of_a_type(kind: Kind) -> None:
    made = kind.register(drivers.unique("life"))
    kind.register_again("TypeAlreadyExistsFault", made)
    kind.refused("TypeNotDeprecatedFault", "delete", made)
    kind.refused("TypeAlreadyExistsFault", "undeprecate", made)
    kind.do("deprecate", made)
    info = kind.do("describe", made)["typeInfo"]
    assert info["status"] == "DEPRECATED"
    assert info["deprecationDate"] >= info["creationDate"]
    kind.refused("TypeDeprecatedFault", "deprecate", made)
    kind.register_again("TypeAlreadyExistsFault", made)
    kind.do("undeprecate", made)
    info = kind.do("describe", made)["typeInfo"]
    assert info["status"] == "REGISTERED"
    assert "deprecationDate" not in info
    kind.do("deprecate", made)
    kind.do("delete", made)
    kind.refused("UnknownResourceFault", "describe", made)
    kind.refused("UnknownResourceFault", "delete", made)
    kind.register(made["name"], made["version"])
    assert kind.do("describe", made)["typeInfo"]["status"] == "REGISTERED"


def test_lists(kind: Kind) -> None:
    first, second = sorted(drivers.unique("listed") for _ in range(2))
    wanted = sorted([*((first, version) for version in ("1", "2", "3")), (second, "1")])
    for name, version in wanted:
        kind.register(name, version)
    every = kind.listed()
    assert every == sorted(every)
    assert set(wanted) <= set(every)
    assert kind.listed(reverseOrder=True) == every[::-1]
    assert kind.listed(maximumPageSize=2) == every
    assert kind.listed(name=first) == wanted[:3]
    assert kind.listed(name=first, reverseOrder=True) == wanted[:3][::-1]
    assert kind.listed(name=first, maximumPageSize=1) == wanted[:3]
    kind.do("deprecate", {"name": first, "version": "2"})
    assert kind.listed(name=first) == [(first, "1"), (first, "3")]
    assert kind.listed("DEPRECATED", name=first) == [(first, "2")]
    assert kind.listed(name=drivers.unique("nobody")) == []


def test_what_began_with_a_deprecated_type_goes_on(driver: drivers.Driver) -> None:
    workflow, activity = (
        driver.workflow_type(**drivers.WORKFLOW_DEFAULTS),
        driver.activity_type(**drivers.ACTIVITY_DEFAULTS),
    )
    run = driver.start(workflow)
    wanted = run.scheduled(activity)
    driver.swf.deprecate_workflow_type(domain=driver.domain, workflowType=workflow)
    driver.swf.deprecate_activity_type(domain=driver.domain, activityType=activity)
    task = driver.poll_activity(wanted["taskList"]["name"])
    driver.swf.respond_activity_task_completed(taskToken=task["taskToken"])
    run.decide(drivers.decision("CompleteWorkflowExecution"))
    assert run.info()["closeStatus"] == "COMPLETED"
