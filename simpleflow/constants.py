"""Constants under 0.36's names: durations in seconds, SWF's limits of fields, large values.

``start_to_close_timeout=2 * HOUR`` reads well. The limits live in ``simpleflow.core.limits``.
"""

from __future__ import annotations

import os

from simpleflow.core import limits

SECOND = 1
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

#: ``test`` lowers the limits of one decision
SIMPLEFLOW_ENV = os.environ.get("SIMPLEFLOW_ENV", "production")

#: characters of a field
MAX_REASON_LENGTH = limits.REASON
MAX_IDENTITY_LENGTH = limits.IDENTITY
MAX_HEARTBEAT_DETAILS_LENGTH = limits.HEARTBEAT_DETAILS
MAX_DETAILS_LENGTH = limits.DATA
MAX_EXECUTION_CONTEXT_LENGTH = limits.DATA
MAX_INPUT_LENGTH = limits.DATA
MAX_RESULT_LENGTH = limits.DATA
MAX_CONTROL_LENGTH = limits.DATA
#: characters of a value that the log shows
MAX_LOG_FIELD = 500 * 1024

#: how a pointer to a large value begins, and the bytes of the largest value that is taken
JUMBO_FIELDS_PREFIX = "simpleflow+s3://"
JUMBO_FIELDS_MAX_SIZE = 5 * 1024**2

#: where large values are kept for three hours, when SIMPLEFLOW_ENABLE_DISK_CACHE is set
CACHE_DIR = os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "simpleflow"
)
