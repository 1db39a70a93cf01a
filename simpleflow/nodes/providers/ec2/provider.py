"""Launches, lists, marks and ends instances (base.NodeProvider)."""

from __future__ import annotations

import datetime
import email.utils
import functools
import json
import shlex
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from simpleflow.core import clock as clocks
from simpleflow.nodes import config, errors, tags
from simpleflow.nodes.providers import base

from . import clients, fleet, soldout, stackinfo

#: instances per page of DescribeInstances, EC2's maximum
PAGE = 1000
LOG_LINES = 50


class Ec2Provider:
    """Nodes as instances of EC2."""

    def __init__(self, cluster: config.ClusterConfig, made: clients.Clients, clock: clocks.Clock) -> None:
        self._cluster = cluster
        self._clients = made
        self._clock = clock
        times = cluster.settings
        self._memory = soldout.SoldOut(clock, times.sold_out_min, times.sold_out_max)
        self._lock = threading.Lock()
        self._info: stackinfo.StackInfo | None = None
        self._sender: Any = None
        #: last moment of the launch that this thread is sending
        self._sending = threading.local()

    # --- launch ---------------------------------------------------------------------------------------------------

    def launch(self, spec: base.LaunchSpec) -> base.Launched:
        """Launch one attempt: one CreateFleet, sent once, never after ``spec.not_after``."""
        profile = self._cluster.profiles.get(spec.profile)
        if profile is None:
            known = ", ".join(sorted(self._cluster.profiles))
            raise errors.ProviderRefused(f"profile '{spec.profile}' is unknown to this provider; known: {known}")
        info = self._stack(spec.profile)
        overrides = fleet.pools(profile, info.subnets, self._memory)
        if not overrides:
            raise errors.ProviderRefused(
                f"every type of profile '{spec.profile}' ({', '.join(profile.types)}) is sold out in every zone; it is "
                "tried again in some minutes: more types or zones in the cluster file help"
            )
        parameters = fleet.request(spec, profile, info.templates[stackinfo.logical(spec.profile)], overrides)
        with clients.mapped(f"launching {spec.units} of profile '{spec.profile}' (attempt {spec.attempt})"):
            self._sending.not_after = spec.not_after
            answer = self._fleets().create_fleet(**parameters)
        return fleet.launched(answer, spec, profile, info.subnets, self._memory, self._moment(answer))

    def _fleets(self) -> Any:
        with self._lock:
            if self._sender is None:
                self._sender = self._clients.get("ec2", retries=False)
                # The last hook before the wire: a pause between signing and sending cannot slip in behind it.
                self._sender.meta.events.register_first("before-send.ec2.CreateFleet", self._check_date)
            return self._sender

    def _check_date(self, request: Any, **_: Any) -> None:
        signed = request.headers["X-Amz-Date"]
        text = signed.decode() if isinstance(signed, bytes) else str(signed)
        date = datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()
        if date > self._sending.not_after:
            raise clients.TooLate("its last moment has passed; nothing was launched")

    def _stack(self, profile: str) -> stackinfo.StackInfo:
        with self._lock:
            info = self._info
            if info is None or stackinfo.logical(profile) not in info.templates:
                info = self._info = stackinfo.read(self._clients, self._cluster.cluster)
        if stackinfo.logical(profile) not in info.templates:
            raise errors.ProviderRefused(
                f"profile '{profile}' is not in stack '{self._cluster.cluster}' yet; `sfnodes up` adds it"
            )
        return info

    # --- list -----------------------------------------------------------------------------------------------------

    def list(self) -> base.Listing:
        """List every worker of the cluster, page by page; deciders belong to their group and carry no attempt."""
        wanted = [
            {"Name": f"tag:{tags.CLUSTER}", "Values": [self._cluster.cluster]},
            {"Name": "tag-key", "Values": [tags.ATTEMPT]},
        ]
        found: dict[str, base.Instance] = {}
        begun: float | None = None
        more: dict[str, str] = {}
        with clients.mapped(f"listing the nodes of '{self._cluster.cluster}'"):
            call = functools.partial(self._clients.get("ec2").describe_instances, Filters=wanted, MaxResults=PAGE)
            while True:
                answer = call(**more)
                begun = self._moment(answer) if begun is None else begun
                found |= {each.id: each for each in fleet.listed(answer["Reservations"])}
                if not answer.get("NextToken"):
                    return base.Listing(instances=tuple(found.values()), begun=begun)
                more = {"NextToken": answer["NextToken"]}

    def _moment(self, answer: Mapping[str, Any]) -> float:
        """When AWS answered, by its own clock."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return email.utils.parsedate_to_datetime(date).timestamp() if date else self._clock.now()

    # --- one instance ---------------------------------------------------------------------------------------------

    def mark(self, instance_id: str, generation: int) -> None:
        """Set the drain mark; the generation stands in the key, which metadata is documented to follow."""
        with clients.mapped(f"marking {instance_id}"):
            self._clients.get("ec2").create_tags(
                Resources=[instance_id], Tags=[{"Key": tags.drain(generation), "Value": "1"}]
            )

    def unmark(self, instance_id: str, generation: int) -> None:
        """Remove it; an absent one is not an error."""
        with clients.mapped(f"taking the mark of {instance_id} back"):
            self._clients.get("ec2").delete_tags(Resources=[instance_id], Tags=[{"Key": tags.drain(generation)}])

    def terminate(self, instance_id: str) -> bool:
        """End an instance; one that is gone is not an error.

        An instance is billed from the moment that it runs (EC2 user guide, "Instance lifecycle"). The fleet that
        launched it is of the type ``instant``, which launches once: nothing comes in its place.
        """
        with clients.mapped(f"ending {instance_id}"):
            try:
                answer = self._clients.get("ec2").terminate_instances(InstanceIds=[instance_id])
            except Exception as error:
                if clients.code_of(error) != "InvalidInstanceID.NotFound":
                    raise
                return False
        return any(each.get("PreviousState", {}).get("Name") == "pending" for each in answer["TerminatingInstances"])

    def diagnose(self, instance_id: str) -> str:
        """The last 50 lines of the console's output, the newest where the type can show it (Nitro)."""
        with clients.mapped(f"reading the console of {instance_id}"):
            ec2 = self._clients.get("ec2")
            try:
                answer = ec2.get_console_output(InstanceId=instance_id, Latest=True)
            except Exception as error:
                if clients.code_of(error) == "InvalidInstanceID.NotFound":
                    return ""
                if clients.code_of(error) not in {"UnsupportedOperation", "InvalidParameterCombination"}:
                    raise
                answer = ec2.get_console_output(InstanceId=instance_id)
        return "\n".join(str(answer.get("Output") or "").splitlines()[-LOG_LINES:])

    def session(self, instance_id: str, command: Sequence[str]) -> base.Session:
        """A session of AWS Systems Manager: machines have no open port (base.Sessions)."""
        listed = {each.id: each for each in self.list().instances}
        found = listed.get(instance_id)
        if found is None or found.state != "running":
            alive = sorted(name for name, each in listed.items() if each.state == "running")
            raise errors.ProviderRefused(
                f"machine '{instance_id}' does not run; those that do: {', '.join(alive) or 'none'}"
            )
        words = ["aws", "ssm", "start-session", "--region", self._cluster.region, "--target", instance_id]
        if command:
            given = json.dumps({"command": [shlex.join(command)]})
            words += ["--document-name", "AWS-StartInteractiveCommand", "--parameters", given]
        return base.Session(command=tuple(words), needs=("session-manager-plugin",))
