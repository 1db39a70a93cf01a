"""Where a cluster's own files lie on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from simpleflow.core import folders

from . import config


class ClusterPaths:
    """The folder of one cluster: provider state, logs, the supervisor's lock."""

    def __init__(self, cluster: config.ClusterConfig, environment: Mapping[str, str]) -> None:
        self.folder = folders.data(environment) / "clusters" / cluster.cluster
        self.lifeline = self.folder / "lifeline.lock"
        #: the supervisor's copy of the cluster file
        self.file = self.folder / "cluster.json"
        #: path of the cluster file that `up` was given
        self.origin = self.folder / "origin"
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
            "" if cluster.provider == "ec2" else f"unix://{folders.runtime(environment) / 'swf.sock'}"
        )
        #: whether the cluster stands on the embedded service of this user
        self.embedded = not cluster.endpoint and cluster.provider != "ec2"
