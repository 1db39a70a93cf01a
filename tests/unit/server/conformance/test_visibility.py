"""Lists and counts of executions: each filter alone, the documented combinations, pages, reverse order."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from . import driver as drivers

_EVER = {"oldestDate": datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)}
_LONG_AGO = {**_EVER, "latestDate": datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)}
_STATUSES = ["COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW"]


class Shelf:
    """A domain with a handful of executions, open and closed, of two types, some tagged."""

    def __init__(self, driver: drivers.Driver) -> None:
        self.driver = driver
        self.first = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS)
        driver.swf.register_workflow_type(domain=driver.domain, name=self.first["name"], version="2")
        self.other = driver.workflow_type(**drivers.WORKFLOW_DEFAULTS)
        second = {**self.first, "version": "2"}
        self.open = [
            driver.start(self.first, tagList=["red", "round"]),
            driver.start(second, tagList=["red"], **drivers.EXECUTION),
            driver.start(self.other),
        ]
        self.closed = {status: driver.start(self.first, tagList=[status]) for status in _STATUSES}
        for status, kind in (
            ("COMPLETED", "CompleteWorkflowExecution"),
            ("FAILED", "FailWorkflowExecution"),
            ("CANCELED", "CancelWorkflowExecution"),
        ):
            self.closed[status].decide(drivers.decision(kind))
        self.closed["TERMINATED"].terminate()
        run = self.closed["CONTINUED_AS_NEW"]
        run.decide(drivers.decision("ContinueAsNewWorkflowExecution", taskList={"name": "on"}, tagList=["on"]))
        found = run.one("WorkflowExecutionContinuedAsNew")["newExecutionRunId"]
        self.open.append(driver.run({"workflowId": run.workflow_id, "runId": found}, "on"))

    def find(self, which: str, **filters: Any) -> list[str]:
        """List run ids over all pages; holds the count equal to them."""
        listed = getattr(self.driver.swf, f"list_{which}_workflow_executions")
        counted = getattr(self.driver.swf, f"count_{which}_workflow_executions")
        found: list[str] = []
        request = {"domain": self.driver.domain, **filters}
        while True:
            page = listed(**request)
            found += [info["execution"]["runId"] for info in page["executionInfos"]]
            if "nextPageToken" not in page:
                break
            request["nextPageToken"] = page["nextPageToken"]
        filters.pop("maximumPageSize", None)
        filters.pop("reverseOrder", None)
        answer = counted(domain=self.driver.domain, **filters)
        assert answer["count"] == len(found)
        return found


@pytest.fixture(scope="module")
def shelf(swf: Any) -> Iterator[Shelf]:
    name = drivers.unique("shelf")
    swf.register_domain(name=name, workflowExecutionRetentionPeriodInDays="1")
    made = Shelf(drivers.Driver(swf, name))
    yield made
    for run in made.open:
        run.terminate()
    swf.deprecate_domain(name=name)


def _ids(runs: list[drivers.Run]) -> list[str]:
    return [run.run_id for run in runs]


def test_open_by_start(shelf: Shelf) -> None:
    # The latest start comes first.
    assert shelf.find("open", startTimeFilter=_EVER) == _ids(shelf.open)[::-1]
    assert shelf.find("open", startTimeFilter=_EVER, reverseOrder=True) == _ids(shelf.open)
    assert shelf.find("open", startTimeFilter=_EVER, maximumPageSize=1) == _ids(shelf.open)[::-1]
    assert shelf.find("open", startTimeFilter=_EVER, maximumPageSize=3, reverseOrder=True) == _ids(shelf.open)
    assert shelf.find("open", startTimeFilter=_LONG_AGO) == []


def test_open_by_type(shelf: Shelf) -> None:
    name = shelf.first["name"]
    assert set(shelf.find("open", startTimeFilter=_EVER, typeFilter={"name": name})) == set(
        _ids([shelf.open[0], shelf.open[1], shelf.open[3]])
    )
    found = shelf.find("open", startTimeFilter=_EVER, typeFilter={"name": name, "version": "2"})
    assert found == _ids([shelf.open[1]])
    assert shelf.find("open", startTimeFilter=_EVER, typeFilter={"name": "nobody"}) == []


def test_open_by_tag_and_id(shelf: Shelf) -> None:
    assert set(shelf.find("open", startTimeFilter=_EVER, tagFilter={"tag": "red"})) == set(_ids(shelf.open[:2]))
    assert shelf.find("open", startTimeFilter=_EVER, tagFilter={"tag": "round"}) == _ids(shelf.open[:1])
    assert shelf.find("open", startTimeFilter=_EVER, tagFilter={"tag": "re"}) == []
    for run in shelf.open:
        found = shelf.find("open", startTimeFilter=_EVER, executionFilter={"workflowId": run.workflow_id})
        assert found == [run.run_id]


@pytest.mark.parametrize("by", ["startTimeFilter", "closeTimeFilter"])
def test_closed(shelf: Shelf, by: str) -> None:
    runs = _ids(list(shelf.closed.values()))
    assert shelf.find("closed", **{by: _EVER}) == runs[::-1]
    assert shelf.find("closed", **{by: _EVER}, reverseOrder=True) == runs
    assert shelf.find("closed", **{by: _EVER}, maximumPageSize=2) == runs[::-1]
    assert shelf.find("closed", **{by: _LONG_AGO}) == []
    for status, run in shelf.closed.items():
        assert shelf.find("closed", **{by: _EVER}, closeStatusFilter={"status": status}) == [run.run_id]
        assert shelf.find("closed", **{by: _EVER}, executionFilter={"workflowId": run.workflow_id}) == [run.run_id]
        assert shelf.find("closed", **{by: _EVER}, tagFilter={"tag": status}) == [run.run_id]
    assert shelf.find("closed", **{by: _EVER}, closeStatusFilter={"status": "TIMED_OUT"}) == []
    assert shelf.find("closed", **{by: _EVER}, typeFilter={"name": shelf.first["name"]}) == runs[::-1]
    assert shelf.find("closed", **{by: _EVER}, typeFilter={"name": shelf.first["name"], "version": "2"}) == []


def test_infos_say_what_describe_says(shelf: Shelf) -> None:
    swf, domain = shelf.driver.swf, shelf.driver.domain
    listed = swf.list_closed_workflow_executions(domain=domain, closeTimeFilter=_EVER)["executionInfos"]
    listed += swf.list_open_workflow_executions(domain=domain, startTimeFilter=_EVER)["executionInfos"]
    for info in listed:
        assert info == swf.describe_workflow_execution(domain=domain, execution=info["execution"])["executionInfo"]


def test_combinations_that_are_refused(shelf: Shelf) -> None:
    swf, domain = shelf.driver.swf, shelf.driver.domain
    filters: dict[str, Any] = {
        "executionFilter": {"workflowId": "i"},
        "typeFilter": {"name": "n"},
        "tagFilter": {"tag": "t"},
        "closeStatusFilter": {"status": "COMPLETED"},
    }
    names = list(filters)
    for one in names:
        for two in names[names.index(one) + 1 :]:
            both = {one: filters[one], two: filters[two]}
            for call in (swf.list_closed_workflow_executions, swf.count_closed_workflow_executions):
                drivers.fault("ValidationException", call, domain=domain, startTimeFilter=_EVER, **both)
            if "closeStatusFilter" not in both:
                for call in (swf.list_open_workflow_executions, swf.count_open_workflow_executions):
                    drivers.fault("ValidationException", call, domain=domain, startTimeFilter=_EVER, **both)
    for call in (swf.list_closed_workflow_executions, swf.count_closed_workflow_executions):
        drivers.fault("ValidationException", call, domain=domain)
        drivers.fault("ValidationException", call, domain=domain, startTimeFilter=_EVER, closeTimeFilter=_EVER)


def test_a_page_token_fits_its_own_query_only(shelf: Shelf) -> None:
    swf, domain = shelf.driver.swf, shelf.driver.domain
    request = {"domain": domain, "startTimeFilter": _EVER, "maximumPageSize": 1}
    token = swf.list_closed_workflow_executions(**request)["nextPageToken"]
    drivers.fault("ValidationException", swf.list_open_workflow_executions, **request, nextPageToken=token)
    drivers.fault(
        "ValidationException",
        swf.list_closed_workflow_executions,
        **request,
        nextPageToken=token,
        closeStatusFilter={"status": "FAILED"},
    )
    assert swf.list_closed_workflow_executions(**request, nextPageToken=token)["executionInfos"]
