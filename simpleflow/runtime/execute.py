"""A worker's step: one activity task in, its answer out. The same code in a task runner, inline and in tests."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from simpleflow import activity, logging_context, utils
from simpleflow.core import attempt, errors, interceptors, limits, text
from simpleflow.core import payloads as core_payloads
from simpleflow.data import jumbo

from . import coroutines, failures, forked, values
from .forked import Interrupted as Interrupted  # raised by what this module runs

logger = logging.getLogger(__name__)


class Withdrawn(BaseException):
    """A task that was prepared is not to be begun."""


class Dispatcher(Protocol):
    """Turns the name of a task into an Activity; raises DispatchError."""

    def dispatch_activity(self, name: str) -> activity.Activity[..., Any]: ...


class Store(Protocol):
    """Where values over SWF's limits go, and come back from."""

    @property
    def seals(self) -> bool:
        """Whether values below their limit are encoded, too."""

    def offload(self, text: str, *, field: str, limit: int) -> str:
        """Return the text, or the pointer to it when it is over the limit; raises ValueError without a store."""

    def load(self, text: str) -> str:
        """Return what a text stands for: itself, or what its pointer points to."""

    def resolve(self, value: Any) -> Any:
        """Return a decoded value with every reference object in it replaced by what it refers to."""


class Middleware:
    """Functions around every activity: ``pre(context)``, ``post(context, result=..., exception=...)``."""

    def __init__(self, pre: Sequence[str] = (), post: Sequence[str] = ()) -> None:
        """Import them by dotted name; raises UsageError naming the one that cannot be imported."""
        self._pre = [self._load(path, "pre") for path in pre]
        self._post = [self._load(path, "post") for path in post]

    @staticmethod
    def _load(path: str, kind: str) -> Callable[..., Any]:
        try:
            found = utils.import_from_module(path)
        except Exception as error:
            raise errors.UsageError(
                f"--middleware-{kind}-execution {path!r} cannot be imported ({type(error).__name__}: {error}): "
                "write package.module.function, of a module that this worker can import"
            ) from error
        if not callable(found):
            raise errors.UsageError(f"--middleware-{kind}-execution {path!r} is not a function")
        return found  # type: ignore[no-any-return]  # callable() narrows Any to nothing better

    def before(self, context: dict[str, Any]) -> None:
        for function in self._pre:
            function(context)

    def after(self, context: dict[str, Any], result: Any, exception: BaseException | None) -> None:
        """Run the post functions; one that takes no ``exception`` gets the result alone."""
        for function in self._post:
            parameters = inspect.signature(function).parameters.values()
            takes = any(p.name == "exception" or p.kind is p.VAR_KEYWORD for p in parameters)
            if takes:
                function(context, result=result, exception=exception)
            else:
                function(context, result=result)


class Executor:
    """Runs activity tasks: finds the activity, builds its arguments, calls it, encodes what it returns."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        payloads: core_payloads.Payloads,
        store: Store,
        middleware: Middleware | None = None,
        mounted: Sequence[interceptors.WorkerInterceptor] = (),
        lingers: bool = False,
        left: Callable[[values.Task], object] = lambda task: None,
    ) -> None:
        """``left`` is called with a task that its activity leaves open, before anybody hears of that."""
        self._lingers = lingers
        self._left = left
        self._dispatcher = dispatcher
        self._payloads = payloads
        self._store = store
        self._middleware = middleware or Middleware()
        self._mounted = tuple(mounted)

    def handle(
        self,
        task: values.Task,
        *,
        started: Callable[[activity.Activity[..., Any]], None] | None = None,
        prepared: Callable[[], None] = lambda: None,
    ) -> values.Answer:
        """Execute one task. Never raises but Interrupted, Withdrawn, KeyboardInterrupt and SystemExit of the outside.

        ``started`` is called with the activity once it is found, ``prepared`` when all is ready for its call; that
        may raise Withdrawn.
        """
        self._log_context(task)
        try:
            encoded = forked.in_parent(lambda: self._run(task, started, prepared))
            return values.Completed(result=encoded)
        except (Interrupted, Withdrawn):
            raise
        except attempt.CompletedLater:
            return self._leave(task)
        except BaseException as error:  # an activity that calls sys.exit() fails; it does not end its worker
            logger.warning("Activity %s failed: %s", task.name, text.of_error(error), extra={"action": "failed"})
            return failures.of_exception(error)
        finally:
            if not self._lingers:
                logging_context.reset()

    def _leave(self, task: values.Task) -> values.Answer:
        try:
            self._left(task)
        except Exception as error:  # another program may have its token already
            logger.warning(
                "Activity %s is completed later, and activity.list cannot show it (%s).",
                task.name,
                text.of_error(error),
                extra={"action": "left_open"},
            )
        return values.Later()

    def clean_up(self, task: values.Task) -> str:
        """Call the clean-up of a task that was ended from outside; return why it failed, '' when it did not."""
        self._log_context(task)
        try:
            cleanup = self._dispatcher.dispatch_activity(task.name).cleanup
            if cleanup is not None:
                args, kwargs = arguments(self._decode(task.input))
                forked.in_parent(lambda: cleanup(*args, **kwargs))
        except Interrupted:
            raise
        except BaseException as error:
            return text.of_error(error)
        finally:
            logging_context.reset()
        return ""

    def _run(
        self,
        task: values.Task,
        started: Callable[[activity.Activity[..., Any]], None] | None,
        prepared: Callable[[], None],
    ) -> str | None:
        if task.module:
            importlib.import_module(task.module)
        found = self._dispatcher.dispatch_activity(task.name)
        if started is not None:
            started(found)
        return self._encode(task, self._call(task, found, prepared))

    def _log_context(self, task: values.Task) -> None:
        logging_context.set_all(
            activity_id=task.activity_id,
            domain=task.domain,
            event_id=task.started_event_id,
            run_id=task.run_id,
            task_list=task.task_list,
            task_type="activity",
            workflow_id=task.workflow_id,
        )

    def _call(self, task: values.Task, found: activity.Activity[..., Any], prepared: Callable[[], None]) -> Any:
        decoded = self._decode(task.input)
        args, kwargs = self._payloads.arguments(found.callable, *arguments(decoded))
        context = task.context(decoded)
        found_attempt = attempt.current()
        if found_attempt is not None:
            found_attempt.last_heartbeat = context.last_heartbeat
        call = interceptors.ActivityCall(
            name=task.name,
            version=task.version,
            task_list=task.task_list,
            context=context,
            started_event_id=task.started_event_id,
        )

        def proceed() -> Any:
            needed = binaries(decoded, found.meta)
            if needed:
                from simpleflow import download  # few need it

                download.download_binaries(needed)
            self._middleware.before(context)
            try:
                result = forked.in_parent(lambda: invoke(found.callable, args, kwargs, context))
            except attempt.CompletedLater:
                self._middleware.after(context, None, None)
                raise
            except BaseException as error:
                self._middleware.after(context, None, error)
                raise
            self._middleware.after(context, result, None)
            return result

        prepared()
        for interceptor in reversed(self._mounted):
            proceed = _bind(interceptor, call, proceed)
        return proceed()

    def _decode(self, given: str | None) -> Any:
        if not given:
            return {}
        loaded = self._store.load(given)
        decoded = self._payloads.decode(loaded)
        refers = jumbo.REFERENCE in loaded or "\\u" in loaded  # an escape may hide any character
        return self._store.resolve(decoded) if refers else decoded

    def _encode(self, task: values.Task, result: Any) -> str | None:
        if result is None:
            return None
        try:
            encoded = self._payloads.encode(result)
        except TypeError as error:
            raise TypeError(f"the result of {task.name} cannot be serialised: {error}") from error
        return self._store.offload(encoded, field="result", limit=limits.DATA)


def _bind(
    interceptor: interceptors.WorkerInterceptor, call: interceptors.ActivityCall, proceed: Callable[[], Any]
) -> Callable[[], Any]:
    return lambda: interceptor.execute(call, proceed)


def arguments(decoded: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments of a decoded input.

    The envelope ``{"args": [], "kwargs": {}}``; without it (other people's deciders) a list is the positional
    arguments, an object the keyword arguments, anything else the one argument.
    """
    if isinstance(decoded, Mapping):
        if set(decoded) <= {"args", "kwargs", "meta", "__extra"}:
            return list(decoded.get("args", ())), dict(decoded.get("kwargs", {}))
        return [], dict(decoded)
    if isinstance(decoded, list | tuple):
        return list(decoded), {}
    return [decoded], {}


def binaries(decoded: Any, declared: Any) -> Mapping[str, str]:
    """Return the programs that a task needs: those that its input names, else those of its activity."""
    sent = decoded.get("meta") if isinstance(decoded, Mapping) else None
    meta = sent if isinstance(sent, Mapping) else declared
    found = meta.get("binaries") if isinstance(meta, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def invoke(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], context: dict[str, Any]) -> Any:
    """Call a function activity, or make a class activity and call its ``execute()`` and ``post_execute()``."""
    named = dict(kwargs)
    if getattr(target, "add_context_in_kwargs", False):
        named["context"] = context
    if isinstance(target, type):
        instance: Any = target(*args, **named)
        instance.context = context
        result = coroutines.finished(instance.execute())
        if hasattr(instance, "post_execute"):
            coroutines.finished(instance.post_execute())
        return result
    try:  # noqa: SIM105 - contextlib.suppress takes a microsecond of each task
        target.context = context
    except (AttributeError, TypeError):  # builtins and bound methods take no attributes
        pass
    return coroutines.finished(target(*args, **named))


def seconds(timeout: Any) -> float | None:
    """Return a declared timeout (seconds as int, str or float, ``NONE`` or None) as seconds."""
    if timeout in (None, "", "NONE"):
        return None
    return msgspec.convert(timeout, float, strict=False)
