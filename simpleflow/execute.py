"""Activities that run programs, or Python in a process of its own.

    @activity.with_attributes()
    @execute.program(path="convert")
    def convert(source, *, quality=80): ...      # convert --quality=80 SOURCE; returns what it prints

    @activity.with_attributes()
    @execute.python(interpreter="pypy3", timeout=60)
    def crunch(numbers): ...

``python -m simpleflow.execute NAME ARGUMENTS`` is the other side of the latter.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from simpleflow import process, utils
from simpleflow.core import interpreter as core_interpreter
from simpleflow.core import numbers, text
from simpleflow.exceptions import ExecutionError, ExecutionTimeoutError
from simpleflow.process import tree

logger = logging.getLogger(__name__)
#: characters of arguments on a command line; Linux takes 128 KiB in one argument
MAX_ARGUMENTS_JSON_LENGTH = 65536
#: seconds between SIGTERM and SIGKILL for a process that took too long, and for child processes left behind
_GRACE = 3.0
_LEFT_OVER = 0.3
#: characters of a program's stderr that its failure keeps: the last ones
_KEPT = 8192
#: kinds of parameters that take positional arguments, and of those that take options alone
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPTIONS = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}

__all__ = ["ProgramFailed", "format_arguments", "format_arguments_json", "get_name", "program", "python"]


class RequiredArgument:
    """Default of a parameter of ``program`` that must be given by its name: ``def ls(hide=RequiredArgument)``."""


class ProgramFailed(ExecutionError, subprocess.CalledProcessError):
    """A program ended with another status than 0; ``returncode``, ``cmd``, ``output`` and ``stderr`` say more."""

    def __init__(self, returncode: int, cmd: Sequence[str], output: str = "", stderr: str = "") -> None:
        subprocess.CalledProcessError.__init__(self, returncode, cmd, output, stderr)
        self.args = (self._text(),)

    def _text(self) -> str:
        last = self.stderr.strip()[-_KEPT:]
        return f"{self.cmd[0]} {process.describe_exit(self.returncode)}" + (f": {last}" if last else "")

    def __str__(self) -> str:
        return self._text()


def format_arguments(*args: Any, **kwargs: Any) -> list[str]:
    """Return a command line: options first (``-c=1`` for ``c=1``, ``--val=2`` for ``val=2``), then positional ones."""
    options = [f"{'-' if len(key) == 1 else '--'}{key}={value}" for key, value in kwargs.items()]
    return options + [str(value) for value in args]


def format_arguments_json(*args: Any, **kwargs: Any) -> str:
    """Return the JSON text that ``python -m simpleflow.execute`` takes."""
    return utils.json_dumps({"args": args, "kwargs": kwargs})


def get_name(func: Any) -> str:
    """Return the dotted name of a callable: its module, and its ``name`` or ``__name__``, or its class's."""
    if not callable(func):
        raise ValueError(f"{func!r} is not callable")
    own = getattr(func, "name", None) or getattr(func, "__name__", None) or type(func).__name__
    return f"{func.__module__}.{own}"


def program(
    path: str | None = None, argument_format: Callable[..., Sequence[str]] = format_arguments
) -> Callable[[Callable[..., Any]], Callable[..., str]]:
    """Make a function run a program: ``path``, or the program of the function's name. Its body is not run.

    Arguments are checked against the function's signature (TypeError, in 0.36's words). They become the command line
    unchanged, because no shell runs. The function returns the output, which also goes to the log line by line. Raises
    ProgramFailed, with what the program wrote to stderr, when its exit status is not 0.
    """

    def wrap(func: Callable[..., Any]) -> Callable[..., str]:
        signature = inspect.signature(func)
        command = path or func.__name__

        @functools.wraps(func)
        def execute(*args: Any, **kwargs: Any) -> str:
            _check(signature, args, kwargs)
            return _run([command, *argument_format(*args, **kwargs)])

        return execute

    return wrap


def _check(signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError for arguments that the signature does not take; programs compare its texts with 0.36's."""
    parameters = list(signature.parameters.values())
    absent = [each.name for each in parameters if each.default is RequiredArgument and each.name not in kwargs]
    if absent:
        raise TypeError(f'argument{"s" * (len(absent) > 1)} "{", ".join(absent)}" not found')
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        kinds = {each.kind for each in parameters}
        placed = [each for each in parameters if each.kind in _PLACED]
        optional = any(each.default is not each.empty for each in placed)
        counted = len(args) > len(placed) or not (optional or kwargs)
        if inspect.Parameter.VAR_POSITIONAL not in kinds and counted and len(args) != len(placed):
            words = f"command takes {len(placed)} arguments: {len(args)} passed"
            raise TypeError(words if placed else "command does not take varargs") from None
        if set(kwargs) - {each.name for each in placed} and not optional and not kinds & _OPTIONS:
            raise TypeError("command does not take keyword arguments") from None
        raise


def _run(command: list[str]) -> str:
    try:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        raise ExecutionError(f"{command[0]} cannot be started: {error}") from error
    assert running.stdout is not None
    assert running.stderr is not None
    heard: list[str] = []
    listener = threading.Thread(
        target=_listen, args=(running.stderr, heard, command[0], logging.WARNING), name=f"stderr of {command[0]}"
    )
    listener.start()
    output: list[str] = []
    try:
        _listen(running.stdout, output, command[0], logging.INFO)
        running.wait()
    except BaseException:
        tree.end_tree(running.pid, wait=_GRACE)
        raise
    finally:
        listener.join()
        running.wait()
        running.stdout.close()
        running.stderr.close()
    if running.returncode:
        raise ProgramFailed(running.returncode, command, "".join(output), "".join(heard))
    return "".join(output)


def _listen(stream: IO[str], kept: list[str], name: str, level: int) -> None:
    for line in stream:
        kept.append(line)
        logger.log(level, "%s: %s", os.path.basename(name), line.rstrip("\n"))


def python(
    interpreter: str = "python",
    logger_name: str = __name__,
    timeout: numbers.Duration | None = None,
    kill_children: bool = False,
    env: Mapping[str, str] | None = None,
) -> Callable[[Any], Callable[..., Any]]:
    """Make a function, or a class with ``execute()``, run in a Python process of its own.

    ``interpreter``: another Python, such as ``pypy3``; ``python`` is the one that runs. Arguments and result pass as
    JSON. ``timeout`` in seconds, or a timedelta; ``kill_children``: what it started ends with it; ``env`` replaces the
    environment. Raises ExecutionError, whose message is JSON with error, error_type, message and traceback, and
    ExecutionTimeoutError.
    """

    limit: float | None = None
    if timeout is not None:
        seconds = numbers.delay("timeout of execute.python()", timeout)
        limit = timeout if isinstance(timeout, int) else seconds  # as given, in the message of a timeout

    def wrap(func: Any) -> Callable[..., Any]:
        @functools.wraps(func, updated=())
        def execute(*args: Any, **kwargs: Any) -> Any:
            context = kwargs.pop("context", None) or {}
            with _files(env) as (result, error, arguments):
                command = [
                    *_starting(interpreter),
                    get_name(func),
                    f"--logger-name={logger_name}",
                    f"--result-fd={result.fileno()}",
                    f"--error-fd={error.fileno()}",
                    f"--context={utils.json_dumps(context)}",
                ]
                passed = [result.fileno(), error.fileno()]
                given = format_arguments_json(*args, **kwargs)
                if len(given) < MAX_ARGUMENTS_JSON_LENGTH:
                    command.append(given)
                else:
                    arguments.write(given.encode())
                    arguments.seek(0)
                    passed.append(arguments.fileno())
                    command += [f"--arguments-json-fd={arguments.fileno()}", "-"]
                if kill_children:
                    command.append("--kill-children")
                _finish(command, get_name(func), passed, limit, env, error)
                result.seek(0)
                content = result.read().decode(errors="replace")
            return utils.json_loads_or_raw(content)

        execute.add_context_in_kwargs = True  # type: ignore[attr-defined]  # functions take attributes
        return execute

    return wrap


@contextlib.contextmanager
def _files(env: Mapping[str, str] | None) -> Iterator[tuple[IO[bytes], IO[bytes], IO[bytes]]]:
    """Three files without a name: the result, the error, the arguments."""
    folder = next((env[name] for name in ("TMPDIR", "TEMP", "TMP") if env.get(name)), None) if env else None
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(3))  # type: ignore[misc]


def _starting(python: str) -> list[str]:
    """Return how the other side is started: by this Python with this very package, or by another one with its own."""
    if python == "python":
        return core_interpreter.command("simpleflow.execute")
    return [python, "-m", "simpleflow.execute"]


def _finish(
    command: list[str],
    name: str,
    passed: list[int],
    timeout: int | float | None,
    env: Mapping[str, str] | None,
    error: IO[bytes],
) -> None:
    """Run the other side to its end; raises when it does not end well."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        running = subprocess.Popen(command, pass_fds=passed, env=env)
    except OSError as refused:
        raise ExecutionError(f"{command[0]} cannot be started: {refused}") from refused
    try:
        status = running.wait(timeout=timeout or None)
    except subprocess.TimeoutExpired:
        tree.end_tree(running.pid, wait=_GRACE)
        running.wait()
        raise ExecutionTimeoutError(name, timeout) from None
    except BaseException:
        tree.end_tree(running.pid, wait=_GRACE)
        running.wait()
        raise
    if status:
        error.seek(0)
        content = error.read().decode(errors="replace")
        raise ExecutionError(content or _of_status(name, status))


def _of_status(name: str, status: int) -> str:
    """Details of a process that said nothing: killed, out of memory, or ended by sys.exit()."""
    words = f"the process of {name} {process.describe_exit(status)}"
    return utils.json_dumps(
        {"error": "ExecutionError", "error_type": "simpleflow.exceptions.ExecutionError", "message": words}
        | {"traceback": []}
    )


# -- the other side


def main(arguments: Sequence[str] | None = None) -> int:
    """Call one callable by name with arguments in JSON, and write its result as JSON. Returns the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m simpleflow.execute", description=main.__doc__)
    parser.add_argument("funcname", help="dotted name of the callable")
    parser.add_argument("funcargs", help='{"args": [...], "kwargs": {...}} as JSON')
    parser.add_argument("--context", help="the activity's context, as JSON")
    parser.add_argument("--logger-name", help="the logger that tells of failures")
    parser.add_argument("--result-fd", type=int, default=1, metavar="N", help="descriptor of the result (1)")
    parser.add_argument("--error-fd", type=int, default=2, metavar="N", help="descriptor of the failure (2)")
    parser.add_argument("--arguments-json-fd", type=int, metavar="N", help="descriptor of the arguments' JSON")
    parser.add_argument("--kill-children", action="store_true", help="end the processes that it leaves behind")
    given = parser.parse_args(arguments)
    content = given.funcargs
    if given.arguments_json_fd is not None:
        with os.fdopen(given.arguments_json_fd, closefd=False) as stream:
            content = stream.read()
    try:
        call = json.loads(content)
        args, kwargs = list(call.get("args", ())), dict(call.get("kwargs", {}))
    except (ValueError, AttributeError, TypeError) as error:
        parser.error(f'cannot load arguments from {content[:200]!r} ({error}): write {{"args": [], "kwargs": {{}}}}')
    context = None if given.context is None else json.loads(given.context)
    try:
        answer = utils.json_dumps(_call(utils.import_from_module(given.funcname), args, kwargs, context))
    except Exception as error:
        logging.getLogger(given.logger_name or __name__).error("%s failed: %s", given.funcname, text.of_error(error))
        _write(given.error_fd, _failure(error))
        return 1
    else:
        _write(given.result_fd, ("\n" if given.result_fd == 1 else "") + answer)
        return 0
    finally:
        if given.kill_children:
            _end_children()


def _call(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any], context: Any) -> Any:
    target = getattr(target, "callable", target) if not isinstance(target, type) else target
    target = inspect.unwrap(target)
    if isinstance(target, type) or hasattr(target, "execute"):
        instance = target(*args, **kwargs)
        if context is not None:
            instance.context = context
        result = instance.execute()
        if hasattr(instance, "post_execute"):
            instance.post_execute()
        return result
    if context is not None:
        with contextlib.suppress(AttributeError, TypeError):  # builtins take no attributes
            target.context = context
    return target(*args, **kwargs)


def _failure(error: BaseException) -> str:
    return text.details(error)


def _write(descriptor: int, content: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    left = memoryview(content.encode(errors="surrogateescape"))
    while left:
        left = left[os.write(descriptor, left) :]


def _end_children() -> None:
    for child in tree.descendants(os.getpid()):
        tree.end_tree(child.pid, wait=_LEFT_OVER)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())  # as "python -m" does
    sys.exit(main())
