"""The emulated AWS account, as tests and rehearsals use it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.config

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud import environment, lookups, timeline
from simpleflow.testing.cloud.autoscaling import alarms, groups
from simpleflow.testing.cloud.cfn import api as cloudformation
from simpleflow.testing.cloud.ec2 import (
    capacity,
    compute,
    fleets,
    images,
    instances,
    launch_templates,
    machines,
    metadata,
    tokens,
)
from simpleflow.testing.cloud.iam import buckets, rights
from simpleflow.testing.cloud.wire import (
    clients,
    errors,
    faults,
    gateway,
    ids,
    models,
    principals,
    rehearsed,
    requests,
    server,
)

_ONE = threading.Lock()
#: moto's own switch: without it every fresh account reads 1,300 images, a third of a second; ours are in images.py
_STOCK_IMAGES = "MOTO_EC2_LOAD_DEFAULT_AMIS"
#: what the environment of this process holds while an account is open; None: not set. moto makes boto3 sessions of its
#: own, each of which fails on a profile that is not in the user's files
_WHILE_OPEN = {_STOCK_IMAGES: "false", "AWS_PROFILE": None, "AWS_DEFAULT_PROFILE": None}


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Cloud:
    """One AWS account on loopback. A context manager; one at a time in a process, as moto's state is the process's.

        with Cloud() as cloud:
            ec2 = cloud.client("ec2")
            ec2.run_instances(ImageId=cloud.image, InstanceType="m7i.large", MinCount=1, MaxCount=1)
            assert cloud.record.named("ec2:RunInstances")

    Two faces, one account: ``client`` calls it in this process without a socket, ``environment`` leads the boto3 and
    AWS CLI of child processes to it over HTTP. Keys that it did not give out are refused.

    Args:
        region: its region.
        clock: real by default; with a ``VirtualClock`` time stands still until ``advance``.
        timing: how long boots, lists and ends take.
        prices: USD per hour by instance type; others cost 0.05 USD per vCPU.
        boot: boots the machine of each instance; without it instances are entries in a list.
        port: of the loopback server; 0 takes a free one.
        swf_endpoint: where Amazon SWF is played, for the environments given to machines and children.
        swf_metric: tells SWF's CloudWatch metrics: name and dimensions to value, None for no data.
        alarm_period: seconds between two evaluations of alarms.
        group_pause: seconds until an Auto Scaling group replaces a member or tries a refused launch again.
        patience: seconds that CloudFormation waits for a group to become empty before its deletion fails.
    """

    def __init__(
        self,
        *,
        region: str = "eu-west-1",
        clock: clocks.Clock | None = None,
        timing: instances.Timing | None = None,
        prices: Mapping[str, float] | None = None,
        boot: machines.Boot | None = None,
        port: int = 0,
        swf_endpoint: str = "",
        swf_metric: Callable[[str, Mapping[str, str]], float | None] | None = None,
        alarm_period: float = 60.0,
        group_pause: float = 30.0,
        patience: float = 60.0,
    ) -> None:
        self.region = region
        self.clock = clock or clocks.RealClock()
        self.swf_endpoint = swf_endpoint
        self.timing = timing or instances.Timing()
        self._port = port
        self._lock = threading.RLock()
        self._server: server.Server | None = None
        self._before: dict[str, str | None] = {}
        #: every call so far
        self.record = requests.Record()
        #: planned faults
        self.faults = faults.Faults()
        #: who owns which keys
        self.principals = principals.Directory()
        self._line = timeline.Timeline(self.clock, self._lock)
        self._ids = ids.Ids()
        self._gateway = gateway.Gateway(
            clock=self.clock, lock=self._lock, directory=self.principals, record=self.record, table=self.faults
        )
        self._clients = clients.Clients(self._gateway, region)
        looked = lookups.Lookups(
            lambda service: self._clients.client(service, self.principals.admin, via=rehearsed.LOOKUP)
        )
        #: what the region sells: sold-out pools, quotas, prices
        self.capacity = capacity.Capacity(
            self.clock, looked.vcpus, prices or {}, tuple(region + letter for letter in "abc")
        )
        self._images = images.Images(self.clock, self._ids, looked)
        #: the instances: states, interruptions, logs
        self.instances = instances.Instances(
            clock=self.clock,
            line=self._line,
            maker=self._ids,
            stock=self.capacity,
            timing=self.timing,
            boot=boot,
            describe=self._machine,
            profiles=looked.profile,
            places=looked.place,
            images=self._images.check,
        )
        #: client tokens of launches: ``tokens.forget()``
        self.tokens = tokens.Tokens(self.clock, self.timing.tokens)
        self._templates = launch_templates.LaunchTemplates(self.clock, self._ids)
        self._fleets = fleets.Fleets(self.clock, self._ids, self.instances, self._templates, self.tokens)
        owners = [self._templates.tagged, self._fleets.tagged, self._images.tagged]
        self._groups = groups.AutoScaling(
            clock=self.clock,
            line=self._line,
            maker=self._ids,
            store=self.instances,
            launch_templates=self._templates,
            region=region,
            pause=group_pause,
        )
        self._swf_metric = swf_metric or (lambda name, dimensions: None)
        self._stacks = cloudformation.CloudFormation(
            clock=self.clock,
            maker=self._ids,
            clients=self._clients,
            directory=self.principals,
            region=region,
            zones=self.capacity.zones,
            patience=patience,
        )
        policies = buckets.Buckets(looked)
        self._rights = rights.Rights(looked.client, self.record)
        for store in (
            policies,
            self._groups,
            self._groups.policies,
            alarms.Alarms(
                clock=self.clock,
                line=self._line,
                region=region,
                source=self._metric,
                act=self._groups.policies.act,
                period=alarm_period,
            ),
            self._stacks,
            self._stacks.change_sets,
            self._images,
            self._templates,
            self._fleets,
            compute.Compute(self.clock, self.instances, self._templates, self.tokens, owners),
        ):
            self._gateway.register(store)
        self._gateway.guards += [looked.in_use(self.instances), policies.guard, self._rights.guard]
        self._gateway.mounted[metadata.PREFIX] = metadata.Metadata(self.clock, region, self.instances, self.principals)

    # --- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if not _ONE.acquire(blocking=False):
            raise errors.CloudError(
                "another Cloud is open in this process; leave its with block first (moto's state is shared)"
            )
        self._before = {name: os.environ.get(name) for name in _WHILE_OPEN}
        _set(_WHILE_OPEN)
        try:
            self._gateway.reset_moto()
            self._server = server.Server(self._gateway, self._port)
            self._line.start()
        except BaseException:
            self._release()
            raise
        return self

    def _release(self) -> None:
        _set(self._before)
        _ONE.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop every machine and the server; repeating it changes nothing."""
        if self._server is None:
            return
        self._line.close()
        self._stacks.close()
        self.instances.close()
        self._server.close()
        self._server = None
        self._release()

    def advance(self, seconds: float) -> None:
        """Move a virtual clock forward; boots, alarms and notices on the way happen in order."""
        self._line.advance(seconds)

    def forget(self) -> None:
        """Forget instances, calls, planned faults, tokens and sold-out pools, for tests that share an account.

        Stacks, buckets, roles and templates stay, and so does a group's size: set it to 0 first.
        """
        with self._lock:
            self.instances.forget()
            self.faults.clear()
            self.tokens.forget()
            self.capacity.restock()
            self.record.clear()
            self._rights.clear()

    def excess(self) -> list[rights.Excess]:
        """The calls that roles made so far and that their policies, as they were then, did not allow."""
        return self._rights.excess()

    def _metric(self, namespace: str, name: str, dimensions: Mapping[str, str]) -> float | None:
        if namespace == "AWS/SWF":
            return self._swf_metric(name, dimensions)
        if namespace == "AWS/AutoScaling":
            return self._groups.metric(name, dimensions.get("AutoScalingGroupName", ""))
        return None

    # --- ways in ------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """URL of every AWS service but SWF; raises CloudError outside the with block."""
        if self._server is None:
            raise errors.CloudError("the cloud is not open; use it in a with block")
        return self._server.url

    @property
    def image(self) -> str:
        """Id of a public image that exists: Debian 12, amd64."""
        return images.PUBLIC_PARAMETERS["/aws/service/debian/release/12/latest/amd64"]

    def client(self, service: str, *, credentials: principals.Credentials | None = None) -> Any:
        """A boto3 client that calls the account in this process, over the same wire but no socket.

        Args:
            service: boto3's name of the service.
            credentials: whose calls; the administrator's by default.
        """
        return self._clients.client(service, credentials or self.principals.admin)

    def session(self, *, credentials: principals.Credentials | None = None) -> boto3.Session:
        """A boto3 session with keys of this account; its clients need ``endpoint_url=cloud.endpoint``."""
        key, secret, token = credentials or self.principals.admin
        return boto3.Session(
            botocore_session=models.blank(),
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token or None,
            region_name=self.region,
        )

    def http_client(
        self,
        service: str,
        *,
        credentials: principals.Credentials | None = None,
        config: botocore.config.Config | None = None,
    ) -> Any:
        """A boto3 client over HTTP, whatever the environment of this process says."""
        fixed = botocore.config.Config(proxies={})
        merged = fixed.merge(config) if config is not None else fixed
        key, secret, token = credentials or self.principals.admin
        session: Any = models.session()
        return session.client(
            service,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token or None,
            region_name=self.region,
            endpoint_url=self.endpoint,
            config=merged,
        )

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment of a child process that reaches this account and can reach no real one.

        Args:
            base: what to start from; this process's environment by default.
        """
        return environment.scrubbed(
            os.environ if base is None else base,
            endpoint=self.endpoint,
            region=self.region,
            credentials=self.principals.admin,
            swf_endpoint=self.swf_endpoint,
        )

    def metadata_endpoint(self, instance_id: str) -> str:
        """Base URL of an instance's own metadata service."""
        return f"{self.endpoint}{metadata.PREFIX}{instance_id}/"

    def _machine(self, instance: instances.Instance) -> machines.Machine:
        endpoint = self.metadata_endpoint(instance.id)
        return machines.Machine(
            instance_id=instance.id,
            instance_type=instance.type,
            zone=instance.zone,
            region=self.region,
            metadata_endpoint=endpoint,
            user_data=instance.user_data,
            environment=environment.scrubbed(
                os.environ,
                endpoint=self.endpoint,
                region=self.region,
                credentials=self.principals.admin,
                swf_endpoint=self.swf_endpoint,
                metadata_endpoint=endpoint,
            ),
            number=[one.id for one in self.instances.all()].index(instance.id) + 1,
        )
