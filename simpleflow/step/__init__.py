"""Steps: parts of a workflow that are not done again in a later run of it.

workflow.py     WorkflowStepMixin: where the marks lie, what is forced or skipped
submittable.py  Step: what is submitted
tasks.py        the activities that list and set the marks (objects in S3)
utils.py        which step runs
constants.py    how the activities are scheduled
"""

from __future__ import annotations

from .submittable import Step
from .workflow import WorkflowStepMixin

__all__ = ["Step", "WorkflowStepMixin"]
