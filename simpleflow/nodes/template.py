"""The cluster file that ``sfnodes init`` writes."""

from __future__ import annotations

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
