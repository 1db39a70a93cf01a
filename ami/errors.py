"""What image builds raise. This folder imports nothing of ours, so its root is its own."""

from __future__ import annotations

from collections.abc import Sequence


class AmiError(Exception):
    """An image cannot be built, checked or booted; the message says what to do next."""


class RecipeError(AmiError):
    """A recipe that cannot be used. ``problems`` holds one line each: 'FILE:LINE: what, and what instead'."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class MissingTools(AmiError):
    """Programs or rights that a build or a boot needs are missing here; scripts/ami-setup installs them."""


class BuildFailed(AmiError):
    """A program of the build failed; the message ends with the last lines it wrote."""


class BootFailed(AmiError):
    """A booted image did not do what it should; the message ends with the last lines of its console."""
