"""Futures of groups and chains: they go on by callbacks, whatever the program does meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from greenlet import GreenletExit  # type: ignore[import-untyped]  # it ships no types

from simpleflow.core import errors, interrupts, numbers

from .history import identity, records
from .program import futures, run
from .tasks import demand, members


class GroupFuture(futures.Future[list[Any]]):
    """Future of a ``kind`` of members: its result is the list of theirs; what they raise is one AggregateException."""

    kind = "group"

    def __init__(
        self,
        activities: Sequence[Any],
        workflow: Any,
        max_parallel: int | None = None,
        bubbles_exception_on_failure: bool = True,
    ) -> None:
        executor = workflow.executor
        self.local = not hasattr(executor, "book")
        super().__init__(None if self.local else executor, self, False)
        given = members.given(activities, workflow)
        self.workflow = workflow
        self.activities = list(activities)
        self.max_parallel = max_parallel
        #: None: no limit
        self._most = numbers.parallel(f"max_parallel of a {self.kind}", max_parallel)
        self.bubbles_exception_on_failure = bubbles_exception_on_failure
        #: of the members that were submitted, in their order
        self.futures: list[futures.Future[Any]] = []
        self._members = given.members
        #: of this group or of the one around it: True, and the first failure cancels the others; False, and a failure
        #: inside cancels nothing, here or further up
        self._stops = given.raises is True
        self._contains = given.raises is False
        self._branch = identity.Branch()
        self._seen: set[int] = set()
        self._stopped = False
        self._starting: set[int] = set()
        self._scope: Any = None
        self._origin = 0
        #: a member was not sent, or never will be: a cancel request was taken up
        self._withdrawn = False
        self._foreseen: list[list[int] | None] = []
        if self.local:
            self._start_here()
        else:
            self._start()

    # -- life

    def _start(self) -> None:
        """Submit what may go now."""
        evaluation = self._needs_evaluation()
        evaluation.check_alive()
        strand = evaluation.current
        assert strand is not None
        self._scope = strand.scope
        self._origin = evaluation.origin()
        self._branch = strand.branch.step(self.kind)
        self._foreseen = demand.cells(evaluation.demand, self.activities)
        for cell in self._foreseen:
            if cell is not None:
                cell[1] += 1
        outer = strand.branch
        try:
            while len(self.futures) < self._wanted():
                strand.branch = self._branch.child(len(self.futures))
                self._hold(self._members[len(self.futures)](*self._more()))
        finally:
            strand.branch = outer
        self._go_on()

    def _start_here(self) -> None:
        """The same outside an evaluation, where each member runs as it is submitted."""
        while len(self.futures) < self._wanted():
            place = len(self.futures)
            future = self._members[place](*self._more())
            self.futures.append(future)
            if future.done:
                self._note(place)
        if len(self._seen) == len(self.futures) >= self._wanted():
            self._finish()

    def _wanted(self) -> int:
        """How many members should be submitted by now."""
        if self._stopped:
            return len(self.futures)
        if self._most is None:
            return len(self._members)
        return min(len(self._members), len(self._seen) + self._most)

    def _more(self) -> tuple[Any, ...]:
        """Further arguments of the next member."""
        return ()

    def waits(self) -> dict[demand.Kind, int]:
        """Return how many tasks of each kind must end before this group ends."""
        return demand.of_members(self.futures, self.activities)

    def _seen_coming(self, places: range) -> None:
        """These members are submitted, or never will be."""
        for place in places:
            cell = self._foreseen[place] if place < len(self._foreseen) else None
            if cell is not None:
                cell[1] -= 1
                self._foreseen[place] = None

    def _hold(self, future: futures.Future[Any]) -> None:
        place = len(self.futures)
        self._seen_coming(range(place, place + 1))
        self.futures.append(future)
        if future._kind == futures.OPEN:
            future._subscribe(members.Settled(self, place))
        else:
            self._note(place)

    def member_settled(self, place: int) -> None:
        """The member at this place has ended."""
        if place not in self._seen:
            self._note(place)
            self._go_on()

    def _note(self, place: int) -> None:
        self._seen.add(place)
        future = self.futures[place]
        if future._kind == futures.CANCELED and future._content is futures.WITHDRAWN:
            self._withdrawn = self._stopped = True
        contained = isinstance(future, GroupFuture) and (future._contains or not future._raises)
        if future._kind == futures.FAILED and self._stops and not self._stopped and not contained:
            self._stopped = True
            for other in self.futures:
                members.cancel(other)

    def _go_on(self) -> None:
        if self._kind != futures.OPEN:
            return
        if len(self.futures) < self._wanted():
            place = len(self.futures)
            if place in self._starting:
                return
            evaluation = self._needs_evaluation()
            if evaluation.barred(self._origin):
                self._withdrawn = self._stopped = True
                self._go_on()
                return
            self._starting.add(place)
            # A strand of its own: a FuncGroup's function may wait.
            member, more = self._members[place], self._more()
            inner: futures.Future[Any] = futures.Future(evaluation, members.Ignored(), False)
            evaluation.spawn(self._branch.child(place), lambda: self._start_later(member, more), inner).resume()
            return
        if len(self._seen) == len(self.futures):
            self._finish()

    def _start_later(self, member: members.Member, more: tuple[Any, ...]) -> None:
        try:
            future = member(*more)
        except BaseException as error:
            if isinstance(error, GreenletExit) or interrupts.from_outside(error):
                raise
            future = futures.Future(self._evaluation, members.Ignored())
            future._fail(error)
        self._hold(future)
        self._go_on()

    def _finish(self) -> None:
        if self._kind != futures.OPEN:
            return
        self._seen_coming(range(len(self.futures), len(self._foreseen)))
        exceptions = [self._error_of(future) for future in self.futures]
        failed = any(exception is not None for exception in exceptions)
        for exception in exceptions:
            self._read(exception)
        if self._withdrawn:
            self._cancel(futures.WITHDRAWN)
        elif failed and self.bubbles_exception_on_failure:
            self._raises = self._stops or any(
                future._kind == futures.FAILED and future._raises for future in self.futures
            )
            self._fail(errors.AggregateException(exceptions))
        else:
            self._complete(self._results())

    def _read(self, exception: BaseException | None) -> None:
        if exception is None or self._evaluation is None:
            return
        self._evaluation.unread.pop(id(exception), None)
        if isinstance(exception, errors.AggregateException):
            for inner in exception.exceptions:
                self._read(inner)

    @staticmethod
    def _error_of(future: futures.Future[Any]) -> BaseException | None:
        if future._kind == futures.FAILED:
            content: BaseException = future._content
            return content
        if future._kind != futures.CANCELED or future._content is futures.STOPPED:
            return None
        return errors.TaskCanceled(future._content)

    def _results(self) -> list[Any]:
        found: list[Any] = []
        for future in self.futures:
            if future._kind == futures.FAILED and isinstance(future, GroupFuture):
                found.append(members.Later(future._values))
            elif future._kind in (futures.TEXT, futures.VALUE):
                found.append(members.Later(future._outcome))
            else:
                found.append(None)
        return found

    def _values(self) -> list[Any]:
        return [members.value_of(entry) for entry in self._results()]

    def _outcome(self) -> Any:
        if self._own_result and not (self._kind == futures.FAILED and self._raises):
            self.sync_result()
            return self._synced
        if self._kind == futures.VALUE and self._content and any(type(v) is members.Later for v in self._content):
            # Parsed only when read; a member's jumbo value may have to be fetched.
            self._content = [members.value_of(entry) for entry in self._content]
        if self._kind == futures.FAILED and not self._raises:
            self._read_error()
            return self._values()
        return super()._outcome()

    def _slot(self) -> str:
        return self._slot_of(lambda future: future._slot())

    def _full_slot(self) -> str:
        return self._slot_of(lambda future: future._full_slot())

    def _slot_of(self, text: Callable[[futures.Future[Any]], str]) -> str:
        if self._own_result:
            return self._needs_evaluation().payloads.encode(self._outcome())
        texts = [text(future) if future._kind in (futures.TEXT, futures.VALUE) else "null" for future in self.futures]
        return f"[{','.join(texts)}]"

    def _pointers(self) -> list[str]:
        return [pointer for future in self.futures for pointer in future._pointers()]

    # -- as the source of itself

    def identity(self) -> str:
        """Name it as a branch of ``run()``."""
        return self._branch.path

    def cancel_members(self) -> None:
        """Request the cancellation of its open members; no further one is submitted."""
        self._stopped = True
        self._seen_coming(range(len(self.futures), len(self._foreseen)))
        for future in self.futures:
            members.cancel(future)

    def state_of_open(self) -> str:
        """State while it is open: a whole-history read first goes over what happened to its own members."""
        if self._evaluation is not None and not self._evaluation.facts.asynchronous:
            self._advance(self._evaluation)
        if self._kind != futures.OPEN:
            return futures.FINISHED
        states = [future.state for future in self.futures]
        if all(state in (futures.FINISHED, futures.CANCELLED) for state in states) and len(states) == len(
            self._members
        ):
            return futures.FINISHED
        if any(state == futures.RUNNING for state in states):
            return futures.RUNNING
        started = any(state in (futures.FINISHED, futures.CANCELLED) for state in states)
        return futures.RUNNING if started else futures.PENDING

    def _advance(self, evaluation: run.Run) -> None:
        evaluation.reads.observed = True
        again = True
        while again and self._kind == futures.OPEN:
            again = False
            mine = {id(future) for future in self._leaves()}
            for entry in list(evaluation.book.arrived):
                target, event = entry
                call = getattr(target, "call", None)
                if (
                    call is None
                    or type(event) in records.REFUSALS
                    or not any(id(future) in mine for future in members.held(call))
                ):
                    continue
                evaluation.book.arrived.remove(entry)
                before = evaluation.position
                evaluation.position = event.id
                try:
                    target.deliver(event)
                finally:
                    evaluation.position = before
                evaluation.raise_floor(event.id)
                self._catch_up()
                again = True
                break

    def _catch_up(self) -> None:
        for place, future in enumerate(list(self.futures)):
            if isinstance(future, GroupFuture) and future._kind == futures.OPEN:
                future._catch_up()
            if future._kind != futures.OPEN:
                self.member_settled(place)

    def _leaves(self) -> list[futures.Future[Any]]:
        found: list[futures.Future[Any]] = []
        for future in self.futures:
            if isinstance(future, GroupFuture):
                found += future._leaves()
            elif future._kind == futures.OPEN:
                found.append(future)
        return found

    # -- what programs read

    @property
    def state(self) -> str:
        if self._kind == futures.OPEN:
            return self.state_of_open()
        return super().state

    @property
    def count_finished_activities(self) -> int:
        """How many members are finished, as far as the whole history says."""
        evaluation = self._evaluation
        if evaluation is not None and self._kind == futures.OPEN and not evaluation.facts.asynchronous:
            self._advance(evaluation)
        return sum(1 for future in self.futures if future.finished)

    @property
    def partial_result(self) -> list[Any]:
        """The results so far, None for unfinished members, as far as the whole history says."""
        evaluation = self._evaluation
        if evaluation is not None and self._kind == futures.OPEN and not evaluation.facts.asynchronous:
            self._advance(evaluation)
        found: list[Any] = []
        for future in self.futures:
            if isinstance(future, GroupFuture):
                found.append(future.partial_result)
            else:
                settled = future._kind in (futures.TEXT, futures.VALUE)
                found.append(future._outcome() if settled else None)
                if not settled and future._kind == futures.OPEN:
                    future.finished  # noqa: B018 - follows it: the program may read this list again
        return found

    # -- what 0.36's subclasses override

    #: what ``sync_result`` of a subclass chose
    _synced: Any = None

    @property
    def _own_result(self) -> bool:
        return type(self).sync_result is not GroupFuture.sync_result

    def sync_result(self) -> None:
        """Choose the result, ``self._result``: the list of the members' results. A subclass may choose another."""
        self._result = self.partial_result

    @property
    def _result(self) -> Any:
        return self.partial_result if self._synced is None else self._synced

    @_result.setter
    def _result(self, value: Any) -> None:
        self._synced = value

    def cancel(self, future: Any = None) -> bool:
        """Cancel the members that are open."""
        if self._kind == futures.CANCELED:
            return True
        if self._kind != futures.OPEN:
            return False
        if future is None:
            self._needs_evaluation().check_alive()
        self.cancel_members()
        self._cancel()
        return True


class ChainFuture(GroupFuture):
    """Future of members one after the other."""

    kind = "chain"

    def __init__(
        self,
        activities: Sequence[Any],
        workflow: Any,
        bubbles_exception_on_failure: bool = True,
        send_result: bool = False,
        break_on_failure: bool = True,
    ) -> None:
        self.send_result = send_result
        self.break_on_failure = break_on_failure
        super().__init__(activities, workflow, None, bubbles_exception_on_failure)

    def _wanted(self) -> int:
        if self._stopped:
            return len(self.futures)
        return min(len(self._members), len(self._seen) + 1)

    def _more(self) -> tuple[Any, ...]:
        if self.send_result and self.futures:
            return (self.futures[-1],)
        return ()

    def _note(self, place: int) -> None:
        super()._note(place)
        future = self.futures[place]
        if self._error_of(future) is not None and self.break_on_failure:
            self._stopped = True
