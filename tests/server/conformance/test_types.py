"""Workflow and activity types: registration, lists, deprecation, deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from . import kit as kits


class Kind:
    """The calls about one kind of types."""

    def __init__(self, kit: kits.Kit, kind: str) -> None:
        self.kit = kit
        self.kind = kind
        self.member = f"{kind}Type"

    def _call(self, verb: str, plural: str = "") -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.kit.swf, f"{verb}_{self.kind}_type{plural}")
        return method

    def register(self, name: str, version: str = "1", **more: Any) -> kits.Attributes:
        self._call("register")(domain=self.kit.domain, name=name, version=version, **more)
        return {"name": name, "version": version}

    def register_again(self, code: str, made: kits.Attributes) -> None:
        kits.fault(code, self._call("register"), domain=self.kit.domain, **made)

    def do(self, verb: str, made: kits.Attributes) -> Any:
        return self._call(verb)(domain=self.kit.domain, **{self.member: made})

    def refused(self, code: str, verb: str, made: kits.Attributes) -> None:
        kits.fault(code, self._call(verb), domain=self.kit.domain, **{self.member: made})

    def page(self, status: str = "REGISTERED", **more: Any) -> Any:
        return self._call("list", "s")(domain=self.kit.domain, registrationStatus=status, **more)

    def listed(self, status: str = "REGISTERED", **more: Any) -> list[tuple[str, str]]:
        request, found = dict(more), []
        while True:
            page = self.page(status, **request)
            found += [(each[self.member]["name"], each[self.member]["version"]) for each in page["typeInfos"]]
            if "nextPageToken" not in page:
                return found
            request["nextPageToken"] = page["nextPageToken"]


@pytest.fixture(params=["activity", "workflow"])
def kind(request: pytest.FixtureRequest, kit: kits.Kit) -> Kind:
    return Kind(kit, request.param)


def test_activity_type_keeps_its_defaults(kit: kits.Kit) -> None:
    defaults = {
        "defaultTaskStartToCloseTimeout": "1",
        "defaultTaskHeartbeatTimeout": "2",
        "defaultTaskScheduleToStartTimeout": "3",
        "defaultTaskScheduleToCloseTimeout": "NONE",
        "defaultTaskPriority": "-7",
    }
    made = Kind(kit, "activity").register(
        kits.unique("type"), description="does", defaultTaskList={"name": "list"}, **defaults
    )
    answer = kit.swf.describe_activity_type(domain=kit.domain, activityType=made)
    assert answer["configuration"] == {**defaults, "defaultTaskList": {"name": "list"}}
    info = answer["typeInfo"]
    assert (info["activityType"], info["status"], info["description"]) == (made, "REGISTERED", "does")
    assert "deprecationDate" not in info


def test_workflow_type_keeps_its_defaults(kit: kits.Kit) -> None:
    defaults = {
        "defaultTaskStartToCloseTimeout": "NONE",
        "defaultExecutionStartToCloseTimeout": "31536000",
        "defaultTaskPriority": "7",
        "defaultChildPolicy": "ABANDON",
        "defaultLambdaRole": "arn:aws:iam::123456789012:role/lambda",
    }
    made = Kind(kit, "workflow").register(
        kits.unique("type"), description="does", defaultTaskList={"name": "list"}, **defaults
    )
    answer = kit.swf.describe_workflow_type(domain=kit.domain, workflowType=made)
    assert answer["configuration"] == {**defaults, "defaultTaskList": {"name": "list"}}
    info = answer["typeInfo"]
    assert (info["workflowType"], info["status"], info["description"]) == (made, "REGISTERED", "does")


def test_a_type_without_defaults(kind: Kind) -> None:
    made = kind.register(kits.unique("bare"))
    answer = kind.do("describe", made)
    assert set(answer["configuration"]) <= {"defaultTaskList"}


def test_life_of_a_type(kind: Kind) -> None:
    made = kind.register(kits.unique("life"))
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
    first, second = sorted(kits.unique("listed") for _ in range(2))
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
    assert kind.listed(name=kits.unique("nobody")) == []


def test_what_began_with_a_deprecated_type_goes_on(kit: kits.Kit) -> None:
    workflow, activity = kit.workflow_type(**kits.WORKFLOW_DEFAULTS), kit.activity_type(**kits.ACTIVITY_DEFAULTS)
    run = kit.start(workflow)
    wanted = run.scheduled(activity)
    kit.swf.deprecate_workflow_type(domain=kit.domain, workflowType=workflow)
    kit.swf.deprecate_activity_type(domain=kit.domain, activityType=activity)
    task = kit.poll_activity(wanted["taskList"]["name"])
    kit.swf.respond_activity_task_completed(taskToken=task["taskToken"])
    run.decide(kits.decision("CompleteWorkflowExecution"))
    assert run.info()["closeStatus"] == "COMPLETED"
