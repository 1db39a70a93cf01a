"""``binaries.download``."""

from __future__ import annotations

import concurrent.futures

import click

from simpleflow import download as downloads
from simpleflow.core import errors, text

from . import context, output

#: number of downloads at the same time
AT_ONCE = 5


@click.command("binaries.download")
@click.argument("locations", nargs=-1, required=True, metavar="NAME=URL...")
@context.command_options
@click.pass_obj
def download(state: context.State, locations: tuple[str, ...]) -> None:
    """Download programs that tasks need, each NAME=s3://BUCKET/KEY, and print their paths.

    https:// and file:// work as well.
    """
    wanted = dict(map(_parted, locations))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for place in pool.map(_fetched, wanted.items()):
            output.say(place)


def _parted(location: str) -> tuple[str, str]:
    name, equals, url = location.partition("=")
    if not equals or not name or "://" not in url:
        raise errors.UsageError(f"{location!r} does not name a program and its URL: write NAME=s3://BUCKET/KEY")
    return name, url


def _fetched(wanted: tuple[str, str]) -> str:
    try:
        binary = downloads.RemoteBinary(*wanted)
        binary.download()
    except errors.SimpleflowError:
        raise
    except NotImplementedError as error:
        raise errors.UsageError(str(error)) from error
    except Exception as error:  # those of S3, of HTTP and of the disk
        name, url = wanted
        raise errors.SimpleflowError(f"{name} was not downloaded from {url} ({text.of_error(error)})") from error
    return binary.local_location
