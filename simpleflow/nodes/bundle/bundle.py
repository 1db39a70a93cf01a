"""Loads the three folders (infra, provisioning, ami) by name, and passes values between them.

They see values only and never each other. A user's own copies (``--bundle DIR``) come before the packaged ones.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import msgspec

from simpleflow.nodes import config, errors, setups

from .code import Code as Code
from .code import code_key as code_key

#: name of the deciders' machines, beside those of profiles
#: letters of the first zones; a region that lacks one is found before anything is made
_ZONES = "abcdef"
#: a public image of the right architecture, until one of your own exists: boots slower, but works
PUBLIC_IMAGES = {
    "x86_64": "/aws/service/debian/release/12/latest/amd64",
    "arm64": "/aws/service/debian/release/12/latest/arm64",
}


class Stacks(Protocol):
    """infra/stacks.py"""

    DIRECT_LIMIT: int
    UPLOADED_LIMIT: int

    def base(self, cluster: Any) -> dict[str, Any]: ...
    def main(self, cluster: Any) -> dict[str, Any]: ...
    def text(self, template: dict[str, Any]) -> str: ...


class Checks(Protocol):
    """infra/checks.py"""

    def check(self, template: Mapping[str, Any], instance_types: Any = None) -> tuple[Any, ...]: ...
    def type_problems(self, given: str, known: Any) -> Iterable[str]: ...
    def tag_problems(self, tags: Mapping[str, str]) -> Iterable[str]: ...


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """Both stacks' text, and what must lie in the bucket before the second is made."""

    base: str
    main: str
    #: keys below the bucket -> content: scripts and units of each kind of machine
    files: dict[str, bytes]
    #: what our own checks say; nothing is launched while there is a line here
    problems: tuple[str, ...] = ()


def prefix_of(cluster: config.ClusterConfig) -> str:
    """Folder of the cluster in a bucket that the user names, with its '/'; '' in the stack's own."""
    folder = cluster.store.removeprefix("s3://").partition("/")[2].strip("/") if "://" in cluster.store else ""
    return f"{folder}/" if folder else ""


class Folders:
    """infra, provisioning and ami, the user's own or the packaged ones."""

    def __init__(self, own: str = "") -> None:
        self._own = Path(own) if own else None
        if self._own is not None and not self._own.is_dir():
            raise errors.NodesError(f"--bundle {own}: no such folder; `sfnodes init --bundle {own}` writes one")

    def module(self, name: str) -> Any:
        """Load 'infra.stacks', 'provisioning.render', 'ami.recipe', ..."""
        folder, _, rest = name.partition(".")
        if self._own is None or not (self._own / folder).is_dir():
            return _import(f"simpleflow.{name}")
        package = f"_simpleflow_bundle_{folder}"
        loaded = sys.modules.get(package)
        if loaded is None or Path(str(loaded.__file__)).parent != self._own / folder:
            for known in [each for each in sys.modules if each == package or each.startswith(f"{package}.")]:
                del sys.modules[known]
            _load_folder(package, self._own / folder)
        return _import(f"{package}.{rest}" if rest else package)

    @property
    def stacks(self) -> Stacks:
        return cast("Stacks", self.module("infra.stacks"))

    @property
    def checks(self) -> Checks:
        return cast("Checks", self.module("infra.checks"))


def _load_folder(package: str, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        package, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise errors.NodesError(f"{folder} is not a package: it lacks __init__.py; copy it again with `sfnodes init`")
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] in {"troposphere", "cfnlint", "fabric", "packaging"}:
            raise errors.NodesError(
                f"{error.name} is not installed, which providers ec2 and ssh need; `pip install 'simpleflow[nodes]'`"
            ) from error
        raise


# --- from the cluster file to the folders' values ---------------------------------------------------------------------


def image_of(cluster: config.ClusterConfig, machine: config.Machine) -> str:
    """The image of a machine as the stack takes it: 'ami-...', or a path of SSM's parameter store."""
    image = cluster.image_of(machine)
    if not image:
        return PUBLIC_IMAGES[machine.arch]
    if image.startswith("ssm:"):
        return image.removeprefix("ssm:")
    if image.startswith("ami-"):
        return image
    raise errors.NodesError(
        f"image '{image}': write 'ami-...' or 'ssm:/path/of/a/parameter' (`make ami` builds and boots recipe images "
        "here; they become AMIs by registering, which gives the id to write)"
    )


class Builder:
    """Makes templates and code from a cluster file. Offline: it calls nobody."""

    def __init__(self, cluster: config.ClusterConfig, folders: Folders | None = None) -> None:
        self._cluster = cluster
        self._folders = folders or Folders()
        self._values = self._folders.module("infra.values")

    @property
    def stacks(self) -> Stacks:
        """infra/stacks.py of this bundle."""
        return self._folders.stacks

    @functools.cached_property
    def _bootstrap(self) -> str:
        recipes = self._folders.module("ami.recipe")
        recipe = recipes.load(recipes.find("worker"))
        release = recipe.releases[0]
        return str(self._folders.module("ami.bootstrap").render(recipe, release))

    def templates(self) -> Templates:
        """Make both templates, once; the same file gives the same text. Raises NodesError for what cannot be."""
        return self._templates

    @functools.cached_property
    def _templates(self) -> Templates:
        if setups.DECIDERS in self._cluster.profiles:
            raise errors.NodesError(
                f"profile '{setups.DECIDERS}': the deciders' machines have this name; choose another"
            )
        files: dict[str, bytes] = {}
        values = self._cluster_values(files)
        base, main = self._folders.stacks.base(values), self._folders.stacks.main(values)
        known = instance_types(self._cluster.region)
        found = [str(each) for template in (base, main) for each in self._folders.checks.check(template, known)]
        for name, profile in self._cluster.profiles.items():
            for each in profile.types[1:]:
                found += [f"profile '{name}': {text}" for text in self._folders.checks.type_problems(each, known)]
        text = self._folders.stacks.text
        return Templates(base=text(base), main=text(main), files=files, problems=tuple(found))

    def _cluster_values(self, files: dict[str, bytes]) -> Any:
        cluster, values = self._cluster, self._values
        network = cluster.network
        bucket = cluster.store.removeprefix("s3://").split("/")[0] if cluster.store.startswith("s3://") else ""
        return values.Cluster(
            name=cluster.cluster,
            region=cluster.region,
            domain=cluster.swf_domain,
            decision_task_list=cluster.decision_task_list,
            profiles=tuple(
                self._machine(name, profile, profile.types, files) for name, profile in sorted(cluster.profiles.items())
            ),
            deciders=self._machine(
                setups.DECIDERS,
                cluster.deciders,
                cluster.deciders.launched_types,
                files,
            ),
            deciders_min=cluster.deciders.min,
            deciders_max=cluster.deciders.max,
            network=values.Network(
                vpc=network.vpc,
                subnets=network.subnets,
                zones=() if network.vpc else tuple(cluster.region + each for each in _ZONES[: network.zones]),
                cidr=network.cidr,
                access=network.access,
                ipv6=network.ipv6,
            ),
            bucket=bucket,
            prefix=prefix_of(cluster),
            log_days=cluster.logs.retention_days,
            tags=dict(cluster.tags),
        )

    def _machine(self, name: str, machine: config.Machine, types: tuple[str, ...], files: dict[str, bytes]) -> Any:
        values = self._values
        disk = machine.disk
        image = image_of(self._cluster, machine)
        return values.Machine(
            name=name,
            types=types,
            market=machine.market,
            image=image,
            root_device="/dev/sda1" if "/canonical/" in image else "/dev/xvda",
            disk=values.Disk(size=disk.size, type=disk.type, iops=disk.iops, throughput=disk.throughput),
            user_data=self._user_data(name, machine, files),
            permissions=tuple(
                values.Statement(actions=each.actions, resources=each.resources) for each in machine.permissions
            ),
            secrets=tuple(sorted(set(machine.secrets.values()))),
            task_lists=() if name == setups.DECIDERS else tuple(each for each, _ in self._cluster.lists_of(name)),
        )

    def _user_data(self, name: str, machine: config.Machine, files: dict[str, bytes]) -> str:
        """Settings and the fetch of the rest; the rest goes into ``files``."""
        render = self._folders.module("provisioning.render")
        bundles = self._folders.module("provisioning.bundle")
        tokens = self._values
        bucket = f"{tokens.BUCKET_TOKEN}/{prefix_of(self._cluster)}".rstrip("/")
        node = bundles.node_bundle(
            cluster=self._cluster.cluster,
            profile=name,
            bootstrap=self._bootstrap,
            environment=setups.environment_of(self._cluster, machine),
        )
        files[code_key(node.sha256)] = node.data
        counter = None
        if name == setups.DECIDERS:
            counter = render.BootCounter(
                location=f"s3://{bucket}/boots/deciders.json", group=tokens.GROUP_TOKEN, alarm=tokens.ALARM_TOKEN
            )
        delivery = render.Delivery(
            node=render.Part(location=f"s3://{bucket}/{code_key(node.sha256)}", sha256=node.sha256),
            code=render.Part(location=f"s3://{bucket}/{code_key(tokens.CODE_TOKEN)}", sha256=tokens.CODE_TOKEN),
            region=self._cluster.region,
            boot_counter=counter,
        )
        setup = msgspec.to_builtins(setups.machine_setup(self._cluster, name, self.store, tokens.CODE_TOKEN))
        try:
            return str(render.user_data(setup, delivery))
        except self._folders.module("provisioning.errors").ProvisioningError as error:
            raise errors.NodesError(f"machine '{name}': {error}") from error

    @property
    def store(self) -> str:
        """URL of the documents: the cluster file's, or the stack's bucket by its token."""
        return self._cluster.store or f"s3://{self._values.BUCKET_TOKEN}"

    def code(self, root: Path) -> Code:
        """Bundle simpleflow and the user's code; paths of the cluster file are relative to ``root``.

        Builds wheels with pip where sources are given; raises NodesError with pip's last lines.
        """
        packs = self._folders.module("provisioning.bundle")
        try:
            packed = _import("simpleflow.nodes.bundle.packing").pack(self._cluster, root, packs)
        except self._folders.module("provisioning.errors").ProvisioningError as error:
            raise errors.NodesError(f"code: {error}") from error
        return Code(digest=packed.sha256, content=packed.data)


@functools.cache
def instance_types(region: str) -> frozenset[str] | None:
    """Instance types of a region as cfn-lint's data has them; None without it, or for a region it does not know."""
    if importlib.util.find_spec("cfnlint") is None:
        return None
    package = importlib.import_module("cfnlint.data.schemas.extensions.aws_ec2_instance")
    path = Path(str(package.__file__)).parent / "instancetype_enum.json"
    known = msgspec.json.decode(path.read_bytes()).get(region)
    return frozenset(known["enum"]) if known else None
