"""``python -m simpleflow.ami``: build images, show bootstrap scripts, list recipes."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from . import bootstrap, build, errors, manifest
from . import recipe as recipes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simpleflow.ami", description="Machine images from recipes.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = commands.add_parser("build", help="build, check and boot an image here (needs scripts/ami-setup and root)")
    made.add_argument("--recipe", default="worker", help="name of a packaged recipe or path of a .yaml file")
    made.add_argument("--release", action="append", help="a release of the recipe, repeatable (default: its first)")
    made.add_argument("--work", type=Path, default=Path(".ami"), help="folder for cache and results")
    made.add_argument("--boot", choices=("all", "container", "none"), default="all", help="which boots to try here")
    made.add_argument("--mirror", default="", help="a Debian mirror, such as one of a past day (default: Debian's own)")
    made.add_argument("--manifest", type=Path, help="require just the packages of this earlier build's manifest")
    made.add_argument("--again", action="store_true", help="build the root file system even if nothing changed")
    script = commands.add_parser("bootstrap", help="print a recipe's bootstrap script")
    script.add_argument("--recipe", default="worker")
    script.add_argument("--release")
    checked = commands.add_parser("validate", help="check a recipe, every problem with file and line")
    checked.add_argument("recipe")
    return parser


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 1 what an AmiError says."""
    options = _parser().parse_args(arguments)
    try:
        recipe = recipes.load(recipes.find(options.recipe))
        if options.command == "validate":
            print(f"{recipe.name}: {len(recipe.packages)} packages, {len(recipe.tests)} tests, nothing wrong")
        elif options.command == "bootstrap":
            release = recipe.release(options.release) if options.release else recipe.releases[0]
            print(bootstrap.render(recipe, release), end="")
        else:
            _build(options, recipe)
    except errors.AmiError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing runs on, partial files are removed", file=sys.stderr)
        return 130
    return 0


def _build(options: argparse.Namespace, recipe: recipes.Recipe) -> None:
    boots = {"all": build.BOOTS, "container": ("container",), "none": ()}[options.boot]
    pinned = manifest.packages(options.manifest) if options.manifest else None
    releases = [recipe.release(name) for name in options.release] if options.release else [recipe.releases[0]]
    for release in releases:
        found = build.build(
            recipe,
            release,
            work=options.work,
            boots=boots,
            mirror=options.mirror,
            pinned=pinned,
            again=options.again,
            say=lambda line: print(line, flush=True),
        )
        print(f"image {found.image}\nmanifest {found.manifest}\nlog {found.log}")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main(sys.argv[1:]))
