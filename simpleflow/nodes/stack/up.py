"""``up``: the two stacks and what lies between them, as steps that may be dropped and repeated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from simpleflow.core import clock as clocks
from simpleflow.data.blobs import s3
from simpleflow.nodes import config, control, errors, published, tags
from simpleflow.nodes.bundle import bundle
from simpleflow.nodes.bundle import code as codes
from simpleflow.nodes.policy import guards
from simpleflow.nodes.providers import ec2
from simpleflow.nodes.providers.ec2 import account as accounts
from simpleflow.nodes.providers.ec2 import bucket as buckets
from simpleflow.nodes.providers.ec2 import formation, stackinfo

from . import change

BOOTS_KEY = "boots/deciders.json"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step that was done, for progress on a terminal."""

    name: str
    detail: str = ""


def base_name(cluster: str) -> str:
    """Name of the stack that is kept."""
    return f"{cluster}-base"


def stack_tags(cluster: config.ClusterConfig) -> dict[str, str]:
    """Tags of both stacks, which CloudFormation hands on to what they make."""
    return {**cluster.tags, tags.CLUSTER: cluster.cluster}


def machines_of(cluster: config.ClusterConfig) -> dict[str, tuple[config.Machine, tuple[str, ...], str]]:
    """Every kind of machine: name -> (machine, its types, its image as the stack takes it)."""
    found: dict[str, tuple[config.Machine, tuple[str, ...], str]] = {
        f"profile '{name}'": (each, each.types, bundle.image_of(cluster, each))
        for name, each in sorted(cluster.profiles.items())
    }
    own = cluster.deciders
    types = own.launched_types
    found["deciders"] = (own, types, bundle.image_of(cluster, own))
    return found


def progress(events: Iterator[formation.Event]) -> Iterator[Step]:
    """Stack events as steps."""
    for event in events:
        reason = f" ({event.reason})" if event.reason and "User Initiated" not in event.reason else ""
        yield Step(name=f"{event.stack}/{event.resource}", detail=f"{event.status}{reason}")


def up(
    cluster: config.ClusterConfig,
    account: accounts.Account,
    builder: bundle.Builder,
    code: Callable[[], bundle.Code],
    register_domain: Callable[[], None] = lambda: None,
    file: Callable[[str], control.ControlFile] | None = None,
) -> Iterator[Step]:
    """Bring a cluster up, or to what its file says now. Yields after each step; repeating ends in the same state.

    Raises NodesError, before anything is made, for all that can be known then. ``code`` builds the code bundle;
    ``register_domain`` makes SWF's domain sure; ``file`` opens control.json in a bucket, where the breaker's count of
    boot failures is forgotten.
    """
    made = builder.templates()
    accounts.require(list(made.problems))
    yield Step(name="templates", detail="checked")
    accounts.require(list(account.problems(cluster, machines_of(cluster))))
    main = account.formation.find_own(cluster.cluster, cluster.cluster)
    base = account.formation.find_own(base_name(cluster.cluster), cluster.cluster)
    for stack in (base, main):
        if stack is not None:
            account.formation.refuse_unless_updatable(stack)
    before = _published(cluster, account, base)
    if main is not None and before is not None:
        published.refuse_fixed(before.config, cluster)
        change.refuse_moved(cluster, account, made.main)
    packed = code()
    yield Step(name="account", detail="credentials, zones, instance types, images")
    if any(each.market == "spot" for each, _, _ in machines_of(cluster).values()):
        new = account.ensure_spot_role()
        yield Step(name="spot role", detail="made" if new else "exists")
    yield from _deploy(account, base_name(cluster.cluster), {"TemplateBody": made.base}, {}, stack_tags(cluster))
    outputs = _outputs(account, base_name(cluster.cluster))
    store = account.bucket(bucket_of(cluster, outputs))
    documents = documents_of(cluster, account, store.name)
    opened = (
        control.ControlFile(documents, cluster.cluster, "up", clocks.RealClock()) if file is None else file(store.name)
    )
    prefix = bundle.prefix_of(cluster)
    for key, content in sorted(
        {**_below(prefix, made.files), packed.key if not prefix else prefix + packed.key: packed.content}.items()
    ):
        if store.put_once(key, content):
            yield Step(name="upload", detail=f"s3://{store.name}/{key} ({len(content)} bytes)")
    told = codes.for_machines(cluster)
    changed = before is None or (before.config, before.code) != (told, packed.digest)
    # Without versions: machines that the old stack would make now must not be replaced at once.
    if changed and published.write(documents, told, "", time.time()) and before is not None:
        yield Step(name="cluster file", detail="published: managers work by it at their next pass")
    # A manager in the middle of its pass loses its next write, and reads the published file first.
    document = opened.change(lambda found: found, again=True)
    kept = change.kept(cluster, account, made.main, document)
    for name, units in kept.living.items():
        yield Step(name=f"profile '{name}'", detail=f"{units} of its machines live: their role goes with the next `up`")
    body = body_of(kept.template, store, prefix)
    yield from _deploy(account, cluster.cluster, body, parameters(outputs, store.name, packed), stack_tags(cluster))
    if published.write(documents, told, packed.digest, time.time()) and before is not None:
        yield Step(name="code", detail="published: machines of other code or settings finish their tasks and go")
    register_domain()
    yield Step(name="domain", detail=cluster.swf_domain)
    info = stackinfo.read(account.clients, cluster.cluster)
    group = ec2.Ec2DeciderGroup(cluster.cluster, account.clients, info.group)
    # The boot guard's counter first: a resumed group whose counter stands at three would stop at its next boot.
    store.delete_object(prefix + BOOTS_KEY)
    group.resume()
    account.calm(info.boot_alarm)
    account.set_wake_up(info.wake_alarm, acts=True)
    yield Step(name="decider group", detail="resumed; the wake-up alarm acts")
    if resume(opened):
        yield Step(name="breaker", detail="boot failures forgotten: it launches on")


def _below(prefix: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {prefix + key: content for key, content in files.items()}


def _published(
    cluster: config.ClusterConfig, account: accounts.Account, base: formation.Stack | None
) -> published.Published | None:
    """Return what `up` published last; None if there is nothing yet."""
    bucket = bucket_of(cluster, dict(base.outputs) if base is not None else {})
    if not bucket or not account.bucket(bucket).exists():
        return None
    documents = documents_of(cluster, account, bucket)
    control.ControlFile(documents, cluster.cluster, "up", clocks.RealClock()).read()  # raises for another cluster's
    return published.read(documents, cluster.cluster)


def resume(file: control.ControlFile) -> bool:
    """Forget proved boot failures: ``up`` lets paused profiles launch again. False when there were none."""
    if not file.read().failures:
        return False
    file.change(guards.mended)
    return True


def _deploy(
    account: accounts.Account, name: str, body: dict[str, str], given: dict[str, str], labels: dict[str, str]
) -> Iterator[Step]:
    stacks = account.formation
    known = stacks.find(name)
    if known is not None and known.busy:
        # An earlier command was cut off here: what it began goes on without it.
        yield from progress(stacks.watch(name, stacks.newest_event(name)))
    since = stacks.newest_event(name)
    if stacks.begin(name, body, given, labels):
        yield Step(name=name, detail="began")
        yield from progress(stacks.watch(name, since))
    yield Step(name=name, detail="stands")


def _outputs(account: accounts.Account, name: str) -> dict[str, str]:
    stack = account.formation.find(name)
    if stack is None:
        raise errors.NodesError(f"stack '{name}' vanished; repeat `sfnodes up`")
    return dict(stack.outputs)


def bucket_of(cluster: config.ClusterConfig, outputs: dict[str, str]) -> str:
    """Name of the cluster's bucket: the file's, or the base stack's; '' before there is one."""
    if cluster.store.startswith("s3://"):
        return cluster.store.removeprefix("s3://").split("/")[0]
    return outputs.get("Bucket", "")


def documents_of(cluster: config.ClusterConfig, account: accounts.Account, bucket: str) -> s3.S3Store:
    """The cluster's documents, by the account's own clients."""
    return s3.S3Store(store_url(cluster, bucket), client=account.clients.get("s3"))


def store_url(cluster: config.ClusterConfig, bucket: str) -> str:
    """BlobStore URL of the documents."""
    return cluster.store or f"s3://{bucket}"


def parameters(outputs: dict[str, str], bucket: str, code: bundle.Code) -> dict[str, str]:
    """Parameters of the main stack."""
    return {
        "Bucket": bucket,
        "Code": code.digest,
        "NodeLogs": outputs["NodeLogs"],
        "DeciderLogs": outputs["DeciderLogs"],
    }


def body_of(text: str, store: buckets.Bucket, prefix: str = "") -> dict[str, str]:
    """How a template is sent: directly, or from the bucket when it is too long for that."""
    content = text.encode()
    if len(content) <= formation.DIRECT_LIMIT:
        return {"TemplateBody": text}
    key = f"{prefix}templates/{hashlib.sha256(content).hexdigest()}.json"
    store.put_once(key, content)
    return {"TemplateURL": store.url(key)}


def code_builder(builder: bundle.Builder, cluster_file: str) -> Callable[[], bundle.Code]:
    """Build the code bundle of a cluster file, once."""
    return lambda: builder.code(Path(cluster_file).parent)
