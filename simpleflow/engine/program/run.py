"""The state of one evaluation of ``run()``. Everything that a program does reaches the engine by it."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import greenlet  # type: ignore[import-untyped]  # it ships no types
import msgspec

from simpleflow.core import errors, limits, payloads, text
from simpleflow.engine import contract
from simpleflow.engine.history import copied, fold, identity


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is fixed when an evaluation begins."""

    #: the Workflow class
    cls: Any
    domain: str
    workflow_id: str
    run_id: str
    workflow_name: str
    workflow_version: str
    #: ``run()`` is a coroutine function
    asynchronous: bool
    #: the caller replaces values over a limit by pointers before it sends a response
    offloads: bool
    #: it answers a query: nothing may be submitted
    read_only: bool

    @classmethod
    def of(cls, workflow: Any, task: contract.DecisionTask, *, offloads: bool, read_only: bool) -> Facts:
        return cls(
            cls=workflow,
            domain=task.domain,
            workflow_id=task.workflow_id,
            run_id=task.run_id,
            workflow_name=task.workflow_name,
            workflow_version=task.workflow_version,
            asynchronous=inspect.iscoroutinefunction(workflow.run),
            offloads=offloads,
            read_only=read_only,
        )


class Given:
    """What the execution was started with."""

    __slots__ = ("copied", "extra", "seed", "started")

    def __init__(self, run_id: str) -> None:
        #: attributes of the WorkflowExecutionStarted event
        self.started: Any = None
        #: chance is derived from it: the run id, of a resumed line its first run's
        self.seed = run_id
        #: ``__extra`` of the input
        self.extra: Mapping[str, Any] = {}
        #: what a resumed run takes over
        self.copied = copied.NOTHING


class Reads:
    """What the reads of the program mean for later reads and for the next decision."""

    __slots__ = ("floor", "gave_up", "observed", "only_final", "single_use")

    def __init__(self) -> None:
        #: the newest event that answered a whole-history read: positional reads speak of no earlier one
        self.floor = 0
        #: a whole-history read was answered
        self.observed = False
        #: the read that is made now does not ask whether a task runs
        self.only_final = False
        #: the program raised ExecutionBlocked itself: only a re-run goes on
        self.gave_up = False
        #: something was read that is not followed: the next decision re-runs
        self.single_use = False


class Blobs:
    """Values that lie in blobs: their texts, and what waits for them."""

    __slots__ = ("asking", "missing", "parked", "stopped", "texts")

    def __init__(self) -> None:
        #: by pointer
        self.texts: dict[str, str] = {}
        self.missing: dict[str, None] = {}
        #: the strand that asked, and those that started it, from the inside out
        self.asking: Any = None
        self.stopped: list[Any] = []
        #: what goes on once these blobs are there, without a strand
        self.parked: list[tuple[list[str], Callable[[], object]]] = []

    def have(self, pointers: list[str], then: Callable[[], object]) -> bool:
        """Whether the texts of these blobs are here; if not, ``then`` is called once they are."""
        if all(pointer in self.texts for pointer in pointers):
            return True
        self.parked.append((pointers, then))
        return False


class Notes:
    """Sentences for the log of a decision."""

    __slots__ = ("given", "sentences", "warned")

    def __init__(self) -> None:
        self.sentences: list[str] = []
        #: advice that was given before, in the life of this evaluation
        self.given: dict[str, None] = {}
        #: the diff of a divergence in spite of which the run goes on
        self.warned: str | None = None

    def advise(self, sentence: str) -> None:
        """Have a sentence logged with this decision, once in the life of this evaluation."""
        if sentence not in self.given:
            self.given[sentence] = None
            self.sentences.append(sentence)


class Calls:
    """Calls that others than their futures ask for."""

    __slots__ = ("children", "local", "local_results", "markers", "patches", "shared", "timer_counts", "timers")

    def __init__(self) -> None:
        #: tasks whose id is their identity, by kind and id
        self.shared: dict[tuple[str, str], Any] = {}
        #: child workflows that are open, by submission number
        self.children: dict[int, Any] = {}
        #: timers that are open, by id, and how many of each id there were
        self.timers: dict[str, Any] = {}
        self.timer_counts: dict[str, int] = {}
        #: by name and details
        self.markers: dict[tuple[str, str], Any] = {}
        self.patches: dict[str, None] = {}
        #: local activities that are open, and how others ended, by key
        self.local: dict[str, Any] = {}
        self.local_results: dict[str, contract.LocalResult] = {}


class Run:
    """The state of one evaluation.

    What lower modules need of higher ones is abstract here, and filled in by ``evaluation.Evaluation``.
    """

    __slots__ = (
        "_seq",
        "blobs",
        "book",
        "calls",
        "current",
        "dead",
        "decode",
        "demand",
        "encode",
        "facts",
        "given",
        "hooks",
        "hub",
        "instance",
        "main",
        "notes",
        "ordinals",
        "outbox",
        "outcome",
        "payloads",
        "plans",
        "position",
        "reads",
        "ready",
        "scopes",
        "signals",
        "strands",
        "strict",
        "submitted",
        "task",
        "unread",
    )

    def __init__(
        self, facts: Facts, task: contract.DecisionTask, coder: payloads.Payloads, *, outbox: Any, strict: Any
    ) -> None:
        self.facts = facts
        self.given = Given(facts.run_id)
        self.task = task
        self.payloads = coder
        self.encode, self.decode = coder.encode, coder.decode
        self.book = fold.Book()
        self.ordinals = identity.Ordinals()
        #: submissions that were not sent yet, and what this run is told by signals
        self.outbox = outbox
        self.signals: Any = None
        self.hooks: Any = None
        #: counts of tasks by task list and type
        self.demand: Any = None
        self.calls = Calls()
        self.blobs = Blobs()
        self.notes = Notes()
        self.reads = Reads()
        #: what runs next, in order
        self.ready: deque[Callable[[], object]] = deque()
        #: exceptions that nobody has read, in order; by identity, for a program's own may not be hashable
        self.unread: dict[int, BaseException] = {}
        #: what each activity needs at each submission, looked up once; by id, for copies of one are equal
        self.plans: dict[int, Any] = {}
        #: the event delivered last
        self.position = 0
        self.dead = False
        #: a strict.Guard, None when run() is not watched
        self.strict = strict
        #: the strand that runs now, all that have not ended, and the one of run() itself
        self.current: Any = None
        self.strands: dict[Any, None] = {}
        self.main: Any = None
        #: the greenlet that feeds it
        self.hub: Any = None
        #: a scopes.Scopes, once the program has opened a cancellation scope
        self.scopes: Any = None
        #: the Workflow, and how its run() ended (a contract.Outcome): None while it runs or is blocked
        self.instance: Any = None
        self.outcome: Any = None
        #: what a complete replay submitted, for the diff; None once it was compared
        self.submitted: list[Any] | None = []
        self._seq = 0

    # -- what higher modules do

    def spawn(
        self,
        branch: identity.Branch,
        function: Callable[[], Any],
        future: Any,
        scope: Any = None,
        *,
        barred: bool = False,
    ) -> Any:
        """Make a strand; whoever queues its ``resume`` starts it."""
        raise NotImplementedError

    def strand_ended(self, strand: Any, value: Any, error: BaseException | None) -> None:
        """Settle the future of a strand, or end the run with that of ``run()``."""
        raise NotImplementedError

    def waiting_for(self, waited: tuple[Any, ...], count: int) -> Any:
        """Subscribe the current strand to these futures: it goes on once ``count`` of them are settled."""
        raise NotImplementedError

    def block_on(self, future: Any) -> None:
        """Block the current strand until the future is settled."""
        raise NotImplementedError

    def call_of(self, record: Any, future: Any) -> Any:
        """Return the call behind a future that was made for a record alone."""
        raise NotImplementedError

    def task_failed(self, call: Any, event: Any, error: BaseException) -> None:
        """Ask ``on_task_failure`` what becomes of a failed task."""
        raise NotImplementedError

    # -- declarations

    def declared(self, name: str, default: Any = None) -> Any:
        """Return what the Workflow class declares; of a property its value for this instance, once there is one."""
        value = getattr(self.facts.cls, name, default)
        if hasattr(type(value), "__get__"):
            return default if self.instance is None else getattr(self.instance, name, default)
        return value

    # -- life

    def die(self) -> NoReturn:
        """Raise GreenletExit in the strand of a dead program."""
        strand = current()
        if strand is not None:
            strand.die()
        raise greenlet.GreenletExit

    def check_alive(self) -> None:
        """Every call of the program comes by here: a dead one must not go on."""
        if self.dead:
            self.die()
        if self.current is None:
            if self.facts.read_only:
                raise errors.Misuse("a query only reads: it cannot submit or cancel")
            raise errors.Misuse("nothing can be submitted outside run() and its callbacks")

    def end(self, outcome: contract.Outcome) -> NoReturn:
        """Close the execution; the strand that calls never goes on."""
        self.outcome = outcome
        assert self.current is not None
        while True:
            self.current.block(None)

    @property
    def branch(self) -> identity.Branch:
        branch: identity.Branch = (self.main if self.current is None else self.current).branch
        return branch

    # -- values

    def value_of(self, encoded: str) -> Any:
        """Return the value of a result text; a jumbo value's text is asked of the caller first."""
        if encoded.startswith(identity.POINTER):
            encoded = self.load(encoded)
        return self.payloads.decode(encoded)

    def load(self, pointer: str) -> str:
        """Return the text of a blob; the current strand stops until the caller has brought it."""
        blobs = self.blobs
        while pointer not in blobs.texts:
            if self.dead:
                self.die()
            strand = self.current
            if strand is None:
                if self.facts.read_only:
                    raise contract.NeedBlob(pointer)
                raise errors.Misuse(f"{pointer!r} was not fetched: read it in run() first")
            blobs.missing[pointer] = None
            blobs.asking = strand
            strand.fetch()
        return blobs.texts[pointer]

    def check_length(self, field: str, value: str, limit: int, of: str) -> None:
        """Raise ValueTooLong for a value that SWF does not take and nobody puts into a blob."""
        if len(value) > limit and not (self.facts.offloads and field in ("input", "result", "details")):
            raise errors.ValueTooLong(
                f"{field} of {of} holds {len(value)} characters, over SWF's limit of {limit}: pass less, or set "
                "SIMPLEFLOW_JUMBO_FIELDS_BUCKET to a bucket (or file:///FOLDER) where such values go"
            )

    # -- positional reads

    def place(self) -> int:
        return self.book.decisions.at(max(self.position, self.reads.floor))

    def started_as_of(self) -> int:
        """The DecisionTaskStarted event that positional reads speak of."""
        return self.book.decisions.started[self.place()]

    def completed_as_of(self) -> int:
        return self.book.decisions.completed[self.place()]

    def timestamp_as_of(self) -> float:
        return self.book.decisions.timestamps[self.place()]

    def answering(self) -> bool:
        """Whether this position belongs to the decision that is being answered now."""
        return self.completed_as_of() == fold.NOW

    def raise_floor(self, event_id: int) -> None:
        """A whole-history read was answered by this settlement."""
        if event_id > self.position:
            self.reads.floor = max(self.reads.floor, event_id)

    # -- submissions

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def note(self, call: Any) -> None:
        if self.submitted is not None:
            self.submitted.append(call)

    def origin(self) -> int:
        """Return a number for what is made now; ``barred`` tells by it later whether that is a clean-up."""
        seq = self.next_seq()
        return seq if self.scopes is None else int(self.scopes.origin(self.current, seq))

    def barred(self, origin: int) -> bool:
        """Whether what a callback or group of this origin submits now may not be sent: a cancel was requested."""
        return self.scopes is not None and bool(self.scopes.barred_by(origin))


def check_name(field: str, name: object) -> str:
    """Return a name or id as it is sent. Raises Misuse for an empty one, ValueTooLong for a long one."""
    given = text.safe(name)
    if not given:
        raise errors.Misuse(f"{field} is empty: give it 1 to {limits.NAME} characters")
    if len(given) > limits.NAME:
        raise errors.ValueTooLong(
            f"{field} holds {len(given)} characters, over SWF's limit of {limits.NAME}: choose a shorter one "
            f"than {text.shown(given)}"
        )
    return given


def current() -> Any:
    """Return the strand that is running; None outside an evaluation."""
    return getattr(greenlet.getcurrent(), "strand", None)
