"""The names that programs import."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import simpleflow
from simpleflow import exceptions

PATHS = {
    "activity": ("Activity", "PRIORITY_NOT_SET", "RetryPolicy", "with_attributes"),
    "base": ("Submittable", "SubmittableContainer"),
    "canvas": ("Chain", "ChainFuture", "FuncGroup", "Group", "GroupFuture"),
    "exceptions": (
        "AggregateException",
        "ExecutionBlocked",
        "ExecutionError",
        "ExecutionTimeoutError",
        "TaskCanceled",
        "TaskException",
        "TaskFailed",
        "TaskTerminated",
        "TimeoutError",
        "WorkflowException",
    ),
    "futures": (
        "ALL_COMPLETED",
        "CANCELLED",
        "FINISHED",
        "FIRST_COMPLETED",
        "FIRST_EXCEPTION",
        "Future",
        "PENDING",
        "RUNNING",
        "as_completed",
        "gather",
        "to_concurrent",
        "wait",
    ),
    "constants": (
        "CACHE_DIR",
        "DAY",
        "HOUR",
        "JUMBO_FIELDS_MAX_SIZE",
        "JUMBO_FIELDS_PREFIX",
        "MAX_CONTROL_LENGTH",
        "MAX_DETAILS_LENGTH",
        "MAX_EXECUTION_CONTEXT_LENGTH",
        "MAX_HEARTBEAT_DETAILS_LENGTH",
        "MAX_IDENTITY_LENGTH",
        "MAX_INPUT_LENGTH",
        "MAX_LOG_FIELD",
        "MAX_REASON_LENGTH",
        "MAX_RESULT_LENGTH",
        "MINUTE",
        "SIMPLEFLOW_ENV",
    ),
    "dispatch.by_module": ("ModuleDispatcher",),
    "dispatch.dry_run": ("DryRunDispatcher",),
    "dispatch.dynamic_dispatcher": ("Dispatcher",),
    "dispatch.exceptions": ("DispatchError",),
    "dispatch.from_task_registry": ("RegistryDispatcher",),
    "metrology": ("MetrologyTask", "MetrologyWorkflow", "Step", "StepExecution", "StepIO"),
    "download": ("RemoteBinary", "download_binaries", "with_binaries"),
    "execute": ("format_arguments", "get_name", "program", "python"),
    "format": (
        "JumboTooLargeError",
        "control",
        "decode",
        "details",
        "encode",
        "execution_context",
        "heartbeat_details",
        "identity",
        "input",
        "reason",
        "result",
    ),
    "history": ("History",),
    "local": ("Executor",),
    "local.executor": ("Executor",),
    "log": ("SimpleflowFormatter", "logger"),
    "logging_context": ("get", "reset", "set"),
    "process": ("NamedMixin", "Supervisor", "reset_signal_handlers", "with_state"),
    "settings": ("configure", "print_settings", "put_setting"),
    "settings.base": ("load",),
    "settings.default": ("ACTIVITY_DEFAULT_TASK_LIST",),
    "step": ("Step", "WorkflowStepMixin"),
    "step.constants": ("STEP_ACTIVITY_PARAMS_DEFAULT", "UNKNOWN_CONTEXT"),
    "step.submittable": ("Step",),
    "step.tasks": ("GetStepsDoneTask", "MarkStepDoneTask"),
    "step.utils": ("should_force_step", "should_skip_step", "step_is_forced", "step_will_run"),
    "step.workflow": ("WorkflowStepMixin",),
    "storage": ("get_bucket", "list_keys", "pull", "pull_content", "push", "push_content"),
    "utils": ("format_exc", "full_object_name", "import_from_module", "issubclass_", "json_dumps", "remove_none"),
    "utils.retry": ("constant", "exponential", "with_delay"),
    "marker": ("Marker",),
    "registry": ("Registry", "registry"),
    "signal": ("WaitForSignal",),
    "task": (
        "ActivityTask",
        "CancelTimerTask",
        "ChildWorkflowTask",
        "MarkerTask",
        "NonPythonicActivityTask",
        "SignalTask",
        "Task",
        "TaskFailureContext",
        "TimerTask",
        "WorkflowTask",
        "get_actual_value",
    ),
    "workflow": ("Workflow",),
}


@pytest.mark.parametrize("module", PATHS)
def test_every_name_is_where_programs_look_for_it(module: str) -> None:
    loaded = importlib.import_module(f"simpleflow.{module}")
    assert [name for name in PATHS[module] if not hasattr(loaded, name)] == []


def test_what_the_package_exports_is_there() -> None:
    assert simpleflow.__all__ == ["Activity", "WaitForSignal", "Workflow", "__version__", "logger"]
    for name in simpleflow.__all__:
        assert getattr(simpleflow, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        simpleflow.nothing


def test_importing_the_package_loads_neither_the_engine_nor_clients_of_aws() -> None:
    program = (
        "import sys, simpleflow\n"
        "print(sorted(n for n in ('simpleflow.engine', 'boto3', 'botocore', 'greenlet', 'click') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_an_aggregate_flattens_and_hands_on_what_its_handler_refuses() -> None:
    first, second = ValueError("1"), KeyError("2")
    nested = exceptions.AggregateException([None, exceptions.AggregateException([first, None]), second])
    assert nested.flatten().exceptions == [first, second]
    with pytest.raises(exceptions.AggregateException) as raised:
        nested.flatten().handle(lambda error: isinstance(error, ValueError))
    assert raised.value.exceptions == [second]
    nested.flatten().handle(lambda error: True)


def test_failures_say_what_failed() -> None:
    failed = exceptions.TaskFailed("jobs.parse", "bad row", None)
    assert (failed.name, failed.reason, failed.details) == ("jobs.parse", "bad row", None)
    assert str(failed) == "('jobs.parse', 'bad row', None)"
    late = exceptions.TimeoutError("HEARTBEAT", "300")
    assert (late.timeout_type, late.timeout_value) == ("HEARTBEAT", "300")
