"""Log groups with a retention, kept by ``down``."""

from __future__ import annotations

from troposphere import Tags, Template, logs

from . import values

#: logical id of each group, and what writes to it
GROUPS = {"NodeLogs": "agents and workers", "DeciderLogs": "deciders and the manager"}


def add(template: Template, cluster: values.Cluster) -> None:
    """Add the log groups; their names are outputs."""
    for title in GROUPS:
        template.add_resource(
            logs.LogGroup(
                title,
                RetentionInDays=cluster.log_days,
                Tags=Tags(values.tags_of(cluster)),
                DeletionPolicy="Retain",
                UpdateReplacePolicy="Retain",
            )
        )
