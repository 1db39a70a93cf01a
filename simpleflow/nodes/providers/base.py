"""The seam between the manager and machines: providers for EC2, local processes, existing machines, and the fake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from simpleflow.core import documents
from simpleflow.nodes import config

State = Literal["pending", "running", "stopping", "terminated"]


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: ``units`` machines of one profile. Its creator sends it at most once (docs/design/control.md)."""

    cluster: str
    profile: str
    attempt: str
    units: int
    #: epoch seconds after which the call must not be sent
    not_after: float
    #: tags at launch, besides simpleflow:cluster, simpleflow:profile and simpleflow:attempt
    tags: Mapping[str, str] = {}


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as the provider lists it."""

    id: str
    state: State
    profile: str
    attempt: str
    #: epoch seconds, by the provider's clock
    launched: float
    instance_type: str
    zone: str = ""
    market: Literal["on-demand", "spot"] = "on-demand"
    tags: Mapping[str, str] = {}


class Launched(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's definite answer: what it launched, and why the rest was refused."""

    instances: tuple[Instance, ...]
    refusals: tuple[str, ...] = ()


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Every instance that carries the cluster's tag. Complete, or the call raises."""

    instances: tuple[Instance, ...]
    #: epoch seconds by the provider's clock at which the listing began
    begun: float


class NodeProvider(Protocol):
    """Machines of one cluster. Thread safe. One conformance suite runs on every implementation.

    Raises ``ProviderRefused`` for a definite refusal (nothing was done), ``ProviderUnclear`` when no definite answer
    came (the call may have been carried out), ``ProviderThrottled`` when it should be repeated later.
    """

    def launch(self, spec: LaunchSpec) -> Launched:
        """Launch one attempt, at most once; raises ProviderRefused after ``spec.not_after``."""

    def list(self) -> Listing:
        """List every instance of the cluster, terminated ones as long as the provider remembers them."""

    def mark(self, instance_id: str, generation: int) -> None:
        """Set the drain mark ``simpleflow:drain.<generation>``; repeating it changes nothing."""

    def unmark(self, instance_id: str, generation: int) -> None:
        """Remove that mark; an absent one is not an error."""

    def terminate(self, instance_id: str) -> bool | None:
        """End a machine; one that is gone is not an error.

        Returns True if the provider says that it had not begun to run, and does not bill it.
        """

    def diagnose(self, instance_id: str) -> str:
        """The last 50 lines of the machine's boot log ('' when there is none yet)."""


@runtime_checkable
class AttemptLocks(Protocol):
    """Providers that know at once when an attempt is over. Others wait for its signature to expire."""

    def attempt_over(self, attempt: str) -> bool:
        """Return whether nothing of this attempt can be launched any more. True is final."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A program of this machine that leads onto a node: what `sfnodes exec` and `ssh` become."""

    command: tuple[str, ...]
    #: variables beside, or in place of, those of the caller
    environment: Mapping[str, str] = {}
    #: folder in which it runs; '' for the caller's
    directory: str = ""
    #: programs that it needs besides its first word
    needs: tuple[str, ...] = ()


@runtime_checkable
class Sessions(Protocol):
    """Providers whose machines a person can enter."""

    def session(self, instance_id: str, command: Sequence[str]) -> Session:
        """Return the program that runs ``command`` (none: a shell) on a machine.

        Raises ProviderRefused for a machine that does not live.
        """


Factory = Callable[["ProviderContext"], NodeProvider]


class ProviderContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is made from (entry points ``simpleflow.node_providers``, each a Factory)."""

    cluster: config.ClusterConfig
    #: what the agents of each profile must know
    setups: Mapping[str, documents.NodeSetup]
    #: folder for the provider's own state on this machine
    folder: str
