"""The provider conformance suite, on the emulated account."""

from __future__ import annotations

import time

import pytest

from simpleflow.core import clock as clocks
from simpleflow.nodes import bundle, config, metadata, stack
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.testing import cloud as emulated
from tests.nodes.conformance import suite
from tests.unit.ec2.conftest import CODE, CloudClients


class TestEc2(suite.ProviderConformance):
    @pytest.fixture
    def harness(
        self,
        cluster: config.ClusterConfig,
        account: accounts.Account,
        builder: bundle.Builder,
        cloud: emulated.Cloud,
        made: CloudClients,
    ) -> suite.Harness:
        for _ in stack.up(cluster, account, builder, lambda: CODE):
            pass

        def marks(instance: str) -> int:
            seen = metadata.Metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.metadata_endpoint(instance)})
            return seen.drain_generation()

        return suite.Harness(
            provider=ec2.Ec2Provider(cluster, made, clocks.RealClock()),
            cluster="demo",
            profile="small",
            now=time.time,
            settle=lambda: None,
            marks=marks,
        )
