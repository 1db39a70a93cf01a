"""An emulated AWS account on loopback, for tests and rehearsals: ours where it matters, moto behind.

What it never shows: that AWS accepts a template, quotas, prices, whether a policy suffices, TLS, routes and security
groups in force, delivery times, allocation strategies, timings. See docs/how-to/emulated-aws.md.
"""

from __future__ import annotations

from simpleflow.testing.cloud.cloud import Cloud
from simpleflow.testing.cloud.ec2.instances import Timing
from simpleflow.testing.cloud.ec2.machines import Boot, Command, Machine, ProcessBoot, Running
from simpleflow.testing.cloud.wire.errors import ApiError, CloudError
from simpleflow.testing.cloud.wire.faults import Fault
from simpleflow.testing.cloud.wire.principals import Credentials
from simpleflow.testing.cloud.wire.requests import Call, Principal, Record

__all__ = [
    "ApiError",
    "Boot",
    "Call",
    "Cloud",
    "CloudError",
    "Command",
    "Credentials",
    "Fault",
    "Machine",
    "Principal",
    "ProcessBoot",
    "Record",
    "Running",
    "Timing",
]
