"""A whole cluster's life on an emulated AWS account: the real template, the real code, local processes as machines.

    report = rehearsals.rehearse("cluster.yaml", rehearsals.Options(workflow="nightly", arguments=(10,)), say=print)
    print(report.text())

Nothing reaches a real account: children get a scrubbed environment and keys that only the emulator knows. Leaving it,
by its end, by an error or by Ctrl-C, leaves no process, no file, no port.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import botocore.exceptions
import msgspec
import yaml

from simpleflow.core import documents, errors, text
from simpleflow.nodes import config
from simpleflow.nodes.bundle import code
from simpleflow.testing.rehearsal import report as reports
from simpleflow.testing.rehearsal import stage as stages

Say = Callable[[str], None]
#: seconds for which the first workflow may run
_PATIENCE = 240.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to rehearse besides the cluster itself.

    A sold-out type, a failed boot, a spot notice and a wake-up by the alarm alone are part of it unless taken out.
    """

    #: registered name and version of the workflow type, and its decision task list ('' for the cluster's)
    workflow: str
    version: str = "1"
    #: positional arguments and keyword arguments
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    #: the same for the second run, which nobody but the alarm announces; None: the same again
    second: dict[str, Any] | None = None
    sold_out: bool = True
    failed_boot: bool = True
    spot_notice: bool = True
    wake_up: bool = True


def rehearse(cluster: str | Path, options: Options, *, say: Say = lambda line: None) -> reports.Report:
    """Rehearse a cluster file of provider ec2; returns the report.

    Raises UsageError for a file that is not an ec2 cluster, RehearsalFailed when a part could not be shown.
    """
    loaded = config.load(cluster)
    if loaded.config.provider != "ec2":
        raise errors.UsageError(
            f"{cluster}: provider '{loaded.config.provider}' has nothing to rehearse; write provider: ec2"
        )
    say(f"rehearsal: times divided by {config.REHEARSAL_FACTOR} (preset rehearsal), polls held 3 s")
    begun = time.monotonic()
    with stages.Stage(Path(cluster), fail_boot=2 if options.failed_boot else 0) as stage:
        play = Play(stage, options, say)
        play.all()
        left = [process for process in stage.processes() if _is_node(process)]
        return reports.make(stage, play.shown, time.monotonic() - begun, [" ".join(p.cmdline()) for p in left])


def _is_node(process: Any) -> bool:
    return "simpleflow.nodes.agent" in " ".join(process.cmdline())


class Play:
    """The scenes of a rehearsal, in order.

    Args:
        stage: where it plays.
        options: what is part of it.
        say: told what happens.
    """

    def __init__(self, stage: stages.Stage, options: Options, say: Say) -> None:
        self._stage = stage
        self._options = options
        self._say = say
        #: the cluster file that the commands get
        self.file = self._rehearsed_file()
        self._config = config.load(self.file).config
        #: what was shown so far
        self.shown: list[reports.Shown] = []
        self._begun = time.monotonic()
        self._client: subprocess.Popen[str] | None = None
        #: by the account's clock: the spot machine and when it had its notice; when the first run was closed
        self._noticed: tuple[str, float] | None = None
        self._closed_at = 0.0

    def _rehearsed_file(self) -> Path:
        """The cluster file with the preset and the coordinator of this rehearsal, everything else as it is."""
        source = Path(self._stage.loaded.path)
        plain = yaml.safe_load(source.read_text())
        plain |= {"preset": "rehearsal", "endpoint": self._stage.swf_url}
        plain["code"] = self._rehearsed_code(source.parent, dict(plain.get("code") or {}))
        file = self._stage.folder / source.name
        file.write_text(yaml.safe_dump(plain, sort_keys=False))
        return file

    def _rehearsed_code(self, root: Path, plain: dict[str, Any]) -> dict[str, Any]:
        """The file's ``code`` with its paths as they are, for machines of this laptop's Python and architecture."""
        for key in ("wheel", "path", "requirements"):
            if plain.get(key):
                plain[key] = str(code.resolved(root, plain[key]).resolve())
        plain["wheels"] = [str(code.resolved(root, each).resolve()) for each in plain.get("wheels", [])]
        kind = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
        return {**plain, "python": f"{sys.version_info[0]}.{sys.version_info[1]}", "architectures": [kind]}

    def _show(self, what: str, how: str) -> None:
        at = time.monotonic() - self._begun
        self.shown.append(reports.Shown(at=at, what=what, how=how))
        self._say(f"{at:6.1f} s  {what}: {how}")

    def all(self) -> None:
        """Play every scene; RehearsalFailed names the one that could not be shown."""
        self._class()
        self._sell_out()
        self._up()
        run = self._start(self._options.arguments, self._options.keywords, announced=True)
        self._work(run)
        self._asleep()
        if self._options.wake_up:
            self._woken()
        self._down()

    # --- scenes -------------------------------------------------------------------------------------------------

    def _sell_out(self) -> None:
        profile = next(iter(self._config.profiles.values()))
        if self._options.sold_out and len(profile.types) > 1:
            self._stage.cloud.capacity.sold_out(profile.types[0])

    def _up(self) -> None:
        begun = time.monotonic()
        self._stage.run("up", "simpleflow.cli.sfnodes", "up", str(self.file))
        stacks = self._stage.cloud.client("cloudformation").describe_stacks()["Stacks"]
        good = [s["StackName"] for s in stacks if s["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")]
        if len(good) < 2:
            raise stages.RehearsalFailed(f"up ended, but these stacks are complete: {good}")
        self._show("up", f"stacks {', '.join(good)} in {time.monotonic() - begun:.1f} s, from the real template")

    def _start(self, arguments: Sequence[Any], keywords: dict[str, Any], *, announced: bool) -> dict[str, str]:
        """Start a run. ``announced`` by our own client, which makes sure of a decider; else only the alarm can."""
        stage, cluster = self._stage, self._config
        if announced:
            return self._start_as_client(arguments, keywords)
        self._register()
        workflow_id = f"rehearsal-{len(self.shown)}"
        started = stage.swf.start_workflow_execution(
            domain=cluster.swf_domain,
            workflowId=workflow_id,
            workflowType={"name": self._options.workflow, "version": self._options.version},
            taskList={"name": cluster.decision_task_list},
            input=json.dumps({"args": list(arguments), "kwargs": keywords}),
            executionStartToCloseTimeout="3600",
            taskStartToCloseTimeout="30",
            childPolicy="TERMINATE",
        )
        return {"workflowId": workflow_id, "runId": started["runId"]}

    def _start_as_client(self, arguments: Sequence[Any], keywords: dict[str, Any]) -> dict[str, str]:
        """``simpleflow workflow.start --cluster``: ensures a decider, starts, and ensures again half a minute later."""
        stage, workflow_id = self._stage, f"rehearsal-{len(self.shown)}"
        text = json.dumps({"args": list(arguments), "kwargs": keywords})
        self._client = stage.start(
            "client", "simpleflow.cli.main", "workflow.start", self._class(), "--cluster", str(self.file),
            "--workflow-id", workflow_id, "--input", text,
        )  # fmt: skip

        def run_id() -> str:
            lines = [line.split() for line in stage.log("client").splitlines()]
            return next((words[1] for words in lines if len(words) == 2 and words[0] == workflow_id), "")

        client = self._client
        stage.until("the client's start", lambda: bool(run_id()) or client.poll() is not None, 60)
        if not run_id():
            raise stages.RehearsalFailed(f"workflow.start failed:\n{stage.log('client')}")
        return {"workflowId": workflow_id, "runId": run_id()}

    def _class(self) -> str:
        """The class of the workflow: of those that the cluster's deciders run, the one registered by that name."""
        from simpleflow.runtime import standalone

        listed = self._config.deciders.workflows
        for path in listed:
            if standalone.check_workflows([path])[0].name == self._options.workflow:
                return path
        raise errors.UsageError(
            f"no workflow named '{self._options.workflow}' among deciders.workflows ({', '.join(listed) or 'none'})"
        )

    def _register(self) -> None:
        """Register the workflow type before the first start; deciders that register it too find it there."""
        try:
            self._stage.swf.register_workflow_type(
                domain=self._config.swf_domain, name=self._options.workflow, version=self._options.version
            )
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "TypeAlreadyExistsFault":
                raise stages.RehearsalFailed(f"{self._options.workflow} cannot be registered: {error}") from error

    def _closed(self, run: dict[str, str]) -> str:
        shown = self._stage.swf.describe_workflow_execution(domain=self._config.swf_domain, execution=run)
        return str(shown["executionInfo"].get("closeStatus", ""))

    def _work(self, run: dict[str, str]) -> None:
        stage = self._stage

        def done() -> bool:
            if self._options.spot_notice and self._noticed is None:
                self._interrupt_one()
            return bool(self._closed(run))

        took = stage.until("the workflow", done, _PATIENCE)
        self._closed_at = stage.cloud.clock.now()
        if self._closed(run) != "COMPLETED":
            raise stages.RehearsalFailed(f"the workflow closed as {self._closed(run)}\n{stage.consoles()}")
        fleets = [c for c in stage.cloud.record.named("ec2:CreateFleet") if not c.error]
        self._show(
            "workflow",
            f"completed in {took:.1f} s; {len(stage.workers())} worker machines by {len(fleets)} fleets, "
            f"{len(stage.deciders())} decider",
        )
        self._tell_faults()

    def _interrupt_one(self) -> None:
        """Give the first spot machine that works its notice."""
        for one in self._stage.workers():
            if one.market == "spot" and one.alive and one.machine is not None and self._has_polled(one.id):
                self._noticed = one.id, self._stage.cloud.clock.now()
                self._stage.cloud.instances.interrupt(one.id, notice=self._notice)
                self._show("spot notice", f"{one.id} has {self._notice:.0f} s left")
                return

    @property
    def _notice(self) -> float:
        """Seconds from a notice to the end of the machine: of EC2's two minutes a drain may take the preset's part."""
        return self._config.settings.notice * 4 / 3

    def _has_polled(self, instance_id: str) -> bool:
        """Whether the machine's own document says that its worker polled."""
        s3 = self._stage.cloud.client("s3")
        for bucket in s3.list_buckets()["Buckets"]:
            key = f"{documents.NODES_PREFIX}{instance_id}.json"
            if s3.list_objects_v2(Bucket=bucket["Name"], Prefix=key).get("KeyCount", 0):
                text = s3.get_object(Bucket=bucket["Name"], Key=key)["Body"].read()
                return msgspec.json.decode(text, type=documents.NodeDocument).first_polled is not None
        return False

    def _tell_faults(self) -> None:
        stage = self._stage
        fleets = stage.cloud.client("ec2").describe_fleets()["Fleets"]
        refused = {
            (e["LaunchTemplateAndOverrides"]["Overrides"].get("InstanceType"), e["ErrorCode"])
            for fleet in fleets
            for e in fleet.get("Errors", [])
        }
        if self._options.sold_out and refused:
            kinds = ", ".join(f"{kind} ({code})" for kind, code in sorted(refused, key=str))
            self._show("sold out", f"{kinds}; the other types served")
        if self._options.spot_notice and self._noticed is None:
            self._show("spot notice", "no spot machine worked long enough to get one")

    def _tell_ends(self) -> None:
        """What became of the machine that had a notice, and of the one that never worked."""
        instances = self._stage.cloud.instances
        if self._noticed is not None:
            one, since = instances.get(self._noticed[0]), self._noticed[1]
            lived = (one.ended or since) - since
            how = f"{one.id} was taken away {lived:.1f} s after its notice; what it had not finished ran elsewhere"
            if one.reason[0] == "Client.InstanceInitiatedShutdown":
                left = self._notice - lived
                how = f"{one.id} powered itself off {lived:.1f} s after its notice, {left:.1f} s before its end"
            self._show("spot drain", how)
        for name in self._stage.failed_boots:
            one = instances.get(name)
            read = any(name in str(c.params) for c in self._stage.cloud.record.named("ec2:GetConsoleOutput"))
            self._show(
                "failed boot",
                f"{one.id} never polled; {'its console was read, and ' if read else ''}the manager ended it after "
                f"{(one.ended or one.launched) - one.launched:.0f} s",
            )

    def _group(self) -> dict[str, Any]:
        groups = self._stage.cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        if not groups:
            raise stages.RehearsalFailed("there is no decider group: up did not make one")
        group: dict[str, Any] = groups[0]
        return group

    def _asleep(self) -> None:
        stage, client = self._stage, self._client
        if client is not None:
            stage.until("the client's second look", lambda: client.poll() is not None, 60)
            self._show("client", "half a minute after its start it made sure of a decider once more")
        stage.until("every worker machine drained and gone", lambda: not _alive(stage.workers()), 90)
        self._tell_ends()
        drained = [one for one in stage.workers() if one.reason[0] == "Client.InstanceInitiatedShutdown"]
        last = max((one.ended or 0.0 for one in drained), default=self._closed_at) - self._closed_at
        self._show(
            "drain",
            f"{text.count(len(drained), 'machine')} drained and powered off, the last {max(last, 0.0):.1f} s after "
            f"the workflow's end{self._boundary()}",
        )
        took = stage.until(
            "the decider group at 0",
            lambda: self._group()["DesiredCapacity"] == 0 and not _alive(stage.deciders()),
            90,
        )
        self._show("scale to zero", f"the last decider set its group to 0 and left, after {took:.1f} s")

    def _boundary(self) -> str:
        """How near to the end of a paid period the drained machines went."""
        near = []
        for one in self._stage.workers():
            profile = self._config.profiles.get(one.tags.get("simpleflow:profile", ""))
            if profile is None or one.ended is None or profile.billing.period <= 1:
                continue
            near.append(profile.billing.period - (one.ended - one.launched) % profile.billing.period)
        return f", {min(near):.0f} to {max(near):.0f} s before a paid period ended" if near else ""

    def _woken(self) -> None:
        stage, second = self._stage, self._options.second
        keywords = self._options.keywords if second is None else second
        arguments = self._options.arguments if second is None else ()
        before = len(stage.deciders())
        run = self._start(arguments, keywords, announced=False)
        took = stage.until("the alarm waking a decider", lambda: len(stage.deciders()) > before, 60)
        stage.until("the second workflow", lambda: bool(self._closed(run)), _PATIENCE)
        if self._closed(run) != "COMPLETED":
            raise stages.RehearsalFailed(f"the second workflow closed as {self._closed(run)}\n{stage.consoles()}")
        self._show(
            "wake-up",
            f"nobody announced the second run; the alarm set the group to 1 after {took:.1f} s, and it completed",
        )

    def _down(self) -> None:
        begun = time.monotonic()
        self._stage.run("down", "simpleflow.cli.sfnodes", "down", str(self.file))
        left = [one.id for one in self._stage.cloud.instances.all() if one.alive]
        if left:
            raise stages.RehearsalFailed(f"down ended, but these machines live: {', '.join(left)}")
        stacks = [s["StackName"] for s in self._stage.cloud.client("cloudformation").describe_stacks()["Stacks"]]
        self._show("down", f"in {time.monotonic() - begun:.1f} s; kept: {', '.join(stacks) or 'nothing'}")


def _alive(machines: Sequence[Any]) -> bool:
    return any(one.alive for one in machines)
