"""What every node provider must do, as tests. A subclass gives a ``harness`` fixture (docs/how-to/provider.md):

class TestMine(ProviderConformance):
    @pytest.fixture
    def harness(self, tmp_path):
        return ProviderHarness(provider=..., cluster="demo", profile="small", now=..., settle=..., marks=...)
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from simpleflow.nodes import errors, tags
from simpleflow.nodes.providers import base

_ATTEMPTS = itertools.count(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderHarness:
    """A provider with nothing launched, and what the suite must know of its world."""

    provider: base.NodeProvider
    cluster: str
    #: a profile that can be launched
    profile: str
    #: epoch seconds by the provider's clock
    now: Callable[[], float]
    #: wait until lists show what was done
    settle: Callable[[], None]
    #: the drain generation that the machine itself sees in its metadata; 0: none
    marks: Callable[[str], int]

    def spec(self, units: int = 1, **changes: object) -> base.LaunchSpec:
        """A launch that may be sent for a minute, of an attempt that was never used."""
        given: dict[str, object] = {
            "cluster": self.cluster,
            "profile": self.profile,
            "attempt": f"conformance-{next(_ATTEMPTS):06d}",
            "units": units,
            "not_after": self.now() + 60,
            **changes,
        }
        return base.LaunchSpec(**given)  # type: ignore[arg-type]  # values of one field each, by name

    def listed(self) -> dict[str, base.Instance]:
        self.settle()
        return {each.id: each for each in self.provider.list().instances}


class ProviderConformance:
    """Launch, list, mark, unmark, terminate, diagnose."""

    def test_a_launch_answers_with_its_machines_and_lists_show_them_by_tag(self, harness: ProviderHarness) -> None:
        spec = harness.spec(2, tags={"team": "red"})
        launched = harness.provider.launch(spec)
        assert len({each.id for each in launched.instances}) == 2
        assert launched.refusals == ()
        listed = harness.listed()
        for each in launched.instances:
            shown = listed[each.id]
            assert (shown.attempt, shown.profile) == (spec.attempt, harness.profile)
            assert shown.tags[tags.ATTEMPT] == spec.attempt
            assert shown.tags[tags.CLUSTER] == harness.cluster
            assert shown.tags[tags.PROFILE] == harness.profile
            assert shown.tags["team"] == "red"
            assert shown.state in {"pending", "running"}
            assert shown.launched <= harness.now() + 5

    def test_an_attempt_is_launched_at_most_once(self, harness: ProviderHarness) -> None:
        spec = harness.spec()
        first = harness.provider.launch(spec)
        try:
            again = harness.provider.launch(spec).instances
        except (errors.ProviderRefused, errors.ProviderUnclear):
            again = first.instances
        assert {each.id for each in again} == {each.id for each in first.instances}
        assert len([each for each in harness.listed().values() if each.attempt == spec.attempt]) == 1

    def test_nothing_is_sent_after_the_last_moment(self, harness: ProviderHarness) -> None:
        spec = harness.spec(not_after=harness.now() - 1)
        with pytest.raises(errors.ProviderRefused):
            harness.provider.launch(spec)
        assert not [each for each in harness.listed().values() if each.attempt == spec.attempt]

    def test_an_unknown_profile_is_refused_by_name(self, harness: ProviderHarness) -> None:
        with pytest.raises(errors.ProviderRefused, match="no-such-profile"):
            harness.provider.launch(harness.spec(profile="no-such-profile"))

    def test_attempts_do_not_mix(self, harness: ProviderHarness) -> None:
        one, two = harness.provider.launch(harness.spec()), harness.provider.launch(harness.spec())
        assert one.instances[0].id != two.instances[0].id
        assert one.instances[0].attempt != two.instances[0].attempt

    def test_a_mark_reaches_the_machine_and_can_be_taken_back(self, harness: ProviderHarness) -> None:
        node = harness.provider.launch(harness.spec()).instances[0].id
        harness.settle()
        assert harness.marks(node) == 0
        harness.provider.mark(node, 1)
        harness.provider.mark(node, 1)
        assert harness.marks(node) == 1
        assert tags.drain_generation(harness.listed()[node].tags) == 1
        harness.provider.unmark(node, 1)
        harness.provider.unmark(node, 1)
        assert harness.marks(node) == 0
        harness.provider.mark(node, 2)
        assert harness.marks(node) == 2

    def test_termination_is_final_and_repeatable(self, harness: ProviderHarness) -> None:
        keep, end = (each.id for each in harness.provider.launch(harness.spec(2)).instances)
        harness.settle()
        harness.provider.terminate(end)
        harness.provider.terminate(end)
        listed = harness.listed()
        assert end not in listed or listed[end].state in {"stopping", "terminated"}
        assert listed[keep].state in {"pending", "running"}

    def test_ending_a_machine_that_never_was_is_no_error(self, harness: ProviderHarness) -> None:
        try:
            harness.provider.terminate("i-0123456789abcdef0")
        except errors.ProviderRefused as error:
            pytest.fail(f"a machine that is gone is not an error: {error}")

    def test_a_listing_says_when_it_began(self, harness: ProviderHarness) -> None:
        before = harness.now()
        listing = harness.provider.list()
        assert before - 5 <= listing.begun <= harness.now() + 5

    def test_diagnose_gives_at_most_fifty_lines(self, harness: ProviderHarness) -> None:
        node = harness.provider.launch(harness.spec()).instances[0].id
        assert len(harness.provider.diagnose(node).splitlines()) <= 50

    def test_a_provider_that_knows_when_attempts_are_over_gives_them_up_for_ever(
        self, harness: ProviderHarness
    ) -> None:
        if not isinstance(harness.provider, base.AttemptLocks):
            return
        spec = harness.spec()
        assert harness.provider.attempt_over(spec.attempt)
        with pytest.raises(errors.ProviderRefused):
            harness.provider.launch(spec)
