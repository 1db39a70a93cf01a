"""Every setting with its default. An environment variable of the same name, or the module that
``SIMPLEFLOW_SETTINGS_MODULE`` names, replaces it; the environment wins."""

from __future__ import annotations

from typing import Any

from simpleflow import constants
from simpleflow.core import limits

WORKFLOW_DEFAULT_TASK_LIST = "default"
#: of a Workflow class that has no ``version``
WORKFLOW_DEFAULT_VERSION = "default"
#: seconds, SWF's longest; 0.36 had constants.HOUR
WORKFLOW_DEFAULT_EXECUTION_TIME = limits.DURATION_SECONDS
WORKFLOW_DEFAULT_DECISION_TASK_TIMEOUT = 5 * constants.MINUTE

ACTIVITY_DEFAULT_TASK_LIST = "default"
ACTIVITY_DEFAULT_VERSION = "default"
#: seconds
ACTIVITY_DEFAULT_TIMEOUT = 5 * constants.MINUTE
#: these two follow ACTIVITY_DEFAULT_TIMEOUT where nobody sets them
ACTIVITY_START_TO_CLOSE_TIMEOUT: int | str = ACTIVITY_DEFAULT_TIMEOUT
ACTIVITY_HEARTBEAT_TIMEOUT: int | str = ACTIVITY_DEFAULT_TIMEOUT
#: 0.36 had 300 s for both: that ended what queued for longer, or waited for a machine to boot
ACTIVITY_SCHEDULE_TO_CLOSE_TIMEOUT: int | str = "NONE"
ACTIVITY_SCHEDULE_TO_START_TIMEOUT: int | str = "NONE"
#: seconds between SIGTERM and SIGKILL when a task's processes are ended
ACTIVITY_SIGTERM_WAIT_SEC = 3

SIMPLEFLOW_S3_HOST = "s3.amazonaws.com"
SIMPLEFLOW_S3_SSE = False
STEP_BUCKET = "step_bucket"
METROLOGY_BUCKET = "metrology_bucket"
METROLOGY_PATH_PREFIX: str | None = None

#: a dictionary for ``logging.config.dictConfig``; None: what ``simpleflow.log.configure`` does
LOGGING: dict[str, Any] | None = None
#: HOST:PORT
SIMPLEFLOW_SYSLOG_TARGET: str | None = None
LOG_LEVEL = "INFO"
#: text, or json: one object a line
SIMPLEFLOW_LOG_FORMAT = "text"
#: 'package.module.NAME,...' of simpleflow.core.interceptors.Interceptor, mounted in clients, deciders and workers
SIMPLEFLOW_INTERCEPTORS: str | None = None

SIMPLEFLOW_ENABLE_DISK_CACHE = False
#: where programs that tasks need lie; it must be a folder of the user's own
SIMPLEFLOW_BINARIES_DIRECTORY = "/tmp/simpleflow-binaries"  # noqa: S108 - used only while nobody else may write to it

SWF_DOMAIN: str | None = None
SIMPLEFLOW_FORMAT: str | None = None
#: JSON object that replaces the identity of deciders and workers
SIMPLEFLOW_IDENTITY: str | None = None
SIMPLEFLOW_NODE_ID: str | None = None
#: how often commands and clients repeat a call while the service cannot be reached, about a second apart
SWF_CONNECTION_RETRIES = 5
SWF_MAX_OPEN_ACTIVITY_COUNT = 1000
#: BUCKET[/DIR], where values over a limit go
SIMPLEFLOW_JUMBO_FIELDS_BUCKET: str | None = None
#: 'ID:KEY,...', each key 32 bytes in base64: the first encrypts values, all decrypt them
SIMPLEFLOW_ENCRYPTION_KEYS: str | None = None
#: compress values that become smaller by it
SIMPLEFLOW_COMPRESSION = False
#: dotted names of codecs of yours (simpleflow.data.codec.Codec), which values pass first
SIMPLEFLOW_CODECS: str | None = None
#: ``test`` lowers the limits of decisions and open tasks
SIMPLEFLOW_ENV = "production"
SIMPLEFLOW_DISABLE_SETPROCTITLE = False
AWS_ENDPOINT_URL_SWF: str | None = None
AWS_DEFAULT_REGION: str | None = None
#: unix socket of the agent that supervises this worker
SIMPLEFLOW_STATUS_SOCKET: str | None = None
#: where the embedded service keeps its socket, and its database
SIMPLEFLOW_RUNTIME_DIR: str | None = None
SIMPLEFLOW_DATA_DIR: str | None = None
