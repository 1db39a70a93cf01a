"""The provider conformance suite, on the emulated account."""

from __future__ import annotations

import time

import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import config
from simpleflow.nodes.agent import metadata_client
from simpleflow.nodes.providers import ec2
from simpleflow.testing import cloud as emulated
from simpleflow.testing import providers as suite
from tests.unit.ec2.conftest import CloudClients


class TestEc2(suite.ProviderConformance):
    @pytest.fixture
    def harness(
        self,
        cluster: config.ClusterConfig,
        fresh: emulated.Cloud,
    ) -> suite.ProviderHarness:
        def marks(instance: str) -> int:
            seen = metadata_client.Metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": fresh.metadata_endpoint(instance)})
            return seen.drain_generation()

        return suite.ProviderHarness(
            provider=ec2.Ec2Provider(cluster, CloudClients(fresh), clocks.RealClock()),
            cluster="demo",
            profile="small",
            now=time.time,
            settle=lambda: None,
            marks=marks,
        )
