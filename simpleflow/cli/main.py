"""The ``simpleflow`` command and the table of its commands. Each is imported when it is used, or for its help."""

from __future__ import annotations

import importlib
from typing import Any

import click

from simpleflow import _version

from . import context, entry

#: command -> (module below simpleflow.cli, name in it, one line of help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "activity.cancel": ("activity_control", "cancel", "Answer the cancel request of an open activity task."),
    "activity.complete": ("activity_control", "complete", "Complete an activity task that was left open."),
    "activity.fail": ("activity_control", "fail", "Fail an activity task that was left open."),
    "activity.heartbeat": ("activity_control", "heartbeat", "Keep an activity task that was left open alive."),
    "activity.list": ("activity_control", "list_", "List the activity tasks that wait for their completion."),
    "activity.rerun": ("activity_rerun", "rerun", "Run an activity task again, in this process."),
    "binaries.download": ("binaries", "download", "Download programs that tasks need."),
    "decider.start": ("decider", "start", "Run deciders."),
    "info": ("info", "info", "Show versions, settings and environment."),
    "server.backup": ("server", "backup", "Copy the embedded service's database while it runs."),
    "server.check": ("server", "check", "Check the embedded service's database."),
    "server.restore": ("server", "restore", "Put a backup in the place of the embedded service's database."),
    "server.start": ("server", "start", "Run the embedded service."),
    "server.status": ("server", "status", "Show whether the embedded service runs."),
    "server.stop": ("server", "stop", "Stop the embedded service."),
    "standalone": ("standalone", "standalone", "Run a workflow with deciders and workers of its own."),
    "task.info": ("task", "info", "Show one task of an execution."),
    "worker.start": ("worker", "start", "Run a worker."),
    "workflow.cancel": ("workflow_control", "cancel", "Request the cancellation of executions."),
    "workflow.dump": ("workflow_replay", "dump", "Write the history of an execution to a file."),
    "workflow.filter": ("workflow_read", "filter_", "List executions by criteria."),
    "workflow.history": ("workflow_read", "history", "Show the events of an execution."),
    "workflow.info": ("workflow_read", "info", "Show an execution."),
    "workflow.list": ("workflow_read", "list_", "List executions."),
    "workflow.profile": ("workflow_read", "profile", "Show where an execution's time went."),
    "workflow.replay": ("workflow_replay", "replay", "Replay saved histories against the code."),
    "workflow.restart": ("workflow_control", "restart", "Terminate an execution and start it again."),
    "workflow.resume": ("workflow_resume", "resume", "Go on with a stopped execution in a new run."),
    "workflow.result": ("workflow_control", "result", "Print the result of a closed execution."),
    "workflow.signal": ("workflow_control", "signal", "Signal executions."),
    "workflow.start": ("workflow_start", "start", "Start an execution."),
    "workflow.stats": ("workflow_stats", "stats_", "Show times and failures of tasks over many executions."),
    "workflow.tasks": ("workflow_read", "tasks", "List the tasks of an execution."),
    "workflow.terminate": ("workflow_control", "terminate", "Terminate an execution."),
    "workflow.wait": ("workflow_control", "wait", "Wait for the end of an execution."),
}
#: old names with a space: the words before the dot
GROUPS = {name.partition(".")[0] for name in COMMANDS if "." in name}


class LazyGroup(click.Group):
    """Finds commands in the table above; ``workflow start`` means ``workflow.start``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"simpleflow.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if len(args) >= 2 and args[0] in GROUPS and f"{args[0]}.{args[1]}" in COMMANDS:
            args = [f"{args[0]}.{args[1]}", *args[2:]]
        elif args and args[0] in GROUPS and args[0] not in COMMANDS:
            known = ", ".join(sorted(name for name in COMMANDS if name.startswith(args[0] + ".")))
            ctx.fail(f"{args[0]!r} needs a second word. Commands: {known}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in sorted(COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version.__version__, prog_name="simpleflow")
@context.global_options
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> None:
    """Durable workflows in plain Python, on Amazon SWF or on the embedded service.

    Without a domain and an endpoint the embedded service is used: no account, no network.
    """
    ctx.obj = context.State(**given)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit; every error is one message on stderr and an exit code."""
    entry.run(cli, "simpleflow", argv)


if __name__ == "__main__":
    main()
