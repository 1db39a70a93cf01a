"""Which step runs, and why.

Names are hierarchical: ``a`` means ``a``, ``a.b`` and ``a.b.c``; ``*`` means every step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping


def _means(given: str, step_name: str) -> bool:
    return given in ("*", step_name) or step_name.startswith(f"{given}.")


def should_force_step(step_name: str, force_steps: Iterable[str]) -> bool:
    """Whether one of the names means this step."""
    return any(_means(given, step_name) for given in force_steps)


def should_skip_step(step_name: str, skipped_steps: Iterable[str]) -> bool:
    """Whether one of the names means this step."""
    return should_force_step(step_name, skipped_steps)


def step_will_run(
    step_name: str,
    force_steps: Iterable[str],
    skipped_steps: Iterable[str],
    steps_done: Collection[str],
    force: bool = False,
) -> bool:
    """Whether a step runs: it is forced; else it is neither skipped nor done."""
    if step_is_forced(step_name, force_steps, force):
        return True
    return not should_skip_step(step_name, skipped_steps) and step_name not in steps_done


def step_is_forced(step_name: str, force_steps: Iterable[str], force: bool) -> bool:
    """Whether a step runs whatever was done before."""
    return force or should_force_step(step_name, force_steps)


def step_is_skipped_by_force(step_name: str, skipped_steps: Iterable[str]) -> bool:
    """Whether a step is skipped although it may not be done."""
    return should_skip_step(step_name, skipped_steps)


def get_step_force_reasons(step_name: str, step_force_reasons: Mapping[str, Iterable[str]]) -> list[str]:
    """Return why a step is forced, from reasons by name, in alphabetical order."""
    return sorted({why for given, reasons in step_force_reasons.items() if _means(given, step_name) for why in reasons})


def get_step_skip_reasons(step_name: str, step_skip_reasons: Mapping[str, Iterable[str]]) -> list[str]:
    """Return why a step is skipped, from reasons by name, in alphabetical order."""
    return get_step_force_reasons(step_name, step_skip_reasons)
