"""The bootstrap script of a recipe: the same text builds images and prepares running machines."""

from __future__ import annotations

import shlex
from pathlib import Path

import jinja2

from . import recipe as recipes

_TEMPLATES = Path(__file__).resolve().parent / "templates"
#: a machine that runs has its own kernel
_KERNEL = "linux-image"


def render(recipe: recipes.Recipe, release: recipes.Release) -> str:
    """Return the bootstrap script of a recipe for one release; the same recipe gives the same text."""
    environment = jinja2.Environment(  # noqa: S701 (shell, not HTML: values are checked by the recipe or quoted)
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["shell"] = shlex.quote
    live = [each for each in recipe.all_packages(release) if not each.startswith(_KERNEL)]
    return environment.get_template("bootstrap.sh.j2").render(
        recipe=recipe, release=release, live_packages=live, delimiter=recipes.DELIMITER
    )
