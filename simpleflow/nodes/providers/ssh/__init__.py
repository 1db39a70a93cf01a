"""Nodes on existing machines, reached over ssh. The machines are used, never powered off."""

from __future__ import annotations

from pathlib import Path

from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.providers import base

from .provider import SshProvider

__all__ = ["SshProvider", "create"]


def create(context: base.ProviderContext) -> SshProvider:
    """Make the provider of a cluster (entry point ``ssh``), whose file has absolute paths."""
    folders = bundle.Folders()

    def code() -> tuple[bytes, str]:
        made = bundle.Builder(context.cluster, folders).code(Path("/"))
        return made.content, made.digest

    return SshProvider(
        context.cluster.cluster,
        context.folder,
        context.setups,
        context.cluster.profiles,
        tasks=folders.module("provisioning.tasks"),
        code=code,
    )
