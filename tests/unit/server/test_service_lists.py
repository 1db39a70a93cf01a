"""Domains, types, tags, lists, counts, pages, retention."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from service_world import ACTIVITY, DOMAIN, WORKFLOW, World, decision

ALL = {"oldestDate": 0}
DAY = 86_400.0


def ids(answer: dict[str, Any]) -> list[str]:
    return [each["execution"]["workflowId"] for each in answer["executionInfos"]]


def walk(world: World, action: str, **request: Any) -> list[list[Any]]:
    """Pages of a list, each as its infos."""
    pages: list[list[Any]] = []
    token: dict[str, str] = {}
    while True:
        answer = world.call(action, **request, **token)
        pages.append(next(value for key, value in answer.items() if key.endswith("Infos")))
        if "nextPageToken" not in answer:
            return pages
        token = {"nextPageToken": answer["nextPageToken"]}


# -- domains


def test_a_domain_from_registration_to_deprecation_and_back() -> None:
    world = World()
    world.call("RegisterDomain", name="d", workflowExecutionRetentionPeriodInDays="NONE", description="words")
    described = world.call("DescribeDomain", name="d")
    assert described["configuration"] == {"workflowExecutionRetentionPeriodInDays": "NONE"}
    assert described["domainInfo"]["arn"] == "arn:aws:swf:us-east-1:123456789012:/domain/d"
    world.call("RegisterWorkflowType", domain="d", **WORKFLOW)
    again = {"name": "d", "workflowExecutionRetentionPeriodInDays": "1"}
    assert world.refused("RegisterDomain", **again) == "DomainAlreadyExistsFault"
    world.call("DeprecateDomain", name="d")
    assert world.refused("DeprecateDomain", name="d") == "DomainDeprecatedFault"
    assert world.refused("RegisterActivityType", domain="d", **ACTIVITY) == "UnknownResourceFault"
    info = world.call("DescribeWorkflowType", domain="d", workflowType=WORKFLOW)["typeInfo"]
    assert info["status"] == "DEPRECATED"
    assert walk(world, "ListDomains", registrationStatus="DEPRECATED")[0][0]["name"] == "d"
    world.call("UndeprecateDomain", name="d")
    assert world.refused("UndeprecateDomain", name="d") == "DomainAlreadyExistsFault"
    names = [
        [i["name"] for i in page]
        for page in walk(world, "ListDomains", registrationStatus="REGISTERED", maximumPageSize=1)
    ]
    assert names == [["d"], ["default"]]
    names = [
        [i["name"] for i in page]
        for page in walk(world, "ListDomains", registrationStatus="REGISTERED", maximumPageSize=1, reverseOrder=True)
    ]
    assert names == [["default"], ["d"]]


def test_tags_of_a_domain() -> None:
    world = World()
    arn = world.call("DescribeDomain", name=DOMAIN)["domainInfo"]["arn"]
    world.call("TagResource", resourceArn=arn, tags=[{"key": "b", "value": "2"}, {"key": "a"}])
    assert world.call("ListTagsForResource", resourceArn=arn)["tags"] == [
        {"key": "a", "value": ""},
        {"key": "b", "value": "2"},
    ]
    world.call("UntagResource", resourceArn=arn, tagKeys=["a", "none"])
    assert len(world.call("ListTagsForResource", resourceArn=arn)["tags"]) == 1
    many = [{"key": str(n), "value": ""} for n in range(50)]
    assert world.refused("TagResource", resourceArn=arn, tags=many) == "TooManyTagsFault"
    assert world.refused("ListTagsForResource", resourceArn=arn + "x") == "UnknownResourceFault"


def test_domains_are_limited() -> None:
    world = World()
    for n in range(99):
        world.call("RegisterDomain", name=str(n), workflowExecutionRetentionPeriodInDays="1")
    last = {"name": "last", "workflowExecutionRetentionPeriodInDays": "1"}
    assert world.refused("RegisterDomain", **last) == "LimitExceededFault"


# -- types


@pytest.mark.parametrize(("word", "member"), [("ActivityType", "activityType"), ("WorkflowType", "workflowType")])
def test_a_type_from_registration_to_deletion(word: str, member: str) -> None:
    world = World()
    kind = {"name": "k", "version": "1"}
    world.call(f"Register{word}", domain=DOMAIN, **kind, description="words", defaultTaskList={"name": "l"})
    assert world.refused(f"Register{word}", domain=DOMAIN, **kind) == "TypeAlreadyExistsFault"
    described = world.call(f"Describe{word}", domain=DOMAIN, **{member: kind})
    assert described["configuration"] == {"defaultTaskList": {"name": "l"}}
    assert described["typeInfo"][member] == kind
    assert world.refused(f"Undeprecate{word}", domain=DOMAIN, **{member: kind}) == "TypeAlreadyExistsFault"
    assert world.refused(f"Delete{word}", domain=DOMAIN, **{member: kind}) == "TypeNotDeprecatedFault"
    world.call(f"Deprecate{word}", domain=DOMAIN, **{member: kind})
    assert world.refused(f"Deprecate{word}", domain=DOMAIN, **{member: kind}) == "TypeDeprecatedFault"
    assert "deprecationDate" in world.call(f"Describe{word}", domain=DOMAIN, **{member: kind})["typeInfo"]
    world.call(f"Undeprecate{word}", domain=DOMAIN, **{member: kind})
    world.call(f"Deprecate{word}", domain=DOMAIN, **{member: kind})
    world.call(f"Delete{word}", domain=DOMAIN, **{member: kind})
    assert world.refused(f"Describe{word}", domain=DOMAIN, **{member: kind}) == "UnknownResourceFault"
    world.call(f"Register{word}", domain=DOMAIN, **kind)


def test_types_are_listed_by_name_in_pages() -> None:
    world = World()
    for name, version in (("b", "1"), ("c", "1"), ("b", "2")):
        world.call("RegisterActivityType", domain=DOMAIN, name=name, version=version)
    request: dict[str, Any] = {"domain": DOMAIN, "registrationStatus": "REGISTERED", "maximumPageSize": 2}
    pages = walk(world, "ListActivityTypes", **request)
    found = [[tuple(i["activityType"].values()) for i in page] for page in pages]
    assert found == [[("a", "1"), ("b", "1")], [("b", "2"), ("c", "1")]]
    pages = walk(world, "ListActivityTypes", **request, reverseOrder=True, name="b")
    assert [[tuple(i["activityType"].values()) for i in page] for page in pages] == [[("b", "2"), ("b", "1")]]


# -- executions


def populated() -> World:
    """one, two, three start a second apart; two is closed after three has started."""
    world = World()
    for n, name in enumerate(("one", "two", "three")):
        world.start(name, tagList=["all", f"tag{n}"], taskList={"name": name})
        world.later(1)
    world.decide(decision("CompleteWorkflowExecution"), task_list="two")
    return world


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["three", "one"]),
        ({"reverseOrder": True}, ["one", "three"]),
        ({"executionFilter": {"workflowId": "one"}}, ["one"]),
        ({"typeFilter": {"name": "w"}}, ["three", "one"]),
        ({"typeFilter": {"name": "w", "version": "2"}}, []),
        ({"tagFilter": {"tag": "tag2"}}, ["three"]),
        ({"tagFilter": {"tag": "tag"}}, []),
    ],
)
def test_open_executions_by_each_filter(filters: dict[str, Any], found: list[str]) -> None:
    world = populated()
    answer = world.call("ListOpenWorkflowExecutions", domain=DOMAIN, startTimeFilter=ALL, **filters)
    assert ids(answer) == found
    filters.pop("reverseOrder", None)
    count = world.call("CountOpenWorkflowExecutions", domain=DOMAIN, startTimeFilter=ALL, **filters)
    assert count == {"count": len(found), "truncated": False}


def test_bounds_of_times() -> None:
    world = populated()
    start = world.clock.DEFAULT_START
    request: dict[str, Any] = {"domain": DOMAIN, "startTimeFilter": {"oldestDate": start + 1, "latestDate": start + 2}}
    assert ids(world.call("ListOpenWorkflowExecutions", **request)) == ["three"]
    assert ids(world.call("ListClosedWorkflowExecutions", **request)) == ["two"]
    request = {"domain": DOMAIN, "closeTimeFilter": {"oldestDate": start + 3}}
    closed = world.call("ListClosedWorkflowExecutions", **request)
    assert ids(closed) == ["two"]
    assert closed["executionInfos"][0]["tagList"] == ["all", "tag1"]
    assert world.call("CountClosedWorkflowExecutions", **request)["count"] == 1
    request["closeTimeFilter"]["oldestDate"] += 1
    assert world.call("CountClosedWorkflowExecutions", **request)["count"] == 0


def test_closed_executions_by_status() -> None:
    world = populated()
    request = {"domain": DOMAIN, "startTimeFilter": ALL}
    for status, count in (("COMPLETED", 1), ("FAILED", 0)):
        found = world.call("CountClosedWorkflowExecutions", **request, closeStatusFilter={"status": status})
        assert found["count"] == count


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_of_executions_that_start_in_one_moment(reverse: bool) -> None:
    world = World()
    for n in range(5):
        world.start(str(n))
    pages = walk(
        world,
        "ListOpenWorkflowExecutions",
        domain=DOMAIN,
        startTimeFilter=ALL,
        maximumPageSize=2,
        reverseOrder=reverse,
    )
    found = [each["execution"]["workflowId"] for page in pages for each in page]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert found == ["0", "1", "2", "3", "4"][:: 1 if reverse else -1]


def test_page_tokens_are_fenced_and_expire() -> None:
    world = populated()
    request: dict[str, Any] = {"domain": DOMAIN, "startTimeFilter": ALL, "maximumPageSize": 1}
    token = world.call("ListOpenWorkflowExecutions", **request)["nextPageToken"]
    assert ids(world.call("ListOpenWorkflowExecutions", **request, nextPageToken=token)) == ["one"]
    other = {**request, "typeFilter": {"name": "w"}, "nextPageToken": token}
    assert world.refused("ListOpenWorkflowExecutions", **other) == "ValidationException"
    assert world.refused("ListOpenWorkflowExecutions", **request, nextPageToken="rubbish") == "ValidationException"
    assert world.refused("ListOpenWorkflowExecutions", **request, nextPageToken="é") == "ValidationException"
    world.later(DAY + 1)
    assert world.refused("ListOpenWorkflowExecutions", **request, nextPageToken=token) == "ValidationException"


def test_history_pages_both_ways_and_while_it_grows() -> None:
    world = World()
    run = world.start()
    for _ in range(5):
        world.signal(run)
    request: dict[str, Any] = {"domain": DOMAIN, "execution": run, "maximumPageSize": 3}

    def pages(**more: Any) -> list[int]:
        found: list[int] = []
        token: dict[str, str] = {}
        while True:
            answer = world.call("GetWorkflowExecutionHistory", **request, **more, **token)
            found += [int(bytes(e).split(b":")[1].split(b",")[0]) for e in answer["events"]]
            if "nextPageToken" not in answer:
                return found
            token = {"nextPageToken": answer["nextPageToken"]}
            world.signal(run)

    assert pages() == list(range(1, 10)), "a history that grows is read to its end"
    assert pages(reverseOrder=True) == list(range(9, 0, -1))


def test_a_page_stays_under_a_megabyte() -> None:
    world = World()
    run = world.start()
    for _ in range(60):
        world.signal(run, input="x" * 32_000)
    answer = world.call("GetWorkflowExecutionHistory", domain=DOMAIN, execution=run)
    assert 900_000 < sum(len(bytes(e)) for e in answer["events"]) < 1_000_000
    assert "nextPageToken" in answer


def test_waiting_tasks_are_counted() -> None:
    world = World()
    world.start("one")
    world.start("two")
    world.decide(world.schedule("1"), world.schedule("2"))
    decisions = world.call("CountPendingDecisionTasks", domain=DOMAIN, taskList={"name": "d"})
    activities = world.call("CountPendingActivityTasks", domain=DOMAIN, taskList={"name": "x"})
    assert (decisions["count"], activities["count"]) == (1, 2)
    world.work()
    assert world.call("CountPendingActivityTasks", domain=DOMAIN, taskList={"name": "x"})["count"] == 1


def test_open_executions_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.service.session.limit, "open_executions", 2)
    world.start("one")
    world.start("two")
    request = {"domain": DOMAIN, "workflowId": "three", "workflowType": WORKFLOW}
    assert world.refused("StartWorkflowExecution", **request) == "LimitExceededFault"
    world.decide(decision("StartChildWorkflowExecution", workflowId="c", workflowType=WORKFLOW))
    world.decide(decision("CompleteWorkflowExecution"))
    children = [decision("StartChildWorkflowExecution", workflowId=n, workflowType=WORKFLOW) for n in "xyz"]
    run = world.decide(*children)["workflowExecution"]
    kinds = world.kinds(run)
    assert kinds.count("ChildWorkflowExecutionStarted") == 1, "children of one response count at once"
    assert kinds.count("StartChildWorkflowExecutionFailed") == 3


# -- retention


def test_closed_executions_are_forgotten_after_their_retention() -> None:
    world = World()
    run, kept = world.start(), world.start("kept", executionStartToCloseTimeout="31536000", taskList={"name": "k"})
    for _ in range(30):
        world.signal(run)
    world.decide(decision("CompleteWorkflowExecution"))
    world.later(DAY - 1)
    assert not world.service.clean()
    assert world.status(run) == "COMPLETED"
    world.later(2)
    while world.service.clean():
        pass
    assert world.refused("DescribeWorkflowExecution", domain=DOMAIN, execution=run) == "UnknownResourceFault"
    assert world.refused("GetWorkflowExecutionHistory", domain=DOMAIN, execution=run) == "UnknownResourceFault"
    request = {"domain": DOMAIN, "startTimeFilter": ALL}
    assert world.call("CountClosedWorkflowExecutions", **request)["count"] == 0
    assert world.status(kept) is None
    assert len(world.events(kept)) == 2
    assert world.store.events(0, (1 << 60)) == world.store.events(2 << 16, 2 << 16 | 0xFFFF)


def test_what_is_not_kept_any_more_is_not_seen_even_before_it_is_deleted() -> None:
    world = World()
    first = world.start("first")
    later = world.start("later", executionStartToCloseTimeout="31536000", taskList={"name": "k"})
    world.decide(decision("CompleteWorkflowExecution"))
    world.later(DAY / 2)
    world.call("TerminateWorkflowExecution", domain=DOMAIN, workflowId="later")
    world.clock.advance(DAY / 2 + 1)
    for action in ("DescribeWorkflowExecution", "GetWorkflowExecutionHistory"):
        assert world.refused(action, domain=DOMAIN, execution=first) == "UnknownResourceFault"
        world.call(action, domain=DOMAIN, execution=later)
    for given in ({"startTimeFilter": ALL}, {"closeTimeFilter": ALL}):
        found = world.call("ListClosedWorkflowExecutions", domain=DOMAIN, **given)["executionInfos"]
        assert [each["execution"]["workflowId"] for each in found] == ["later"]
        assert world.call("CountClosedWorkflowExecutions", domain=DOMAIN, **given)["count"] == 1


def test_retention_works_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from simpleflow.server.machine import retention

    monkeypatch.setattr(retention, "_EVENTS", 10)
    world = World()
    run, other = world.start("one"), world.start("two")
    for _ in range(15):
        world.signal(run)
        world.signal(other)
    world.decide(decision("CompleteWorkflowExecution"))
    world.decide(decision("CompleteWorkflowExecution"))
    world.clock.advance(DAY + 1)
    whole = before = len(world.store.events(0, 1 << 60))
    steps = 0
    while world.service.clean():
        steps += 1
        left = len(world.store.events(0, 1 << 60))
        assert before - left <= 10, "of all executions together"
        for key in (1, 2):  # they go from the end: no gaps, which a check would find
            ids = [msgspec.json.decode(body)["eventId"] for body in world.store.events(key << 16, key << 16 | 0xFFFF)]
            assert ids == list(range(1, len(ids) + 1))
        before = left
    assert steps == whole // 10
    assert world.store.last_key() == 0


def test_text_that_is_no_text_is_refused_and_not_remembered() -> None:
    world = World()
    request = {"domain": DOMAIN, "name": "k", "version": "1"}
    assert world.refused("RegisterWorkflowType", **request, description="\ud800") == "SerializationException"
    run = world.start()
    assert world.refused("SignalWorkflowExecution", domain=DOMAIN, **run, signalName="s", input="\ud800") == (
        "SerializationException"
    )
    world.call("RegisterWorkflowType", **request)
    assert len(world.events(run)) == 2
