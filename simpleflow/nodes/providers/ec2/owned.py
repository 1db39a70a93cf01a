"""Ownership by tags: nothing of the account is changed or deleted that does not have this cluster's tag."""

from __future__ import annotations

from collections.abc import Mapping

from simpleflow.nodes import errors, tags


def require_stack(name: str, found: Mapping[str, str], description: str, cluster: str) -> None:
    """Raise ProviderRefused, naming the owner's tags, for a stack that is not this cluster's.

    A stack of ours is tagged when it is created; one without the tag (taken off by hand) is known by its description.
    """
    owner = found.get(tags.CLUSTER)
    if owner == cluster or (owner is None and description.startswith(f"simpleflow {cluster}: ")):
        return
    shown = ", ".join(f"{key}={value}" for key, value in sorted(found.items())) or "none"
    about = f", described as '{description}'" if description else ""
    raise errors.ProviderRefused(
        f"stack '{name}' is not of cluster '{cluster}': its tags are {shown}{about}. Nothing was changed or deleted; "
        "give the cluster another name (cluster: ...) or another region, or ask the stack's owner"
    )
