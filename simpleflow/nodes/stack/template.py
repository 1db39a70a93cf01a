"""What ``sfnodes init`` writes: a cluster file, or the folders of a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from simpleflow import _version
from simpleflow.core import errors

EXAMPLE = """\
# A cluster: which machines run which task lists. `sfnodes validate` checks this file, `sfnodes up` brings it up.
cluster: {name}
provider: process            # nodes are processes of this machine; ec2 and ssh bring real ones

deciders:
  min: 0                     # none while nothing is open
  max: 1
  workflows: []              # [package.module.Class]; none listed: loaded when a task names them

profiles:                    # kinds of machines
  small:
    billing: {{period: 1, minimum: 60, price: 0.05}}     # seconds, seconds, per hour
  large:
    billing: {{period: 3600, minimum: 3600, price: 0.40}}

task_lists:                  # which profile serves which task list, and with how many tasks at once
  light: {{profile: small, slots: 2, max: 4}}
  heavy: {{profile: large, slots: 1, max: 2}}

currency: USD
budget:                      # hard caps, worst case, checked before every launch
  per_hour: 5
  per_day: 20
"""


def render(name: str) -> str:
    """The text of a new cluster file."""
    return EXAMPLE.format(name=name)


#: folders of a bundle, and what is never copied into one
FOLDERS = ("infra", "provisioning", "ami")
_SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")
VERSION_FILE = "simpleflow-version"


def write_bundle(folder: Path) -> tuple[str, ...]:
    """Copy the packaged infra, provisioning and ami for the user to change; record the version that was copied.

    Raises UsageError when one of them stands there already: nothing of the user's is overwritten.
    """
    taken = [name for name in FOLDERS if (folder / name).exists()]
    if taken:
        raise errors.UsageError(f"{folder} holds {', '.join(taken)} already; name another folder, or remove them first")
    package = Path(__file__).resolve().parents[2]
    for name in FOLDERS:
        shutil.copytree((package / name).resolve(), folder / name, ignore=_SKIPPED)
    (folder / VERSION_FILE).write_text(f"{_version.__version__}\n")
    return FOLDERS
