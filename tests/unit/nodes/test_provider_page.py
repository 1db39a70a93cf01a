"""The provider of docs/how-to/provider.md: it passes the suite, and a cluster works on it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simpleflow.testing import ProviderConformance, ProviderHarness
from tests.docs import blocks

from .rig import Rig

PAGE = blocks.ROOT / "docs" / "how-to" / "provider.md"
CODE, SUITE = [each.text for each in blocks.blocks(PAGE) if each.language == "python"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's module, and what an installation of it says: its entry point."""
    folder = tmp_path / "site"
    information = folder / "quiet-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "quiet.py").write_text(CODE)
    (folder / "suite_of_quiet.py").write_text(SUITE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: quiet\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[simpleflow.node_providers]\nquiet = quiet:Quiet\n")
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("quiet", "suite_of_quiet"):
        sys.modules.pop(name, None)


def test_the_example_is_about_sixty_lines() -> None:
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 75


@pytest.mark.needs_processes
class TestQuiet(ProviderConformance):
    @pytest.fixture
    def harness(self, installed: Path, tmp_path: Path) -> Iterator[ProviderHarness]:
        """The page's own fixture."""
        page = importlib.import_module("suite_of_quiet")
        yield from page.TestQuiet.harness.__wrapped__(None, tmp_path)


@pytest.mark.needs_processes
def test_a_cluster_works_on_a_provider_that_an_entry_point_brings(installed: Path, tmp_path: Path) -> None:
    text = """\
cluster: trial
provider: quiet
profiles: {small: {billing: {period: 1, minimum: 1, price: 0.05}, min: 1}}
task_lists: {light: {profile: small, slots: 2, max: 2}}
deciders: {min: 1}
times: {loop: 0.5, metadata: 0.3}
"""
    rig = Rig(tmp_path, text)
    rig.environment["PYTHONPATH"] = os.pathsep.join((str(installed), rig.environment["PYTHONPATH"]))
    rig.cluster.environment.update(PYTHONPATH=rig.environment["PYTHONPATH"])
    assert rig.sfnodes("validate", str(rig.file)).returncode == 0
    try:
        rig.cluster.bring_up(tied=True)
        rig.until("the node works", lambda: rig.working() == 1)
        [node] = rig.cluster.status().nodes
        pid = int((rig.cluster.paths.folder / "nodes" / node.node / "pid").read_text())
        assert (
            subprocess.run(["ps", "-o", "ni=", "-p", str(pid)], capture_output=True, text=True).stdout.strip() == "19"
        )
        assert rig.cluster.take_down(timeout=120)
    finally:
        rig.close()
