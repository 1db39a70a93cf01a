"""Nodes as instances of Amazon EC2: fleets for workers, an Auto Scaling group for deciders."""

from __future__ import annotations

from simpleflow.core import clock as clocks
from simpleflow.nodes.providers import base

from .clients import BotoClients, Clients
from .group import Ec2DeciderGroup, Life, Size
from .provider import Ec2Provider

__all__ = ["BotoClients", "Clients", "Ec2DeciderGroup", "Ec2Provider", "Life", "Size", "create"]


def create(context: base.ProviderContext) -> Ec2Provider:
    """Make the provider of a cluster (entry point ``ec2``)."""
    return Ec2Provider(context.cluster, BotoClients(context.cluster.region), clocks.RealClock())
