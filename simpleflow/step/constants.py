"""How the activities of steps are scheduled, where ``get_step_activity_params()`` says nothing else."""

from __future__ import annotations

from typing import Any

from simpleflow.constants import HOUR, MINUTE

STEP_ACTIVITY_PARAMS_DEFAULT: dict[str, Any] = {
    "version": "1.0",
    "idempotent": True,
    "raises_on_failure": True,
    "retry": 1,
    "task_priority": 100,
    "schedule_to_start_timeout": 4 * HOUR,
    "start_to_close_timeout": MINUTE,
    "schedule_to_close_timeout": 4 * HOUR + MINUTE,
    "heartbeat_timeout": 3 * MINUTE,
}

#: what a mark says of a task that nobody told where it runs
UNKNOWN_CONTEXT = {"run_id": "unknown", "workflow_id": "unknown", "version": "unknown"}
