"""Test workflows, deciders and cluster code without a network and without waiting.

    from simpleflow.testing import Environment

    with Environment() as environment:
        assert environment.run(Order, "tea", "cake") == 7.7

Workflows: ``Environment`` (also the pytest fixture ``environment``), with ``takes``, ``hang`` and ``dies`` for the
activities that it runs; ``Failed`` and ``Stuck`` are how a run ends otherwise. Histories: ``HistoryBuilder`` writes
one event by event; ``replay`` and ``replay_all`` hold saved ones against today's code. Machines: ``FakeProvider`` is a
node provider in memory, ``Cloud`` an emulated AWS account; ``ProviderConformance`` are the tests of a provider of your
own, on a ``ProviderHarness``. See docs/how-to/test-a-workflow.md and docs/how-to/provider.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simpleflow.local.inline import Stuck
    from simpleflow.local.latency import dies, hang, takes
    from simpleflow.nodes.providers.fake import FakeProvider
    from simpleflow.testing.cloud.cloud import Cloud
    from simpleflow.testing.environment import Environment, Failed, Run
    from simpleflow.testing.histories.builder import HistoryBuilder, NotOpen
    from simpleflow.testing.providers import ProviderConformance, ProviderHarness
    from simpleflow.testing.replaying.replay import Diverged, NotReplayable, replay, replay_all

__all__ = [
    "Cloud",
    "Diverged",
    "Environment",
    "Failed",
    "FakeProvider",
    "HistoryBuilder",
    "NotOpen",
    "NotReplayable",
    "ProviderConformance",
    "ProviderHarness",
    "Run",
    "Stuck",
    "dies",
    "hang",
    "replay",
    "replay_all",
    "takes",
]

#: name -> its module. Loaded when first asked for: pytest imports this package in every project, for the plugin.
_HOME = {
    "Cloud": "simpleflow.testing.cloud.cloud",
    "Diverged": "simpleflow.testing.replaying.replay",
    "Environment": "simpleflow.testing.environment",
    "Failed": "simpleflow.testing.environment",
    "FakeProvider": "simpleflow.nodes.providers.fake",
    "HistoryBuilder": "simpleflow.testing.histories.builder",
    "NotOpen": "simpleflow.testing.histories.builder",
    "NotReplayable": "simpleflow.testing.replaying.replay",
    "ProviderConformance": "simpleflow.testing.providers",
    "ProviderHarness": "simpleflow.testing.providers",
    "Run": "simpleflow.testing.environment",
    "Stuck": "simpleflow.local.inline",
    "dies": "simpleflow.local.latency",
    "hang": "simpleflow.local.latency",
    "replay": "simpleflow.testing.replaying.replay",
    "replay_all": "simpleflow.testing.replaying.replay",
    "takes": "simpleflow.local.latency",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
