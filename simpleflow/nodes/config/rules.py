"""Rules that hold between several keys of a cluster file."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping

from simpleflow.nodes import billing, prices

from . import machines, reach, shapes
from .times import Times

#: prefixes of a network that EC2 makes; its sixteen subnets have four bits more, and /28 is the narrowest
_WIDEST, _NARROWEST = 16, 24
#: AWS's limit of 50 tags a resource less ours: with one more, a drain mark would be refused
_MOST_TAGS = 45
#: of IAM, which takes less than EC2 (API reference, data type Tag)
_TAG_VALUE = re.compile(r"[\w\s.:/=+\-@]{0,256}")
#: S3 user guide, "General purpose bucket naming rules"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

Where = tuple[str, ...]
Problem = tuple[Where, str]


def check(config: shapes.ClusterConfig) -> Iterator[Problem]:
    """Yield (path of the key, message) for each rule that the file breaks."""
    yield from _times(config)
    yield from _references(config)
    yield from _numbers(config)
    yield from _money(config)
    yield from _code(config)
    yield from _workflows(config.deciders)
    yield from _network(config.network)
    for key in config.tags:
        if key.startswith(("simpleflow:", "aws:")):
            yield (("tags", key), f"tag '{key}': the prefixes 'simpleflow:' and 'aws:' are reserved; choose another")
    if config.provider == "ec2":
        yield from _ec2(config)
    yield from reach.check(config)


def _times(config: shapes.ClusterConfig) -> Iterator[Problem]:
    known = list(Times.__struct_fields__)
    for name in config.times:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            yield (("times", name), f"unknown time 'times.{name}'; {hint}")
    if all(name in known for name in config.times):
        settings = config.settings
        if settings.lease_renew * 2 > settings.lease:
            yield (
                ("times", "lease_renew"),
                (
                    f"times.lease_renew ({settings.lease_renew:g} s) must be at most half of times.lease "
                    f"({settings.lease:g} s), or a living manager loses its lease"
                ),
            )
        if settings.document_max * 2 > settings.stale:
            yield (
                ("times", "stale"),
                (
                    f"times.stale ({settings.stale:g} s) must be at least twice times.document_max "
                    f"({settings.document_max:g} s), or living nodes look dead"
                ),
            )


def _references(config: shapes.ClusterConfig) -> Iterator[Problem]:
    if not config.profiles:
        yield (("profiles",), "no profile: name at least one kind of machine below 'profiles'")
    if not config.task_lists:
        yield (("task_lists",), "no task list: name at least one below 'task_lists', each with its profile")
    used = set()
    for name, each in config.task_lists.items():
        used.add(each.profile)
        if each.profile not in config.profiles:
            close = difflib.get_close_matches(each.profile, list(config.profiles), n=1)
            hint = f"did you mean '{close[0]}'?" if close else "add it below 'profiles'"
            yield (
                ("task_lists", name, "profile"),
                f"task list '{name}' names profile '{each.profile}', which does not exist; {hint}",
            )
    for name in config.profiles:
        if name not in used:
            yield (
                ("profiles", name),
                f"no task list uses profile '{name}'; name it in one (task_lists.LIST.profile: {name}) or remove it",
            )
    if config.decision_task_list in config.task_lists:
        yield (
            ("task_lists", config.decision_task_list),
            f"'{config.decision_task_list}' is also the deciders' task list; choose another deciders.task_list",
        )


def _numbers(config: shapes.ClusterConfig) -> Iterator[Problem]:
    for name, profile in config.profiles.items():
        here = ("profiles", name, "min")
        if profile.min > 0 and config.deciders.min < 1:
            yield (
                here,
                (
                    f"profile '{name}' keeps min: {profile.min} nodes, but with deciders.min: 0 nobody is there to "
                    "keep them; write deciders: {min: 1} or min: 0"
                ),
            )
        if any(each.profile == name for each in config.task_lists.values()) and profile.min > config.max_of(name):
            yield (here, f"profile '{name}': min {profile.min} is over its maximum of {config.max_of(name)} nodes")
    if config.deciders.min > config.deciders.max:
        yield (("deciders", "min"), f"deciders.min {config.deciders.min} is over deciders.max {config.deciders.max}")


def _money(config: shapes.ClusterConfig) -> Iterator[Problem]:
    caps = {
        name: value
        for name in ("per_hour", "per_day", "per_month")
        if (value := getattr(config.budget, name)) is not None
    }
    if not caps or any(name not in Times.__struct_fields__ for name in config.times):
        return
    floor = 0
    for name, profile in config.profiles.items():
        price = config.price_of(profile)
        if price is None:
            yield (
                ("profiles", name),
                (
                    f"profile '{name}' has no price{_unlisted(config, profile)}, so the budget cannot be held: add "
                    f"billing: {{price: 0.05}} ({config.currency} per hour)"
                ),
            )
            continue
        worst = billing.worst(profile.billing, billing.micros(price), config.settings.commit)
        floor += profile.min * worst
        for cap, value in caps.items():
            if worst > billing.micros(value):
                yield (
                    ("budget", cap),
                    (
                        f"budget.{cap} {value:g} {config.currency} allows no node of profile '{name}': one costs "
                        f"at least {worst / billing.MICRO:g} {config.currency} (its first commitment); "
                        "raise it to that or more"
                    ),
                )
    for cap, value in caps.items():
        if floor > billing.micros(value):
            yield (
                ("budget", cap),
                (
                    f"budget.{cap} {value:g} {config.currency} does not hold what the profiles keep (min): their first "
                    f"commitment costs {floor / billing.MICRO:g} {config.currency}; raise it to that or more, or keep "
                    "fewer"
                ),
            )


def _unlisted(config: shapes.ClusterConfig, profile: shapes.Profile) -> str:
    """What the price list lacks."""
    if config.provider != "ec2" or not config.region:
        return ""
    known = prices.known()
    if config.currency != known.currency:
        return f" in {config.currency} (the list of `sfnodes prices` is in {known.currency})"
    missing = [each for each in profile.types if known.price(each, config.region) is None]
    names = ", ".join(missing)
    return f", nor has the list of {known.day(config.region)} (`sfnodes prices`) one of {names}" if missing else ""


def _code(config: shapes.ClusterConfig) -> Iterator[Problem]:
    given = [name for name in ("wheel", "requirement", "path") if getattr(config.code, name)]
    if len(given) > 1:
        yield (("code", given[1]), f"code has {' and '.join(given)}; keep one of them")
    for name in config.code.wheels:
        if not name.endswith(".whl"):
            yield (("code", "wheels"), f"code.wheels: '{name}' does not end with .whl; write paths of wheels")


def _workflows(deciders: shapes.Deciders) -> Iterator[Problem]:
    for place, name in enumerate(deciders.workflows):
        parts = name.split(".")
        if len(parts) < 2 or not all(part.isidentifier() for part in parts):
            yield (
                ("deciders", "workflows", str(place)),
                f"deciders.workflows: '{name}' is not a dotted name; write package.module.Class",
            )


def _ec2(config: shapes.ClusterConfig) -> Iterator[Problem]:
    if not config.region:
        yield (("provider",), "provider ec2 needs a region; add region: eu-west-1")
    for name, profile in config.profiles.items():
        if not profile.types:
            yield (("profiles", name), f"profile '{name}' has no instance types; add types: [c7i.large, c6i.large]")
    if config.cluster.endswith("-base"):
        yield (
            ("cluster",),
            (
                f"cluster '{config.cluster}': a name that ends with '-base' is that of another cluster's kept stack; "
                "choose another"
            ),
        )
    if config.store and not config.store.startswith("s3://"):
        yield (("store",), f"store '{config.store}': machines of ec2 reach s3://BUCKET[/PREFIX] only; or leave it out")
    for name, machine in (*config.profiles.items(), ("", config.deciders)):
        here = ("profiles", name) if name else ("deciders",)
        for below, problem in _machine(config, machine, f"profile '{name}'" if name else "deciders"):
            yield ((*here, *below), problem)
    network = config.network
    if bool(network.vpc) != bool(network.subnets):
        yield (("network",), "network.vpc and network.subnets go together: give both or neither")
    if len(config.tags) > _MOST_TAGS:
        yield (
            ("tags",),
            (
                f"{len(config.tags)} tags: a machine has at most 50, of which simpleflow needs {50 - _MOST_TAGS} "
                f"(cluster, profile, attempt, role, drain mark); keep at most {_MOST_TAGS}"
            ),
        )
    yield from _tags(config.tags)
    yield from _bucket(config.store)


def _tags(given: Mapping[str, str]) -> Iterator[Problem]:
    """What EC2 takes and IAM refuses: the machines' roles bear the tags too."""
    seen: dict[str, str] = {}
    for key, value in given.items():
        if not _TAG_VALUE.fullmatch(value):
            yield (
                ("tags", key),
                f"tags.{key}: AWS takes up to 256 letters, digits, blanks and _.:/=+-@ as a tag's value; write another",
            )
        other = seen.setdefault(key.lower(), key)
        if other != key:
            yield ("tags", key), f"tags.{key}: IAM takes it for the same key as '{other}'; keep one"


def _bucket(store: str) -> Iterator[Problem]:
    name, _, folder = store.removeprefix("s3://").partition("/")
    if not store.startswith("s3://"):
        return
    if name and (not _BUCKET.fullmatch(name) or ".." in name or name.replace(".", "").isdigit()):
        yield (
            ("store",),
            f"store '{store}': a bucket's name has 3 to 63 lower-case letters, digits, '-' and '.', not '{name}'",
        )
    if folder and any(each in ("", ".", "..") for each in folder.removesuffix("/").split("/")):
        yield ("store",), f"store '{store}': write the folder without '//', '.' and '..'"


def _network(network: shapes.Network) -> Iterator[Problem]:
    here = ("network", "cidr")
    try:
        block = ipaddress.ip_network(network.cidr)
    except ValueError:
        try:
            meant = f"write {ipaddress.ip_network(network.cidr, strict=False)}"
        except ValueError:
            meant = "write one such as 10.77.0.0/16"
        yield here, f"network.cidr: '{network.cidr}' is not a block of addresses; {meant}"
        return
    if block.version != 4 or not _WIDEST <= block.prefixlen <= _NARROWEST:
        yield (
            here,
            (
                f"network.cidr: '{network.cidr}': EC2 takes an IPv4 block from /{_WIDEST} to /{_NARROWEST}, which "
                "is cut into sixteen; write one such as 10.77.0.0/16"
            ),
        )
    elif str(block) != network.cidr:
        yield here, f"network.cidr: '{network.cidr}' is not how EC2 writes a block; write {block}"
    elif not block.is_private:
        yield here, f"network.cidr: '{network.cidr}' is a public block; write a private one such as 10.77.0.0/16"


def _machine(config: shapes.ClusterConfig, machine: shapes.Machine, shown: str) -> Iterator[Problem]:
    for each in machine.types:
        arch = machines.arch_of(each)
        if not machines.is_type(each):
            yield ("types",), f"{shown}: '{each}' is not an instance type; write FAMILY.SIZE, such as c7i.large"
        elif arch and arch != machine.arch:
            yield (
                ("types",),
                f"{shown}: {each} is {arch}, the file says {machine.arch}; write arch: {arch}, or other types",
            )
    if machine.billing.price == 0:
        yield (
            ("billing", "price"),
            (
                f"{shown}: price: 0, but no machine of EC2 is free, and no budget would hold; write the price per hour "
                "or leave it out"
            ),
        )
    image = config.image_of(machine)
    if image and not image.startswith(("ami-", "ssm:/")):
        where = ("image",) if machine.image else ()
        yield (
            where,
            f"{shown}: image '{image}': write ami-... or ssm:/path/of/a/parameter (`make ami` uploads recipes' images)",
        )
