"""What all commands share: global options, the backend that they lead to, domains, exit codes."""

from __future__ import annotations

import dataclasses
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simpleflow import constants, settings
from simpleflow.core import errors, text

from . import entry

if TYPE_CHECKING:
    from simpleflow.client import connect

F = TypeVar("F", bound=Callable[..., Any])

EXIT_USAGE = entry.USAGE
#: close status -> exit code
EXIT_CODES = {"COMPLETED": 0, "CONTINUED_AS_NEW": 0, "FAILED": 1, "TERMINATED": 1, "TIMED_OUT": 2, "CANCELED": 3}
DOMAIN_HELP = "SWF domain (SWF_DOMAIN); without --backend or --endpoint-url it means Amazon SWF."
#: seconds
SHORTEST_HEARTBEAT = 0.2
FORMATS = ("csv", "tsv", "tabular", "human", "json", "prettyjson")


def listed(text: str) -> tuple[str, ...]:
    """The parts of an option that takes ``a,b,c``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


@dataclasses.dataclass(kw_only=True)
class State:
    """The global options of one call; those given after the command replace those before it."""

    backend: str | None = None
    endpoint_url: str | None = None
    format: str | None = None
    header: bool | None = None
    color: str = "auto"

    def update(self, **given: Any) -> None:
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)

    @property
    def output_format(self) -> str:
        """The format that was asked for, ``tabular`` without one; raises UsageError for an unknown one."""
        chosen = self.format or settings.SIMPLEFLOW_FORMAT or "tabular"
        if chosen not in FORMATS:
            raise errors.UsageError(f"SIMPLEFLOW_FORMAT={chosen!r} is unknown: write one of {', '.join(FORMATS)}")
        return str(chosen)

    @property
    def colored(self) -> bool:
        return self.color == "always" or (self.color == "auto" and sys.stdout.isatty())

    def connect(
        self,
        domain: str | None = None,
        *,
        named: str | None = None,
        serving: bool = False,
        wait: Callable[[float], bool] | None = None,
    ) -> connect.Connection:
        """Reach the backend that options, settings and environment lead to; says so when it is the embedded one.

        ``named``: a domain that is a positional argument; it chooses no backend. ``serving``: wait for a
        service that does not answer, as deciders and workers do; ``wait`` sleeps meanwhile, and returns True to
        give up.
        """
        from simpleflow.client import connect

        chosen = domain or settings.SWF_DOMAIN
        endpoint = self.endpoint_url
        if (
            endpoint is None and self.backend != "embedded"
        ):  # what a shell exports must not lead away from what was asked
            endpoint = settings.AWS_ENDPOINT_URL_SWF
        try:
            waiting: dict[str, Any] = {"patience": connect.SERVING, "wait": wait} if serving else {}
            connection = connect.connect(domain=chosen, backend=self.backend, endpoint_url=endpoint, **waiting)
        except OSError as error:  # its folders; what a connection raises is a SimpleflowError
            raise errors.SimpleflowError(
                f"the embedded service cannot be started ({error.strerror}: {error.filename}): set SIMPLEFLOW_DATA_DIR "
                "and SIMPLEFLOW_RUNTIME_DIR to folders that you may write"
            ) from error
        if not chosen and not endpoint and self.backend is None:
            missing = "endpoint" if named else "domain and no endpoint"
            where = text.visible(named or connection.domain)
            click.echo(f"No {missing} given: using the embedded service, domain '{where}'.", err=True)
        return connection


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    state = ctx.find_object(State)
    if state is not None and value is not None and parameter.name is not None:
        state.update(**{parameter.name: value})
    return value


def global_options(function: F) -> F:
    """Add the options that are accepted before the command; the group makes a State of them."""
    return _globals(function, expose=True)


def command_options(function: F) -> F:
    """Add the same options after the command: they change the State and are not passed on."""
    return _globals(function, expose=False)


def _globals(function: F, *, expose: bool) -> F:
    callback = None if expose else _remember
    options = [
        click.option(
            "--format",
            type=click.Choice(FORMATS),
            help="Output format (default: SIMPLEFLOW_FORMAT, else tabular).",
            expose_value=expose,
            callback=callback,
        ),
        click.option(
            "--header/--no-header",
            default=None,
            help="Print a header line (default: in tables on a terminal only).",
            expose_value=expose,
            callback=callback,
        ),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto" if expose else None,
            help="Use colors (default: on a terminal).",
            expose_value=expose,
            callback=callback,
        ),
        click.option(
            "--backend",
            type=click.Choice(["local", "embedded", "swf"]),
            help="Where workflows run (default: swf with a domain, else embedded).",
            expose_value=expose,
            callback=callback,
        ),
        click.option(
            "--endpoint-url",
            metavar="URL",
            help="unix:///PATH, http://HOST:PORT or https://HOST of an SWF service (AWS_ENDPOINT_URL_SWF).",
            expose_value=expose,
            callback=callback,
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def domain_option(function: F) -> F:
    """Add ``-d/--domain``; given alone it means Amazon SWF."""
    return click.option("-d", "--domain", metavar="NAME", help=DOMAIN_HELP)(function)


def heartbeat_option(function: F) -> F:
    """Add ``--heartbeat``; 0, 0.36's word for none, leaves them to the tasks' own timeouts."""
    return click.option(
        "--heartbeat",
        type=click.FloatRange(0.0),
        default=60.0,
        show_default=True,
        callback=_heartbeat,
        help="Seconds between two heartbeats, at most; 0: only as often as the tasks' own timeouts need.",
    )(function)


def _heartbeat(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    if 0 < value < SHORTEST_HEARTBEAT:
        raise click.BadParameter(f"write {SHORTEST_HEARTBEAT} or more, or 0", ctx, parameter)
    return value or float(constants.DAY)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One execution that a command is about; domain None: the default one."""

    domain: str | None
    workflow_id: str
    run_id: str | None


def target(words: Sequence[str], *, domain_first: bool, domain: str | None = None, run_id: str | None = None) -> Target:
    """Read the positional arguments ``[DOMAIN] WORKFLOW_ID [RUN_ID]``; run ids may be %-encoded.

    Two words mean DOMAIN WORKFLOW_ID when ``domain_first``, else WORKFLOW_ID RUN_ID.
    """
    if len(words) == 1:
        name, execution, run = domain, words[0], run_id
    elif len(words) == 2 and domain_first and domain is None:
        name, execution, run = words[0], words[1], run_id
    elif len(words) == 2:
        name, execution, run = domain, words[0], run_id or words[1]
    elif len(words) == 3:
        name, execution, run = words[0], words[1], run_id or words[2]
    else:
        shape = "[DOMAIN] WORKFLOW_ID [RUN_ID]" if domain_first else "WORKFLOW_ID [RUN_ID]"
        raise errors.UsageError(f"{len(words)} positional arguments given: write {shape}")
    return Target(domain=name, workflow_id=execution, run_id=urllib.parse.unquote(run) if run else None)


def working(what: str, connection: connect.Connection) -> None:
    """Say what begins, where, and how it is ended: otherwise a poller on the wrong task list is only silent."""
    where = connection.endpoint_url or "Amazon SWF"
    click.echo(f"{what}, domain '{connection.domain}' at {where}; Ctrl-C or SIGTERM drains.", err=True)


def place(state: State, connection: connect.Connection) -> Any:
    """Return where child processes find the same backend as this connection."""
    from simpleflow.runtime import standalone

    return standalone.Place(
        domain=connection.domain,
        endpoint_url=connection.endpoint_url,
        backend=None if connection.endpoint_url else "swf",
    )
