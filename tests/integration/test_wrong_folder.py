"""A decider that cannot import the workflow lets the run go; another one takes it over."""

from __future__ import annotations

import json

import pytest
from place_rig import Place, eventually

pytestmark = pytest.mark.needs_processes
PROGRAM = """
from simpleflow import Workflow

class Order(Workflow):
    name, version, task_list = "order", "1", "orders"

    def run(self) -> str:
        return "done"
"""


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (None, "late_shop.Order"),
        ("raise SystemExit('half deployed')", "half deployed"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_a_decider_in_the_wrong_place_shows_why_and_another_goes_on(place: Place, broken: str | None, why: str) -> None:
    good, wrong = place.folder / "good", place.folder / "wrong"
    for folder in (good, wrong):
        folder.mkdir()
    (good / "late_shop.py").write_text(PROGRAM)
    if broken is not None:
        (wrong / "late_shop.py").write_text(broken)
    known = place.env["PYTHONPATH"]
    place.env["PYTHONPATH"] = f"{good}:{known}"
    place.ok("workflow.start", "late_shop.Order", "--workflow-id", "one")
    place.env["PYTHONPATH"] = f"{wrong}:{known}"
    bad = place.spawn("decider.start", "-t", "orders")

    def reason() -> str:
        said = json.loads(place.ok("--format", "json", "workflow.info", "one"))
        return str(said.get("cannot_decide", ""))

    assert why in eventually(reason)
    place.env["PYTHONPATH"] = f"{good}:{known}"
    bad.terminate()
    place.spawn("decider.start", "-t", "orders")
    assert json.loads(place.ok("workflow.wait", "one")) == "done"
    assert reason() == ""
