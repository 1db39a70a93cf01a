"""Each failure of other node managers that docs/design/nodes.md names has its test here."""

from __future__ import annotations

import re
from pathlib import Path

from .world import World

TESTS = Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "docs" / "design" / "nodes.md"


def rows() -> dict[str, list[str]]:
    """The failures of the page's last table, with the names of their tests."""
    table = PAGE.read_text().partition("## What went wrong elsewhere")[2]
    found = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ") and "`test_" in line]
    return {cells[0].strip(): re.findall(r"`(test_\w+)`", cells[2]) for cells in found}


def test_every_failure_of_the_page_has_its_tests() -> None:
    there = {
        name for path in TESTS.rglob("test_*.py") for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)
    }
    failures = rows()
    assert len(failures) == 18
    missing = {failure: name for failure, names in failures.items() for name in names if name not in there}
    assert not missing
    assert all(failures.values())


def test_each_launch_has_a_token_of_its_own_and_is_sent_once() -> None:
    """A token of a terminated instance is refused for ever (terraform-provider-aws #27543)."""
    world = World()
    for wave in range(3):
        world.add(f"t{wave}")
        for _ in range(60):
            world.tick()
            if not world.queue and not world.living() and not world.document().rows:
                break
    assert world.done == ["t0", "t1", "t2"]
    assert len(world.nodes) == 3
    assert len(set(world.provider.attempts)) == len(world.provider.attempts) == 3
