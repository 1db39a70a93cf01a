"""Every time of the node manager as one named setting, and the presets that a cluster file chooses from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
PresetName = Literal["aws", "local", "rehearsal"]

#: a rehearsal plays the constants of ``aws`` this many times faster
REHEARSAL_FACTOR = 20


class Times(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings in seconds; the defaults are the preset ``aws``. A figure that is taken from another system names it."""

    #: one pass of the manager
    loop: Seconds = 15.0
    #: a contender takes the lease after it saw control.json unchanged for so long
    lease: Seconds = 60.0
    #: the holder renews it so often
    lease_renew: Seconds = 20.0
    #: documents are written at most so often on change ...
    document_min: Seconds = 5.0
    #: ... and at least so often without one
    document_max: Seconds = 120.0
    #: an agent looks at its tags and notices so often
    metadata: Seconds = 5.0
    #: an agent looks at control.json so often
    look: Seconds = 300.0
    #: documents older than this are stale: never scale down on them
    stale: Seconds = 300.0
    #: a launch or termination is not sent later than so long after its intent was written
    intent: Seconds = 60.0
    #: how long the provider honours a signed request (AWS Signature Version 4: 15 min)
    signature: Seconds = 900.0
    #: how long the provider's lists may lag behind a launch (EC2 API guide, eventual consistency: minutes)
    list_lag: Seconds = 300.0
    #: an attempt looked up later than this is spent at worst cost: the provider forgets terminated machines
    forget: Seconds = 3300.0
    #: first commitment of money for a machine, and each extension
    commit: Seconds = 300.0
    #: boot time of a profile until it was measured
    boot: Seconds = 90.0
    #: up, but no worker ever polled: 3 x boot, not below ... (Karpenter 15 min, ParallelCluster 30)
    never_polled_min: Seconds = 300.0
    #: ... and not above
    never_polled_max: Seconds = 1800.0
    #: a machine that has polled, and since then neither polls nor works for so long, is replaced; three times as long
    #: while its agent reports no fault
    sick: Seconds = 300.0
    #: a sold-out (type, zone, market) is skipped so long, doubling to ... (Karpenter 3 min)
    sold_out_min: Seconds = 180.0
    #: ... this (ParallelCluster 10 min)
    sold_out_max: Seconds = 600.0
    #: two looks at a machine with neither row nor intent are at least so far apart (Karpenter, GitHub runners)
    orphan: Seconds = 30.0
    #: a draining node without any sign of life is ended after so long (Nomad 15 min, Clusterman 30)
    silence: Seconds = 600.0
    #: a spot notice leaves the node so long in all
    notice: Seconds = 90.0
    #: unfinished tasks are reported as interrupted so long before a notice's end
    margin: Seconds = 5.0
    #: how long a poll may stay open after the mark (SWF: 60 s)
    poll: Seconds = 60.0
    #: closed machines keep their documents so long
    keep_documents: Seconds = 3600.0


AWS = Times()
LOCAL = Times(
    loop=1.0,
    lease=6.0,
    lease_renew=2.0,
    document_min=1.0,
    document_max=10.0,
    metadata=0.5,
    look=10.0,
    stale=30.0,
    intent=10.0,
    signature=1.0,
    list_lag=1.0,
    forget=600.0,
    commit=60.0,
    boot=2.0,
    # Not less: nodes share this machine's cores with their own work, and Python alone may need seconds to start
    never_polled_min=20.0,
    never_polled_max=60.0,
    sick=20.0,
    sold_out_min=5.0,
    sold_out_max=20.0,
    orphan=2.0,
    silence=20.0,
    notice=20.0,
    poll=5.0,
)
_REHEARSAL = {name: value / REHEARSAL_FACTOR for name, value in msgspec.structs.asdict(AWS).items()}
#: what does not go faster: machines install for real, and share this machine's cores with each other
_AS_FAST_AS_HERE = {"never_polled_min": 45.0, "never_polled_max": 180.0, "sick": 30.0}
REHEARSAL = Times(**{**_REHEARSAL, **_AS_FAST_AS_HERE, "poll": 3.0, "keep_documents": AWS.keep_documents})

PRESETS: dict[str, Times] = {"aws": AWS, "local": LOCAL, "rehearsal": REHEARSAL}


def resolve(preset: str, overrides: dict[str, float]) -> Times:
    """Return the preset with these settings replaced; the names were validated with the cluster file."""
    changed: dict[str, Any] = dict(overrides)
    return msgspec.structs.replace(PRESETS[preset], **changed)


def from_mapping(values: dict[str, float]) -> Times:
    """Rebuild times that a document carries; unknown names (a newer manager's) are ignored."""
    known = {name: float(value) for name, value in values.items() if name in Times.__struct_fields__}
    return Times(**known)
