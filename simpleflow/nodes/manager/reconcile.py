"""One pass of the manager: observe, decide, act, in idempotent steps.

``Reconciler.steps`` is a generator that yields after every effect. After a crash between any two steps, a new manager
goes on from control.json, the provider's list and the documents.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import secrets
from collections.abc import Iterator, Mapping

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.core import text as texts
from simpleflow.data.blobs import base as blobs
from simpleflow.nodes import billing, cancel, config, control, errors, tags
from simpleflow.nodes.policy import decide, guards
from simpleflow.nodes.providers import base as providers

from . import decisions, observe, waits

logger = logging.getLogger(__name__)

#: troubles that stay until the next launch of their profile
_LAUNCH = "launch of "
#: troubles with runs that nobody decides
_RUN = "run "
_MOST_TROUBLES = 20
#: errors after which the next pass tries again: refusals, and no free file, disk, memory or thread (RuntimeError)
LATER = (core_errors.SimpleflowError, OSError, MemoryError, RuntimeError)
_NUMBERS = re.compile(r"[0-9.]+")


class Reconciler:
    """Carries out passes, one at a time, on one thread."""

    def __init__(
        self,
        cluster: config.ClusterConfig,
        file: control.ControlFile,
        provider: providers.NodeProvider,
        store: blobs.BlobStore,
        coordinator: observe.Coordinator,
        clock: clocks.Clock,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        self.cluster = cluster
        self.times = cluster.settings
        self.file = file
        self.observer = observe.Observer(cluster, store, coordinator, clock, versions)
        self._provider = provider
        self._store = store
        self._clock = clock
        #: provider's clock less ours, by its newest listing
        self._skew = 0.0
        #: machines with neither row nor intent, and when (monotonic) they were first seen
        self._orphans: dict[str, float] = {}
        self.plan: decide.Plan = decide.Plan()
        self._decisions = decisions.Log(store, cluster.cluster)
        #: machines that ended in this pass though nobody drained or ended them
        self._unasked: list[decide.Item] = []
        #: notes that were logged last: why something that is wanted is not done
        self._noted: tuple[str, ...] = ()
        #: subject -> why something about it cannot be done now
        self._troubles: dict[str, str] = {}
        #: subject -> the same, of the keeper of deciders
        self.outside: dict[str, str] = {}
        #: the same at the end of the pass before
        self._told: dict[str, str] = {}
        self.leading = False
        #: launch nothing more and drain everything; also end what does not drain
        self.ending = False
        self.hurry = False
        #: `up` was called: forget boot failures at the next pass
        self.resume = False

    def now(self) -> float:
        """The provider's time."""
        return self._clock.now() + self._skew

    def run_pass(self) -> None:
        """Run one pass. Where another manager or the provider is in the way, the next pass tries again."""
        try:
            for _ in self.steps():
                pass
        except LATER as error:
            logger.warning("this pass ends early: %s", error, extra={"action": "pass"})
            self._tell_of_pass(error)

    def _tell_of_pass(self, error: Exception) -> None:
        """Write into control.json why the pass ended early, where that is possible."""
        if isinstance(error, errors.ControlLost) or not self.leading:
            return
        self._troubles["pass"] = f"a pass of the manager ended early: {error}"
        try:
            self._write_troubles()
        except LATER as second:
            logger.warning("nor can it be written down: %s", second, extra={"action": "pass"})

    def _tell_of_undecided(self) -> None:
        """Name the runs that wait for a decider which is not there: they are open, and nothing happens."""
        for run_id, said in self.observer.undecided(self.times.stale / 2).items():
            about = f"{_RUN}{run_id}"
            if self._told.get(about) != said:
                logger.warning("%s", said, extra={"action": "undecided"})
            self._troubles[about] = said

    @contextlib.contextmanager
    def _alone(self, about: str, what: str) -> Iterator[None]:
        """Keep an error of one call from ending the pass: it becomes a note, and the next pass tries again."""
        try:
            yield
        except errors.ControlLost:
            raise
        except LATER as error:
            message = f"{what}: {error}"
            if self._told.get(about) != message:
                logger.warning("%s", message, extra={"action": "trouble"})
            self._troubles[about] = message

    def _write_troubles(self) -> None:
        self._told = dict(self._troubles)
        told = {**self._troubles, **self.outside}
        shown = tuple(told[key] for key in sorted(told))[:_MOST_TROUBLES]
        known = self.file.known
        refused = {key.removeprefix(_LAUNCH): text for key, text in told.items() if key.startswith(_LAUNCH)}
        undecided = {key.removeprefix(_RUN): text for key, text in told.items() if key.startswith(_RUN)}
        stay = (self.observer.nodes.get(row.instance) for row in known.rows if row.drain is None)
        nodes = [each for each in stay if each is not None]
        found = waits.found(self.cluster, self.plan, refused, undecided, self.observer.rows, nodes)
        kept = waits.kept(known.waits, itertools.islice(found, _MOST_TROUBLES))
        self.file.replace(msgspec.structs.replace(known, troubles=shown, waits=kept))

    def look(self) -> decide.Plan:
        """Observe and decide, without acting: `sfnodes plan`."""
        document = self.file.read()
        listing = self._provider.list()
        self.observer.read_documents()
        self.observer.read_runs()
        self.observer.read_pending()
        self.observer.learning.read()
        plan = decide.decide(self.observer.snapshot(document, listing, self.now(), ending=False))
        # What its manager could not do last, and what no manager can do anything about.
        more = dict.fromkeys((*document.troubles, *self.observer.undecided(0.0).values()))
        return msgspec.structs.replace(plan, notes=(*plan.notes, *(each for each in more if each not in plan.notes)))

    def steps(self) -> Iterator[str]:
        """Yield the name of each step after it was done."""
        self._troubles = {key: text for key, text in self._troubles.items() if key.startswith(_LAUNCH)}
        document = self.file.read()
        yield "read"
        self.leading = control.holds(document, self.file.holder)
        if not self.leading and not self.file.may_take(self.times):
            yield "contender"
            return
        if self.leading and self.file.unchanged() >= self.times.lease_renew:
            self.file.replace(control.renew(document, self.now()))
            yield "renew"
        before = self._clock.now()
        listing = self._provider.list()
        self._skew = listing.begun - before
        yield "list"
        if not self.leading:
            # Only once the provider's time is known: the lease names a moment of that clock.
            self.file.replace(control.take(document, self.file.holder, self.now()))
            self.leading = True
            yield "lease"
        self.observer.read_documents()
        self.observer.look(self.file.known, self.now())
        yield "documents"
        yield from self._account(listing)
        self.observer.read_runs()
        self.observer.read_pending()
        self.observer.learn(self.now())
        self.observer.forget_old()
        self._tell_of_undecided()
        yield "observe"
        snapshot = self.observer.snapshot(self.file.known, listing, self.now(), ending=self.ending)
        self.plan = decide.decide(snapshot)
        yield "decide"
        yield from self._act(listing)
        self._write_troubles()
        yield "troubles"

    # --- what the list shows, in control.json -------------------------------------------------------------------------

    def _account(self, listing: providers.Listing) -> Iterator[str]:
        document = control.found(self.file.known, listing, self.times)
        document = control.expire(document, listing, self.times, self._over(document, listing))
        document = self._adopt(document, listing)
        document = guards.mended(document) if self.resume else self._evidence(document)
        closing = []
        self._unasked = []
        asked = {intent.instance for intent in document.intents}
        for row in control.closable(document.rows, listing):
            if not row.reason and row.instance not in asked:
                reason = self._why_it_ended(row.instance, read=len(self._unasked) < _MOST_TROUBLES)
                row = msgspec.structs.replace(row, reason=reason)
                self._unasked.append(decide.Item(instance=row.instance, profile=row.profile, reason=reason))
            # Its row stays until its ledger entry is written: no cost is forgotten or counted twice.
            with self._alone(row.instance, f"the ledger entry of {row.instance} is not written, its row stays open"):
                self._write_ledger(row)
                closing.append(row)
        for row in closing:
            document = self._count_outcome(document, row, asked=row.drain is not None or row.instance in asked)
        ends = {row.instance: (guards.terms_of(self.cluster, row.profile), self._ended(row)) for row in closing}
        document = control.close_rows(document, ends, self.now())
        self.file.replace(document)
        self.resume = False
        for row in closing:
            self.observer.closed(row.instance, self._bill(row, ends[row.instance][1]), self.now())
        yield "account"

    def _over(self, document: documents.Control, listing: providers.Listing) -> dict[str, bool] | None:
        """Ask a provider with attempt locks which open launches without a listed machine are over."""
        if not isinstance(self._provider, providers.AttemptLocks):
            return None
        shown = {each.attempt for each in listing.instances}
        over = {}
        for intent in document.intents:
            if intent.kind == "launch":
                # Asked after the listing: a launch that ended in between shows at the next pass.
                over[intent.id] = intent.id not in shown and self._provider.attempt_over(intent.id)
        if any(over.values()):
            later = {each.attempt for each in self._provider.list().instances}
            over = {attempt: proved and attempt not in later for attempt, proved in over.items()}
        return over

    def _adopt(self, document: documents.Control, listing: providers.Listing) -> documents.Control:
        """Give orphans a row, at the second look, and drain them."""
        rows = {row.instance for row in document.rows}
        intents = {intent.id for intent in document.intents}
        monotonic = self._clock.monotonic()
        seen: dict[str, float] = {}
        for each in listing.instances:
            if each.state == "terminated" or each.id in rows or each.attempt in intents:
                continue
            first = seen[each.id] = self._orphans.get(each.id, monotonic)
            if monotonic - first >= self.times.orphan:
                price = observe.prices(self.cluster).get(each.profile, 0)
                document = control.adopt(document, each, price, self.now(), self.times)
                document = control.drain(document, each.id, "orphan: neither row nor intent", self.now())
                del seen[each.id]
        self._orphans = seen
        return document

    def _evidence(self, document: documents.Control) -> documents.Control:
        """Judge launches by living machines: one that has served for long is sound, a sick one counts as a failure."""
        for row in document.rows:
            image = self._image(row.profile)
            sick, _ = self.observer.sightings.sick(row)
            if sick and not row.counted and row.drain is None:
                log = self._diagnose(row.instance)
                logger.error(
                    "machine %s is sick: %s\n%s", row.instance, sick, texts.Lines(log), extra={"action": "sick"}
                )
                document = guards.failed(document, row.profile, image, f"{sick}\n{log}", order=row.order, stopped=True)
                document = control.count(document, row.instance)
            elif not row.counted and self.observer.sightings.steady(row):
                document = guards.worked(document, row.profile, image, order=row.order)
        return document

    def _image(self, profile: str) -> str:
        return guards.image_of(self.cluster, profile)

    def _count_outcome(self, document: documents.Control, row: documents.Row, *, asked: bool) -> documents.Control:
        """Count a machine that ended by itself and never worked as a boot failure, whatever its last state was."""
        if row.counted:
            return document
        node, image = self.observer.nodes.get(row.instance), self._image(row.profile)
        if node is not None and node.first_polled is not None:
            # It was drained before it had served for long; it never had a fault, so its launch is sound.
            return guards.worked(document, row.profile, image, order=row.order) if node.health == "ok" else document
        if asked or (node is not None and node.generation):
            # Also where the mark that it obeyed was taken back too late.
            return document
        log = self._diagnose(row.instance)
        logger.error(
            "machine %s booted and never worked:\n%s", row.instance, texts.Lines(log), extra={"action": "boot_failure"}
        )
        return guards.failed(document, row.profile, image, log, order=row.order)

    def _diagnose(self, instance: str) -> str:
        """Return the end of a machine's boot log, or why it cannot be read."""
        try:
            return self._provider.diagnose(instance)
        except LATER as error:
            return f"its log cannot be read: {error}"

    def _why_it_ended(self, instance: str, *, read: bool) -> str:
        """Say of a machine that nobody here drained or ended what is known: its agent's word, else its log's last."""
        node = self.observer.nodes.get(instance)
        if node is not None and node.reason:
            return node.reason
        words = self._diagnose(instance).strip().splitlines() if read else []
        last = f"; last line of its log: {words[-1]}" if words else ""
        return f"ended by itself: nobody drained or ended it{last}"

    def _ended(self, row: documents.Row) -> float:
        """Return when a machine ended, by the provider's clock: as its last document says, else now."""
        node = self.observer.nodes.get(row.instance)
        if node is not None and node.state == "ended":
            return self.now() - self.observer.sightings.heard(row, self.now())
        return self.now()

    def _bill(self, row: documents.Row, ended: float) -> int:
        terms = guards.terms_of(self.cluster, row.profile)
        return 0 if row.never_ran else billing.cost(terms, row.price, ended - row.since)

    def _write_ledger(self, row: documents.Row) -> None:
        ended = self._ended(row)
        entry = documents.LedgerEntry(
            instance=row.instance,
            profile=row.profile,
            attempt=row.attempt,
            price=row.price,
            since=row.since,
            ended=ended,
            cost=self._bill(row, ended),
            draining_since=row.draining_since,
            reason=row.reason,
            never_ran=row.never_ran,
        )
        self._store.put(f"{documents.LEDGER_PREFIX}{row.instance}.json", msgspec.json.encode(entry))

    # --- what the plan says -------------------------------------------------------------------------------------------

    def _act(self, listing: providers.Listing) -> Iterator[str]:
        """Write all intents in one replacement of control.json, then carry them out."""
        plan, document, now = self.plan, self.file.known, self.now()
        document = control.extend(document, {each.instance: each.until for each in plan.extensions})
        document = control.drain_all(document, {item.instance: item.reason for item in plan.drains}, now)
        document = cancel.mark(document, {item.instance: item.reason for item in plan.cancels}, now)
        marks = {row.instance: row.drain for row in document.rows}
        for item in plan.unmarks:
            if (generation := marks.get(item.instance)) is not None:
                document = control.undrain(document, item.instance, generation)
        terminates = list(plan.terminates)
        if self.ending and self.hurry:
            terminates += [
                decide.Item(instance=row.instance, profile=row.profile, reason="down, at once") for row in document.rows
            ]
        for item in terminates:
            if item.instance in plan.boot_failures:
                document = self._boot_failure(document, item)
        reasons: dict[str, str] = {}
        for item in terminates:
            reasons.setdefault(item.instance, item.reason)
        document = control.terminate(document, reasons, self.file.holder, now + self.times.intent)
        # A failure of this very pass may have opened the breaker.
        launches = [
            self._intent(launch, now)
            for launch in plan.launches
            if not self.ending and not guards.paused(self.cluster, document, launch.profile)
        ]
        for intent in launches:
            document = control.open_intent(document, intent)
        self.file.replace(document)
        self._log(plan)
        with self._alone("decisions", "decisions are not written down for `sfnodes why`"):
            self._decisions.note(plan, launches, now, self._unasked)
        yield "intents"
        for intent in launches:
            yield from self._launch(intent)
        yield from self._cancel()
        yield from self._marks(listing)
        yield from self._terminate(listing)

    def _boot_failure(self, document: documents.Control, item: decide.Item) -> documents.Control:
        row = control.row_of(document, item.instance)
        if row is None or row.counted:
            return document
        log = self._diagnose(item.instance)
        document = guards.failed(document, item.profile, self._image(item.profile), log, order=row.order)
        return control.count(document, item.instance)

    def _log(self, plan: decide.Plan) -> None:
        # Counts and amounts change at every pass; the rest of the text does not.
        notes = tuple(_NUMBERS.sub("", note) for note in plan.notes)
        if notes != self._noted:
            self._noted = notes
            for note in plan.notes:
                logger.warning("%s", note, extra={"action": "note"})
        for launch in plan.launches:
            logger.info("launch %d %s: %s", launch.units, launch.profile, launch.reason, extra={"action": "launch"})
        for item in plan.cancels:
            logger.info("booting machine %s cancelled: %s", item.instance, item.reason, extra={"action": "cancel"})
        for name, items in (("drain", plan.drains), ("unmark", plan.unmarks), ("terminate", plan.terminates)):
            for item in items:
                logger.info("%s %s: %s", name, item.instance, item.reason, extra={"action": name})

    def _intent(self, launch: decide.Launch, now: float) -> documents.Intent:
        return documents.Intent(
            id=f"{self.cluster.cluster}-{secrets.token_hex(5)}",
            kind="launch",
            creator=self.file.holder,
            profile=launch.profile,
            not_after=now + self.times.intent,
            units=launch.units,
            price=launch.price,
            worst=launch.worst,
            reason=launch.reason,
        )

    def _launch(self, intent: documents.Intent) -> Iterator[str]:
        spec = providers.LaunchSpec(
            cluster=self.cluster.cluster,
            profile=intent.profile,
            attempt=intent.id,
            units=intent.units,
            not_after=intent.not_after,
            tags=self.cluster.tags,
        )
        about = f"{_LAUNCH}{intent.profile}"
        self._troubles.pop(about, None)
        try:
            launched = self._provider.launch(spec)
        except errors.ProviderRefused as error:
            self._troubles[about] = f"{intent.units} of profile '{intent.profile}' were not launched: {error}"
            logger.warning("launch %s refused: %s", intent.id, error, extra={"action": "launch"})
            yield f"refused {intent.id}"
            self.file.replace(control.refused(self.file.known, intent.id))
        except (errors.ProviderUnclear, errors.ProviderThrottled) as error:
            # No definite answer: the intent stays open until lists show the result. This attempt is not sent again.
            logger.warning("launch %s is unclear: %s", intent.id, error, extra={"action": "launch"})
            yield f"unclear {intent.id}"
            return
        else:
            if launched.refusals and len(launched.instances) < intent.units:
                missing = intent.units - len(launched.instances)
                why = "; ".join(dict.fromkeys(launched.refusals))
                self._troubles[about] = f"{missing} of profile '{intent.profile}' were not launched: {why}"
            for refusal in launched.refusals:
                logger.warning("launch %s: %s", intent.id, refusal, extra={"action": "launch"})
            yield f"launched {intent.id}"
            self.file.replace(control.answered(self.file.known, intent.id, launched.instances, self.times))
        yield f"recorded {intent.id}"

    def _cancel(self) -> Iterator[str]:
        """Open the terminations of cancelled machines without a document; a machine with one drains like any other.

        Their marks are stored: this manager read them in control.json, or was told so. What was read of a machine
        before is of no use here.
        """
        absent: dict[str, int] = {}
        for instance, generation in cancel.waiting(self.file.known).items():
            # A document that was there is there: nobody deletes one of a machine with a row.
            if instance in self.observer.nodes:
                continue
            with self._alone(instance, f"whether the cancelled machine {instance} has begun cannot be read"):
                if self._store.get(f"{documents.NODES_PREFIX}{instance}.json") is None:
                    absent[instance] = generation
            yield f"looked at {instance}"
        if absent:
            not_after = self.now() + self.times.intent
            self.file.replace(cancel.end(self.file.known, absent, self.file.holder, not_after))
            yield "cancelled"

    def _marks(self, listing: providers.Listing) -> Iterator[str]:
        """Set drain marks that the rows demand and the tags lack; remove marks that no row demands."""
        listed = {each.id: each for each in listing.instances if each.state in {"pending", "running"}}
        ending = {intent.instance for intent in self.file.known.intents}
        for row in self.file.known.rows:
            instance = listed.get(row.instance)
            if instance is None or (row.cancelled and row.instance in ending):
                continue
            marked = tags.drain_generation(instance.tags)
            if row.drain is not None and marked < row.drain:
                with self._alone(row.instance, f"machine {row.instance} could not be marked for its drain"):
                    self._provider.mark(row.instance, row.drain)
                yield f"marked {row.instance}"
            elif row.drain is None and marked:
                with self._alone(row.instance, f"the drain mark of machine {row.instance} could not be taken back"):
                    self._provider.unmark(row.instance, marked)
                yield f"unmarked {row.instance}"

    def _terminate(self, listing: providers.Listing) -> Iterator[str]:
        """Carry out open terminations: repeating one does no harm, unlike a launch."""
        gone = {each.id for each in listing.instances if each.state == "terminated"}
        never_ran = []
        for intent in self.file.known.intents:
            if intent.kind == "terminate" and intent.instance not in gone:
                with self._alone(intent.instance, f"machine {intent.instance} could not be ended"):
                    if self._provider.terminate(intent.instance):
                        never_ran.append(intent.instance)
                yield f"terminated {intent.instance}"
        self.file.replace(cancel.never_ran(self.file.known, never_ran))
