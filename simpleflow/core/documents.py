"""Documents that deciders, agents and managers leave for each other in the cluster's blob store.

Each has one writer. Field by field: docs/reference/formats.md. Times are epoch seconds unless said otherwise; money
is in millionths of the cluster's currency, so that sums are exact.
"""

from __future__ import annotations

from typing import Literal

import msgspec

#: where the documents lie below the cluster's blob store
CONTROL_KEY = "control.json"
CLUSTER_KEY = "cluster.json"
DECISIONS_KEY = "decisions.json"
NODES_PREFIX = "nodes/"
DEMAND_PREFIX = "demand/"
LEDGER_PREFIX = "ledger/"
DECIDERS_KEY = "deciders.json"
FORECAST_KEY = "forecast.json"


class After(msgspec.Struct, frozen=True, kw_only=True):
    """What a foreseen task waits for: so many unfinished tasks of one type on one task list."""

    task_list: str
    activity: str
    count: int


class TaskCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many activity tasks of one type on one task list are in one state."""

    task_list: str
    activity: str
    #: scheduled: SWF has the task (queued or running; the nodes know which). foreseen: the program waits to submit it
    state: Literal["scheduled", "foreseen"]
    count: int
    #: what each of these waits for (the most that one of them does); none: nobody can tell
    after: tuple[After, ...] = ()


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one decider knows of one run. Only a newer decision or the run's close replaces it, never absence."""

    run_id: str
    workflow_id: str
    workflow: str
    #: the DecisionTaskStarted event that this row speaks of; the highest one of all deciders' documents holds
    started_event_id: int
    #: when this row last changed
    changed: float
    closed: bool = False
    tasks: tuple[TaskCount, ...] = ()
    #: when a decider first received a task of this run; 0.0: nobody can tell
    begun: float = 0.0
    #: task list of its decisions, where its history was read; '': a decider of the cluster has it
    decision_list: str = ""
    #: why its decider does not decide it; '' when it does
    trouble: str = ""
    #: run id of the run that started it, where its history was read; '': none, or a decider of the cluster has it
    parent: str = ""


class DemandDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``demand/DECIDER.json``: written by one decider."""

    decider: str
    written: float
    runs: tuple[RunRow, ...] = ()


class RunningTask(msgspec.Struct, frozen=True, kw_only=True):
    """One activity task that a worker works on, as the status channel shows it."""

    #: RUN_ID/ACTIVITY_ID
    id: str
    started: float
    #: seconds; None where the task has no such timeout
    start_to_close: float | None = None
    #: name of its type; '' where the worker does not say
    activity: str = ""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of one type that a worker has completed since it began, and the seconds that they took together."""

    activity: str
    count: int
    seconds: float
    #: the longest of them
    longest: float = 0.0


class ListStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One (profile, task list) pair on one node: the worker of that list."""

    task_list: str
    slots: int
    polling: bool = False
    running: tuple[RunningTask, ...] = ()
    #: completed ones by type, the most frequent types; counted anew when the worker is started again
    finished: tuple[Finished, ...] = ()


class NodeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``nodes/ID.json``: written by the agent of that node."""

    node: str
    profile: str
    attempt: str
    state: Literal["booting", "working", "draining", "acknowledged", "ended"]
    booted: float
    written: float
    #: highest generation of the drain mark that the agent obeys; 0: none
    generation: int = 0
    #: moment at which the provider takes the machine away (spot), None without a notice
    deadline: float | None = None
    #: when a worker of this node first polled
    first_polled: float | None = None
    idle_since: float | None = None
    #: 'ok', or what is wrong in words
    health: str = "ok"
    task_lists: tuple[ListStatus, ...] = ()
    #: newest intervals in which a task ran, [from, to]; the last one is open while to is null
    busy: tuple[tuple[float, float | None], ...] = ()
    #: why the node drains or ended
    reason: str = ""
    #: of what this machine is made (NodeSetup.version)
    version: str = ""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts. Avoids waste only: safety rests on If-Match and on attempts."""

    holder: str
    epoch: int
    renewed: float


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A launch or a termination that is about to happen, happens, or may have happened."""

    #: the attempt of a launch; ``terminate-INSTANCE`` of a termination
    id: str
    kind: Literal["launch", "terminate"]
    creator: str
    profile: str
    #: the call is not sent after this moment
    not_after: float
    #: the how-manieth launch of this cluster it is (Control.launched); 0 for terminations
    order: int = 0
    #: machines asked for, less those that already have a row
    units: int = 0
    #: machines of this launch that got a row while the rest stayed open
    found: tuple[str, ...] = ()
    instance: str = ""
    #: price of one machine per hour, and of all of them to the end of what is committed with the launch
    price: int = 0
    worst: int = 0
    reason: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One machine that exists, or may exist."""

    instance: str
    profile: str
    attempt: str
    #: per hour
    price: int
    since: float
    #: the money for this machine is committed to this moment; extended before it is reached
    until: float
    #: generation of the drain mark that holds, None when it works
    drain: int | None = None
    #: highest generation ever used for it
    generation: int = 0
    #: when the row's drain began
    draining_since: float | None = None
    reason: str = ""
    #: that of its launch's intent
    order: int = 0
    #: the breaker has counted it: it did not work, or does not any more
    counted: bool = False
    #: a person asked for its drain (`sfnodes drain`): the mark is not taken back
    asked: bool = False
    #: the mark was set while it booted: it is ended at once unless its document is there (control.end_cancelled)
    cancelled: bool = False
    #: it was ended while its provider prepared it, so that it is not billed
    never_ran: bool = False
    #: last moment by which the provider may still hide the machine from its lists (end of its attempt's life)
    hidden_until: float = 0.0


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What closed rows cost inside the current window of one kind (``hour``, ``day``, ``month``)."""

    window: Literal["hour", "day", "month"]
    #: '2026-11-24T11', '2026-11-24' or '2026-11'
    period: str
    amount: int


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of one profile and image in a row that never worked, or do not any more, each proved."""

    profile: str
    image: str
    count: int
    last_log: str = ""
    #: the launches (Row.order) that they came from
    orders: tuple[int, ...] = ()
    #: one of them had polled before it went sick
    stopped: bool = False


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Why runs wait for something that no pass of the manager brings."""

    reason: str
    #: runs with scheduled tasks on one of these lists wait for it
    task_lists: tuple[str, ...] = ()
    #: and the runs with these run ids
    runs: tuple[str, ...] = ()


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """``control.json``: replaced only with If-Match, by the manager that holds the lease or takes it."""

    cluster: str
    #: changes with every replacement
    seq: int = 0
    lease: Lease | None = None
    intents: tuple[Intent, ...] = ()
    rows: tuple[Row, ...] = ()
    spent: tuple[Spent, ...] = ()
    failures: tuple[Failures, ...] = ()
    #: what the manager's newest pass could not do, in words; tried again at each pass
    troubles: tuple[str, ...] = ()
    #: for the deciders, which log it for their runs
    waits: tuple[Wait, ...] = ()
    #: machines of the decider group that are too many: each drains its decider and goes
    leaving: tuple[str, ...] = ()
    #: launches that were ever begun. Evidence about launches is ordered by this count, never by anybody's clock
    launched: int = 0
    #: (profile, newest launch that is proved sound): failures of older ones say nothing any more
    sound: tuple[tuple[str, int], ...] = ()
    #: a person has mended what failed (`up`): failures of launches below this one say nothing any more
    mended: int = 0
    version: int = 1


class ClusterDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``cluster.json``: by what managers and deciders work. Written by ``up``, read by them at each pass."""

    cluster: str
    written: float
    #: the cluster file's text (JSON is YAML), paths resolved
    file: str
    #: names the code that machines are to run; '' where nobody knows
    code: str = ""
    #: of what each profile's machines, and under '' the deciders', are made; none: not looked at
    versions: dict[str, str] = {}


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``ledger/INSTANCE.json``: a closed row and what it cost; written by the manager before the row closes."""

    instance: str
    profile: str
    attempt: str
    price: int
    since: float
    ended: float
    cost: int
    draining_since: float | None = None
    reason: str = ""
    #: that of its row
    never_ran: bool = False


class DeciderBills(msgspec.Struct, frozen=True, kw_only=True):
    """``deciders.json``: machines of deciders (ec2) whose group is gone; written by ``down``."""

    machines: tuple[LedgerEntry, ...] = ()


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the run time of one activity type."""

    #: observations that count
    count: int
    mean: float
    longest: float = 0.0
    #: when the newest one was made
    seen: float = 0.0


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """``forecast.json``: what managers have learnt; written by the one that holds the lease. Nothing depends on it."""

    cluster: str
    written: float
    #: by activity type
    runtimes: dict[str, Runtime] = {}
    #: seconds from launch to first poll, by profile
    boots: dict[str, float] = {}
    #: [when, cost] of machines that ended while runs that are still open were going on
    ended: tuple[tuple[float, int], ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a manager decided, and why."""

    at: float
    #: note: something that was wanted and not done
    kind: Literal["launch", "keep", "drain", "unmark", "cancel", "terminate", "note"]
    profile: str = ""
    #: that of a launch; a machine's row names it too
    attempt: str = ""
    #: machines of a launch, or machines that were kept for this reason
    units: int = 0
    #: the machines themselves, 20 at most
    instances: tuple[str, ...] = ()
    reason: str


class DecisionsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``decisions.json``: the newest decisions, oldest first; written by the manager that holds the lease."""

    cluster: str
    decisions: tuple[Decision, ...] = ()


class NodeSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent must know at boot: a file written by the provider (process) or by user data (ec2)."""

    cluster: str
    domain: str
    profile: str
    provider: str
    #: BlobStore URL of the documents
    store: str
    #: (task list, slots) served by this profile
    task_lists: tuple[tuple[str, int], ...]
    #: named settings (docs/design/nodes.md, "Constants"), seconds
    times: dict[str, float]
    #: URL of the coordinator; '' for Amazon SWF in the region
    endpoint: str = ""
    region: str = ""
    #: prefixes of modules whose activities may be dispatched; empty: all
    modules: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    #: folder in which workers run; '' for the agent's own
    directory: str = ""
    #: file lock whose release means that the machine's owner is gone; '' where machines end by themselves
    lifeline: str = ""
    #: of what the machine is made, settings and code: one whose version is not the published one drains
    version: str = ""
    #: of decider machines: the cluster file's text (JSON is YAML); their agent keeps a decider and a manager
    cluster_file: str = ""
