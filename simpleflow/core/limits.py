"""Every number that Amazon SWF, or this project, limits. Nowhere else in the code are they written.

Sources: the service model (api version 2012-01-25) and the quota page of the SWF developer guide.
"""

from __future__ import annotations

#: characters of Data fields: input, result, details, control, execution context
DATA = 32_768
#: characters of heartbeat details
HEARTBEAT_DETAILS = 2_048
#: characters of a failure's or termination's reason
REASON = 256
#: characters of names, ids (activity, workflow, timer, marker, signal) and task lists
NAME = 256
#: characters of a type's version and of run ids
VERSION = 64
#: characters of an identity
IDENTITY = 256
#: characters of a description
DESCRIPTION = 1_024
#: characters of a task token and a page token
TASK_TOKEN = 1_024
PAGE_TOKEN = 2_048
#: tags of an execution, characters of each
TAGS = 5
TAG = 256
#: most events or infos of one page
PAGE_SIZE = 1_000
#: bytes of one request or response
REQUEST_BYTES = 1_000_000
#: bytes that our own responses stay under, leaving room for the envelope and the signature
RESPONSE_BYTES = 963_000
#: decisions of one response (this project's own; AWS documents bytes only)
DECISIONS = 100
#: events of one execution before SWF terminates it
HISTORY_EVENTS = 25_000
#: open activities, timers, children of one execution
OPEN_ACTIVITIES = 1_000
#: activities that an execution opens at first when more than one response's worth are ready, then twice as many each
#: time: a coordinator with a low quota of its own refuses each task beyond it with an event
FIRST_ACTIVITIES = 28
OPEN_TIMERS = 1_000
OPEN_CHILDREN = 1_000
#: open executions, types and domains
OPEN_EXECUTIONS = 100_000
TYPES = 10_000
DOMAINS = 100
#: seconds of the longest duration (one year), of an execution's life too
DURATION_SECONDS = 31_536_000
#: days of the longest retention
RETENTION_DAYS = 90
#: resource tags of a domain
RESOURCE_TAGS = 50
#: pollers of one task list
POLLERS = 1_000
#: seconds that a long poll is held, and that a client waits at least
POLL_SECONDS = 60
POLL_CLIENT_SECONDS = 70
#: hours that a page token lives
PAGE_TOKEN_HOURS = 24
