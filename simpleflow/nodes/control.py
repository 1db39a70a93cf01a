"""control.json: the lease, open intents, a row per machine, the money. Pure steps first, then a thin shell.

Every step takes a document and returns the document that should replace it; the shell replaces it with If-Match, so
that of two managers only one can. Safety rests on that and on attempts being sent at most once, never on the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.core import documents
from simpleflow.core import errors as core_errors
from simpleflow.data.blobs import base as blobs

from . import billing, config, errors
from .providers import base as providers

Control = documents.Control
#: replacements that a living manager may spoil one after the other
_TRIES = 5


# --- lease -----------------------------------------------------------------------------------------------------------


def empty(cluster: str) -> Control:
    """The document of a cluster that nobody manages yet."""
    return Control(cluster=cluster)


def holds(control: Control, holder: str) -> bool:
    """Tell whether this manager holds the lease."""
    return control.lease is not None and control.lease.holder == holder


def take(control: Control, holder: str, now: float) -> Control:
    """Take the lease, or take it over; open intents and rows stay as they are."""
    epoch = 0 if control.lease is None else control.lease.epoch
    return msgspec.structs.replace(control, lease=documents.Lease(holder=holder, epoch=epoch + 1, renewed=now))


def renew(control: Control, now: float) -> Control:
    """Show that the holder lives; ``seq`` changes with the replacement."""
    if control.lease is None:
        raise ValueError("nobody holds the lease of this control document; take it first")
    return msgspec.structs.replace(control, lease=msgspec.structs.replace(control.lease, renewed=now))


def release(control: Control) -> Control:
    """Leave the cluster without a manager."""
    return msgspec.structs.replace(control, lease=None)


# --- launches --------------------------------------------------------------------------------------------------------


def open_intent(control: Control, intent: documents.Intent) -> Control:
    """Write down what is about to be done, before it is; a launch gets its place in the order of launches."""
    if any(each.id == intent.id for each in control.intents):
        return control
    if intent.kind == "launch":
        control = msgspec.structs.replace(control, launched=control.launched + 1)
        intent = msgspec.structs.replace(intent, order=control.launched)
    return msgspec.structs.replace(control, intents=(*control.intents, intent))


def _without_intent(control: Control, intent_id: str) -> Control:
    return msgspec.structs.replace(control, intents=tuple(each for each in control.intents if each.id != intent_id))


def _intent(control: Control, intent_id: str) -> documents.Intent | None:
    return next((each for each in control.intents if each.id == intent_id), None)


def refused(control: Control, intent_id: str) -> Control:
    """Close an intent whose creator got a definite refusal: void."""
    return _without_intent(control, intent_id)


def moment(intent: documents.Intent, times: config.Times) -> float:
    """When a complete list that begins later must show everything that this attempt ever launches."""
    return intent.not_after + times.signature + times.list_lag


def _rows(
    control: Control, intent: documents.Intent, instances: Iterable[providers.Instance], times: config.Times
) -> Control:
    known = {row.instance for row in control.rows}
    known |= set(intent.found)
    new = tuple(
        documents.Row(
            instance=each.id,
            profile=intent.profile,
            attempt=intent.id,
            price=intent.price,
            since=each.launched,
            until=each.launched + times.commit,
            order=intent.order,
            hidden_until=moment(intent, times),
        )
        for each in sorted(instances, key=lambda instance: instance.id)
        if each.id not in known
    )
    return msgspec.structs.replace(control, rows=(*control.rows, *new))


def answered(control: Control, intent_id: str, instances: Iterable[providers.Instance], times: config.Times) -> Control:
    """Close a launch by its creator's answer: a row per machine, the rest void."""
    intent = _intent(control, intent_id)
    if intent is None:
        return control
    return _without_intent(_rows(control, intent, instances, times), intent_id)


def found(control: Control, listing: providers.Listing, times: config.Times) -> Control:
    """Give every listed machine of an open launch its row; the rest stays open: a fleet appears piecemeal."""
    for intent in control.intents:
        if intent.kind != "launch":
            continue
        # A row may have closed since: a terminated machine stays listed for an hour.
        known = {*intent.found, *(row.instance for row in control.rows)}
        new = [each for each in listing.instances if each.attempt == intent.id and each.id not in known]
        if not new:
            continue
        control = _rows(control, intent, new, times)
        left = max(intent.units - len(new), 0)
        if left == 0:
            control = _without_intent(control, intent.id)
        else:
            smaller = msgspec.structs.replace(
                intent,
                units=left,
                worst=intent.worst * left // intent.units,
                found=(*intent.found, *(each.id for each in new)),
            )
            control = msgspec.structs.replace(
                control, intents=tuple(smaller if each.id == intent.id else each for each in control.intents)
            )
    return control


def expire(
    control: Control, listing: providers.Listing, times: config.Times, over: Mapping[str, bool] | None = None
) -> Control:
    """Close launches that a complete list proves void, or spent.

    ``over`` says of attempts whether the provider itself knows that nothing of them can come any more (local
    processes: a file lock); for those no time counts. Call ``found`` with the same listing first.
    """
    for intent in control.intents:
        if intent.kind != "launch":
            continue
        proved = None if over is None else over.get(intent.id)
        if proved is None:
            proved = listing.begun > moment(intent, times)
        if not proved:
            continue
        if over is None and listing.begun >= intent.not_after + times.forget and intent.worst:
            # The provider forgets terminated machines: it may have run and gone unseen.
            control = add_spent(control, dict.fromkeys(billing.WINDOWS, intent.worst), listing.begun)
        control = _without_intent(control, intent.id)
    return control


# --- rows and money --------------------------------------------------------------------------------------------------


def _changed(control: Control, changes: Mapping[str, Mapping[str, object]]) -> Control:
    """Change rows, by instance: one walk over all of them, for a pass may change thousands."""
    if not changes:
        return control
    rows = tuple(
        msgspec.structs.replace(row, **changes[row.instance]) if row.instance in changes else row
        for row in control.rows
    )
    return msgspec.structs.replace(control, rows=rows)


def _change(control: Control, instance: str, **changes: object) -> Control:
    return _changed(control, {instance: changes})


def row_of(control: Control, instance: str) -> documents.Row | None:
    """The row of a machine, None without one."""
    return next((row for row in control.rows if row.instance == instance), None)


def adopt(control: Control, instance: providers.Instance, price: int, now: float, times: config.Times) -> Control:
    """Give a tagged machine without row or intent its row; the caller drains it then."""
    if row_of(control, instance.id) is not None:
        return control
    row = documents.Row(
        instance=instance.id,
        profile=instance.profile,
        attempt=instance.attempt,
        price=price,
        since=instance.launched,
        until=now + times.commit,
        hidden_until=now + times.list_lag,
        reason="orphan: neither row nor intent",
    )
    return msgspec.structs.replace(control, rows=(*control.rows, row))


def extend(control: Control, untils: Mapping[str, float]) -> Control:
    """Commit the money for machines, by instance, to a later moment."""
    return _changed(control, {instance: {"until": until} for instance, until in untils.items()})


def drain(control: Control, instance: str, reason: str, now: float) -> Control:
    """Write ``drain: N`` into a row, N counting up; N names the tag. A row that drains already stays as it is."""
    return drain_all(control, {instance: reason}, now)


def drain_all(control: Control, reasons: Mapping[str, str], now: float) -> Control:
    """Drain many machines, each with its reason."""
    changes: dict[str, Mapping[str, object]] = {}
    for row in control.rows:
        if row.instance in reasons and row.drain is None:
            generation, reason = row.generation + 1, reasons[row.instance]
            changes[row.instance] = {
                "drain": generation,
                "generation": generation,
                "draining_since": now,
                "reason": reason,
            }
    return _changed(control, changes)


def drain_as_asked(control: Control, instance: str, reason: str, now: float) -> Control:
    """The same because a person asked: no manager takes this mark back."""
    return _change(drain(control, instance, reason, now), instance, asked=True)


def count(control: Control, instance: str) -> Control:
    """Note that the breaker has counted a machine: once, whichever manager looks next."""
    return _change(control, instance, counted=True)


def undrain(control: Control, instance: str, generation: int) -> Control:
    """Take the mark of this generation back, which is never used again; not that of a machine that is being ended."""
    row = row_of(control, instance)
    if row is None or row.drain != generation or _intent(control, f"terminate-{instance}") is not None:
        return control
    return _change(control, instance, drain=None, draining_since=None, reason="", cancelled=False)


def terminate(control: Control, reasons: Mapping[str, str], creator: str, not_after: float) -> Control:
    """Open terminations, by instance; a node with an open one is never counted again."""
    rows = {row.instance: row for row in control.rows if row.instance in reasons}
    known = {intent.id for intent in control.intents}
    opened = tuple(
        documents.Intent(
            id=f"terminate-{instance}",
            kind="terminate",
            creator=creator,
            profile=rows[instance].profile if instance in rows else "",
            not_after=not_after,
            instance=instance,
            reason=reason,
        )
        for instance, reason in reasons.items()
        if f"terminate-{instance}" not in known
    )
    control = _changed(control, {name: {"reason": reasons[name]} for name, row in rows.items() if not row.reason})
    return msgspec.structs.replace(control, intents=(*control.intents, *opened))


def closable(rows: Iterable[documents.Row], listing: providers.Listing) -> tuple[documents.Row, ...]:
    """The rows that may close: seen terminated, or absent from a complete list begun after their moment."""
    states = {each.id: each.state for each in listing.instances}
    return tuple(
        row
        for row in rows
        if (states[row.instance] == "terminated" if row.instance in states else listing.begun > row.hidden_until)
    )


def add_spent(control: Control, amounts: Mapping[billing.Window, int], now: float) -> Control:
    """Add to the windows around ``now``; windows that are over are forgotten."""
    spent = []
    for window in billing.WINDOWS:
        period = billing.period_key(window, now)
        before = sum(each.amount for each in control.spent if each.window == window and each.period == period)
        spent.append(documents.Spent(window=window, period=period, amount=before + amounts.get(window, 0)))
    return msgspec.structs.replace(control, spent=tuple(spent))


def close_row(control: Control, instance: str, terms: billing.Terms, ended: float, now: float) -> Control:
    """Close one row (close_rows)."""
    return close_rows(control, {instance: (terms, ended)}, now)


def close_rows(control: Control, ends: Mapping[str, tuple[billing.Terms, float]], now: float) -> Control:
    """Close rows in the same replacement that adds their cost to what is spent; their terminations close with them.

    ``ends`` gives for each instance its terms and when it ended.
    """
    closed = {row.instance: row for row in control.rows if row.instance in ends}
    if not closed:
        return control
    amounts: dict[billing.Window, int] = dict.fromkeys(billing.WINDOWS, 0)
    for name, row in closed.items():
        terms, ended = ends[name]
        if row.never_ran:
            continue
        for window in billing.WINDOWS:
            amounts[window] += billing.cost_in_window(terms, row.price, row.since, ended, window, now)
    control = add_spent(control, amounts, now)
    terminations = {f"terminate-{name}" for name in closed}
    return msgspec.structs.replace(
        control,
        rows=tuple(row for row in control.rows if row.instance not in closed),
        intents=tuple(each for each in control.intents if each.id not in terminations),
    )


def decoded(content: bytes, url: str) -> Control:
    """Read control.json; raises NodesError for what is not one."""
    try:
        return msgspec.json.decode(content, type=Control)
    except msgspec.DecodeError as error:
        raise errors.NodesError(
            f"{documents.CONTROL_KEY} of {url} cannot be read ({error}), so nothing is launched or ended: put back a "
            "copy of it, or end every machine, delete it, and `sfnodes up`"
        ) from error


def require_own(key: str, found: str, cluster: str, url: str) -> None:
    """Raise NodesError when a document belongs to another cluster."""
    if found != cluster:
        raise errors.NodesError(
            f"{key} of {url} belongs to cluster '{found}', not to '{cluster}': two clusters cannot share one store. "
            f"Nothing of it was changed; write another one (store: {url.rstrip('/')}/{cluster}), or the cluster's "
            "right name"
        )


# --- the shell -------------------------------------------------------------------------------------------------------


class ControlFile:
    """control.json of one cluster, as one manager (or reader) sees it. Not thread safe."""

    def __init__(self, store: blobs.BlobStore, cluster: str, holder: str, clock: clocks.Clock) -> None:
        self.store = store
        self._cluster = cluster
        self.holder = holder
        self._clock = clock
        self._etag: str | None = None
        self._known: Control | None = None
        #: the last ``seq`` that was read, and when (monotonic) it was first seen
        self._seen: tuple[int, float] | None = None

    @property
    def known(self) -> Control:
        """What was read or written last; raises ControlLost when that was forgotten."""
        if self._known is None:
            raise errors.ControlLost(f"control.json of '{self._cluster}' is not known any more; read it again")
        return self._known

    def forget(self) -> None:
        """Drop what is known: the next call must be ``read``."""
        self._known = None
        self._etag = None

    def read(self) -> Control:
        """Read the document; one that does not exist is an empty one.

        Raises ControlLost when the store fails, NodesError for the document of another cluster.
        """
        self.forget()
        try:
            got = self.store.get(documents.CONTROL_KEY)
        except core_errors.SimpleflowError as error:
            raise errors.ControlLost(f"control.json of '{self._cluster}' could not be read: {error}") from error
        if got is None:
            control = empty(self._cluster)
        else:
            control = decoded(got[0], self.store.url)
            require_own(documents.CONTROL_KEY, control.cluster, self._cluster, self.store.url)
            self._etag = got[1]
        self._known = control
        if self._seen is None or self._seen[0] != control.seq:
            self._seen = (control.seq, self._clock.monotonic())
        return control

    def replace(self, control: Control, *, again: bool = False) -> Control:
        """Replace what was read. Raises ControlLost, and forgets, when someone else did or no answer came.

        What is the same is not written, unless ``again``: then everybody who read before must read anew.
        """
        known = self.known
        if control == known and not again:
            return known
        new = msgspec.structs.replace(control, seq=known.seq + 1)
        content = msgspec.json.encode(new)
        etag = self._etag
        self.forget()
        try:
            if etag is None:
                self._etag = self.store.put(documents.CONTROL_KEY, content, if_absent=True)
            else:
                self._etag = self.store.put(documents.CONTROL_KEY, content, if_match=etag)
        except core_errors.SimpleflowError as error:
            raise errors.ControlLost(
                f"control.json of '{self._cluster}' was not replaced: {error}; it is read again at the next pass"
            ) from error
        self._known = new
        self._seen = (new.seq, self._clock.monotonic())
        return new

    def change(self, step: Callable[[Control], Control], *, again: bool = False) -> Control:
        """Read and replace, anew while a living manager writes in between; raises ControlLost after several tries.

        For commands: a manager that loses looks at the world again first.
        """
        for left in reversed(range(_TRIES)):
            try:
                return self.replace(step(self.read()), again=again)
            except errors.ControlLost:
                if not left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def unchanged(self) -> float:
        """Seconds, on our own monotonic clock, since the document was first seen as it is now."""
        return 0.0 if self._seen is None else self._clock.monotonic() - self._seen[1]

    def may_take(self, times: config.Times) -> bool:
        """Tell whether the lease is free, ours, or unchanged for a lease time on our own monotonic clock."""
        control = self.known
        if control.lease is None or control.lease.holder == self.holder:
            return True
        return self.unchanged() >= times.lease
