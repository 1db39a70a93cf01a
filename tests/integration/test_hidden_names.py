"""Files and folders of the working directory that bear our name, or one of the standard library."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from place_rig import ROOT, Place

pytestmark = pytest.mark.needs_processes
CLUSTER = """\
cluster: hidden
provider: process
preset: local
profiles: {small: {billing: {period: 20, minimum: 20, price: 0.05}}}
task_lists: {work: {profile: small, slots: 1, max: 1}}
deciders: {task_list: orders, workflows: [hidden_shop.Order]}
"""
PROGRAM = """
from simpleflow import Workflow, activity, execute

@execute.python()
def elsewhere(number):
    return 2 * number

@activity.with_attributes(task_list="work", raises_on_failure=True)
def double(number):
    return elsewhere(number)

class Order(Workflow):
    name, version, task_list = "order", "1", "orders"

    def run(self):
        return self.submit(double, 21).result
"""


def standalone(place: Place) -> subprocess.CompletedProcess[str]:
    (place.folder / "hidden_shop.py").write_text(PROGRAM)
    known = place.env.pop("PYTHONPATH")
    command = [sys.executable, str(ROOT / "bin" / "simpleflow"), "standalone", "hidden_shop.Order", "-W", "1"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=place.env, cwd=place.folder)
    finally:  # the test's own commands see neither
        place.env["PYTHONPATH"] = known
        shutil.rmtree(place.folder / "simpleflow", ignore_errors=True)
        (place.folder / "queue.py").unlink(missing_ok=True)


@pytest.mark.parametrize("regular", [True, False])
def test_children_see_the_package_that_their_parent_sees(place: Place, regular: bool) -> None:
    (place.folder / "simpleflow").mkdir()
    if regular:
        (place.folder / "simpleflow" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    ended = standalone(place)
    assert (ended.returncode, ended.stdout.strip()) == (0, "42"), ended.stderr


def test_machines_of_a_cluster_see_it_too(place: Place) -> None:
    (place.folder / "simpleflow").mkdir()
    (place.folder / "simpleflow" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    (place.folder / "hidden_shop.py").write_text(PROGRAM)
    (place.folder / "cluster.yaml").write_text(CLUSTER)
    known, sfnodes, simpleflow = place.env.pop("PYTHONPATH"), str(ROOT / "bin/sfnodes"), str(ROOT / "bin/simpleflow")

    def ok(*command: str) -> str:
        ended = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, timeout=300, env=place.env, cwd=place.folder
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}\n{ended.stderr}\n{place.logs()}"
        return ended.stdout

    try:
        ok(sfnodes, "up")
        started = ok(simpleflow, "workflow.start", "hidden_shop.Order", "--cluster", "cluster.yaml").split()
        assert ok(simpleflow, "workflow.wait", "hidden", started[0], "--timeout", "300").strip() == "42"
    finally:
        subprocess.run([sys.executable, sfnodes, "down"], timeout=300, env=place.env, cwd=place.folder, check=True)
        place.env["PYTHONPATH"] = known
        shutil.rmtree(place.folder / "simpleflow")


def test_a_file_that_shadows_the_standard_library_holds_nobody_up(place: Place) -> None:
    (place.folder / "queue.py").write_text("raise RuntimeError('not the standard one')")
    ended = standalone(place)
    assert (ended.returncode, ended.stdout.strip()) == (0, "42"), ended.stderr


def test_a_decider_that_cannot_start_ends_standalone_with_its_message(place: Place) -> None:
    broken = PROGRAM + "\nimport sys\nif 'decider' in str(sys.argv): raise OSError('only in the decider')\n"
    (place.folder / "hidden_shop.py").write_text(broken)
    ended = place.run("standalone", "hidden_shop.Order", "-W", "1", timeout=300)
    assert ended.returncode != 0
    assert "only in the decider" in ended.stderr
    assert "no decider can start here" in ended.stderr
