"""Where a cluster's own files lie on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import config


def data_folder(environment: Mapping[str, str]) -> Path:
    """The user's data folder: SIMPLEFLOW_DATA_DIR, else below XDG_DATA_HOME, else ~/.local/share."""
    if environment.get("SIMPLEFLOW_DATA_DIR"):
        return Path(environment["SIMPLEFLOW_DATA_DIR"])
    base = environment.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "simpleflow"


def runtime_folder(environment: Mapping[str, str]) -> Path:
    """Where the embedded service's socket lies: SIMPLEFLOW_RUNTIME_DIR, else below XDG_RUNTIME_DIR, else by uid."""
    if environment.get("SIMPLEFLOW_RUNTIME_DIR"):
        return Path(environment["SIMPLEFLOW_RUNTIME_DIR"])
    base = environment.get("XDG_RUNTIME_DIR")
    return Path(base) / "simpleflow" if base else Path(tempfile.gettempdir()) / f"simpleflow-{os.getuid()}"


class ClusterPaths:
    """The folder of one cluster: provider state, logs, the supervisor's lock."""

    def __init__(self, cluster: config.ClusterConfig, environment: Mapping[str, str]) -> None:
        self.folder = data_folder(environment) / "clusters" / cluster.cluster
        self.lifeline = self.folder / "lifeline.lock"
        #: the supervisor's copy of the cluster file
        self.file = self.folder / "cluster.json"
        #: what `up` wrote, while the cluster is up
        self.up = self.folder / "up.json"
        #: there while the cluster goes down: 'drain', or 'hurry'
        self.ending = self.folder / "ending"
        #: there after `up` until the manager forgot the boot failures
        self.resume = self.folder / "resume"
        self.decider_setup = self.folder / "decider.json"
        self.logs = self.folder / "logs"
        self.store = cluster.store or f"file://{self.folder / 'store'}"
        self.endpoint = cluster.endpoint or (
            "" if cluster.provider == "ec2" else f"unix://{runtime_folder(environment) / 'swf.sock'}"
        )
        #: whether the cluster stands on the embedded service of this user
        self.embedded = not cluster.endpoint and cluster.provider != "ec2"
