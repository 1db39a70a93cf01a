"""What the conformance tests must see, by the service model, and the table of it in docs/fidelity.md.

``python coverage.py`` writes the table; test_coverage.py holds table, run and model equal.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model

if __package__:
    from . import seen as sight

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "fidelity.md"
BEGIN = "<!-- coverage: begin (written by tests/unit/server/conformance/coverage.py) -->"
END = "<!-- coverage: end -->"

#: reasons why something is never seen, by their short names
REASONS = {
    "lambda": "there is no AWS Lambda on one machine: the decision is refused with its proper cause",
    "iam": "there is no IAM on one machine: whoever may call may do everything",
    "role": "needs an IAM role for AWS Lambda",
    "quota": "the service model names it, no quota of AWS makes it happen",
    "slow": "seen in the slow run only (100,000 open executions)",
}
_LAMBDA_EVENTS = (
    "LambdaFunctionScheduled",
    "LambdaFunctionStarted",
    "LambdaFunctionCompleted",
    "LambdaFunctionFailed",
    "LambdaFunctionTimedOut",
    "StartLambdaFunctionFailed",
)
#: event types that cannot be produced here
EVENTS = {**dict.fromkeys(_LAMBDA_EVENTS, "lambda"), "RecordMarkerFailed": "iam"}
#: values of causes that cannot be produced here, of whichever event
CAUSES = {"OPERATION_NOT_PERMITTED": "iam"}
#: (event type, cause) that cannot be produced here
OUTCOMES = {
    ("ScheduleLambdaFunctionFailed", "ID_ALREADY_IN_USE"): "lambda",
    ("ScheduleLambdaFunctionFailed", "OPEN_LAMBDA_FUNCTIONS_LIMIT_EXCEEDED"): "lambda",
    ("ScheduleLambdaFunctionFailed", "LAMBDA_FUNCTION_CREATION_RATE_EXCEEDED"): "lambda",
    ("StartChildWorkflowExecutionFailed", "OPEN_WORKFLOWS_LIMIT_EXCEEDED"): "slow",
    ("ContinueAsNewWorkflowExecutionFailed", "CONTINUE_AS_NEW_WORKFLOW_EXECUTION_RATE_EXCEEDED"): "quota",
}
#: faults that cannot be produced here, of whichever action
FAULTS = {"OperationNotPermittedFault": "iam"}
#: (action, fault) that cannot be produced here
ACTION_FAULTS = {
    ("ListTagsForResource", "LimitExceededFault"): "quota",
    ("TagResource", "LimitExceededFault"): "quota",
    ("UntagResource", "LimitExceededFault"): "quota",
    ("RegisterActivityType", "LimitExceededFault"): "slow",
    ("RegisterWorkflowType", "LimitExceededFault"): "slow",
    ("StartWorkflowExecution", "LimitExceededFault"): "slow",
}
#: (structure, member) that no answer here holds
MEMBERS: dict[tuple[str, str], str] = {}


def model() -> Any:
    """The service model that botocore ships."""
    loaded = botocore.loaders.Loader().load_service_model("swf", "service-2")
    return botocore.model.ServiceModel(loaded, "swf")


def actions(of: Any) -> dict[str, list[str]]:
    """Every action with its modelled faults."""
    return {
        name: sorted(shape.name for shape in of.operation_model(name).error_shapes)
        for name in sorted(of.operation_names)
    }


def decisions(of: Any) -> list[str]:
    return sorted(of.shape_for("DecisionType").enum)


def events(of: Any) -> dict[str, list[str]]:
    """Every event type with the values that its cause or timeoutType can have."""
    found = {}
    history_event = of.shape_for("HistoryEvent")
    for kind in history_event.members["eventType"].enum:
        attributes = history_event.members[f"{kind[0].lower()}{kind[1:]}EventAttributes"]
        found[kind] = [
            value
            for name in ("cause", "timeoutType")
            if name in attributes.members
            for value in attributes.members[name].enum
        ]
    return found


def why_event(kind: str) -> str:
    """Return why an event type is never seen, or ''."""
    return EVENTS.get(kind, "")


def why_outcome(kind: str, value: str) -> str:
    return EVENTS.get(kind) or CAUSES.get(value) or OUTCOMES.get((kind, value), "")


def why_fault(action: str, fault: str) -> str:
    return FAULTS.get(fault) or ACTION_FAULTS.get((action, fault), "")


def members(of: Any) -> set[tuple[str, str]]:
    """Every member of every structure that an answer can hold, but those of AWS Lambda."""
    found: set[tuple[str, str]] = set()

    def walk(shape: Any) -> None:
        if shape.type_name == "list":
            walk(shape.member)
        elif shape.type_name == "structure":
            for name, member in shape.members.items():
                if (shape.name, name) in found or "ambda" in shape.name + name:
                    continue
                found.add((shape.name, name))
                walk(member)

    for name in of.operation_names:
        if (shape := of.operation_model(name).output_shape) is not None:
            walk(shape)
    unseen = {f"{kind}EventAttributes" for kind in EVENTS}
    gone = {f"{kind[0].lower()}{kind[1:]}EventAttributes" for kind in EVENTS}
    return {(name, member) for name, member in found if name not in unseen and member not in gone}


def missing(saw: sight.Seen) -> list[str]:
    """Say what was never seen and has no reason, and what has a reason and was seen."""
    of, found = model(), []

    def compare(what: str, wanted: bool, was_seen: bool) -> None:
        if wanted and not was_seen:
            found.append(f"never seen: {what}")
        if was_seen and not wanted:
            found.append(f"seen, though it is listed as impossible: {what}")

    for action, faults in actions(of).items():
        compare(action, True, action in saw.actions)
        for fault in faults:
            why = why_fault(action, fault)
            if why != "slow":
                compare(f"{action}: {fault}", not why, (action, fault) in saw.faults)
    for kind in decisions(of):
        compare(f"decision {kind}", True, kind in saw.decisions)
    for kind, values in events(of).items():
        compare(f"event {kind}", not why_event(kind), ("EventType", kind) in saw.values)
        for value in values:
            why = why_outcome(kind, value)
            if why != "slow":
                compare(f"{kind}: {value}", not why, (kind, value) in saw.outcomes)
    for code in ("ValidationException", "ThrottlingException", "SerializationException", "UnknownOperationException"):
        compare(f"fault {code}", True, any(each == code for _, each in saw.faults))
    for pair in sorted(members(of)):
        compare("{}.{}".format(*pair), pair not in MEMBERS, pair in saw.members)
    for enum in ("ChildPolicy", "CloseStatus", "ExecutionStatus", "RegistrationStatus"):
        for value in of.shape_for(enum).enum:
            compare(f"{enum} {value}", True, (enum, value) in saw.values)
    return found


def _marked(values: Iterable[tuple[str, str]]) -> str:
    shown = [value if not why else f"{value} ({why})" for value, why in values]
    return ", ".join(shown) or "-"


def table() -> str:
    """The coverage table, in Markdown: what the run must have seen, and what it cannot see."""
    of = model()
    lines = [
        "Seen over boto3 by `tests/unit/server/conformance`: everything below but what carries a reason in brackets.",
        "",
        *(f"- ({name}) {text}" for name, text in REASONS.items()),
        "",
        "| action | modelled faults |",
        "|---|---|",
    ]
    for action, faults in actions(of).items():
        lines.append(f"| {action} | {_marked((each, why_fault(action, each)) for each in faults)} |")
    lines += ["", f"Decisions: {', '.join(decisions(of))}.", "", "| event | causes and kinds of timeout |", "|---|---|"]
    for kind, values in events(of).items():
        shown = f"{kind} ({why_event(kind)})" if why_event(kind) else kind
        lines.append(f"| {shown} | {_marked((each, why_outcome(kind, each)) for each in values)} |")
    if MEMBERS:
        lines += ["", "| member of an answer | never seen, because |", "|---|---|"]
        lines += [f"| {name}.{member} | {why} |" for (name, member), why in sorted(MEMBERS.items())]
    counts = (len(of.operation_names), len(decisions(of)), len(events(of)) - len(EVENTS), len(events(of)))
    lines += ["", "{} actions, {} decisions, {} of {} event types.".format(*counts)]
    return "\n".join(lines)


def written(text: str) -> str:
    """Return the document with the table of today between its markers."""
    assert BEGIN in text, (
        f"{DOCUMENT.name} has lost its markers: put a line {BEGIN!r} and one {END!r} where the table goes"
    )
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{table()}\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT.name} is up to date\n")
