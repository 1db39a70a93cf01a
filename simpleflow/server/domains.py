"""Domains and their resource tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleflow.core import limits

from . import errors, tokens
from . import ledger as ledgers
from . import state as states


def _tags(given: Any) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in given or ()}


def register(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """RegisterDomain."""
    name = request["name"]
    if name in ledger.domains:
        raise errors.modelled("DomainAlreadyExistsFault", name)
    limit = ledger.limit.domains
    if limit is not None and len(ledger.domains) >= limit:
        raise errors.modelled("LimitExceededFault", f"there are {limit} domains, which is the limit")
    tags = _tags(request.get("tags"))
    _check_count(tags, name)
    ledger.put_domain(
        states.Domain(
            name=name,
            created=ledger.now,
            description=request.get("description"),
            retention=request["workflowExecutionRetentionPeriodInDays"],
            tags=tags,
        )
    )
    return {}


def _check_count(tags: Mapping[str, str], name: str) -> None:
    if len(tags) > limits.RESOURCE_TAGS:
        raise errors.modelled("TooManyTagsFault", f"domain {name} may have {limits.RESOURCE_TAGS} tags")


def deprecate(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """DeprecateDomain: its types are deprecated with it, its executions go on."""
    domain = ledger.domain(request["name"])
    if domain.deprecated:
        raise errors.modelled("DomainDeprecatedFault", domain.name)
    ledger.put_domain(_replaced(domain, deprecated=True))
    for kind in ("activity", "workflow"):
        while found := ledger.store.types(domain.name, kind, False):
            for _, _, body in found:
                registered = states.decode_type(body)
                registered.deprecated = ledger.now
                ledger.put_type(domain.name, kind, registered)
    return {}


def undeprecate(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """UndeprecateDomain: its types stay deprecated until each is undeprecated."""
    domain = ledger.domain(request["name"])
    if not domain.deprecated:
        raise errors.modelled("DomainAlreadyExistsFault", domain.name)
    ledger.put_domain(_replaced(domain, deprecated=False))
    return {}


def _replaced(
    domain: states.Domain, *, deprecated: bool | None = None, tags: dict[str, str] | None = None
) -> states.Domain:
    return states.Domain(
        name=domain.name,
        created=domain.created,
        description=domain.description,
        retention=domain.retention,
        tags=domain.tags if tags is None else tags,
        deprecated=domain.deprecated if deprecated is None else deprecated,
    )


def _arn(ledger: ledgers.Ledger, name: str) -> str:
    return f"{ledger.arn}/domain/{name}"


def _info(ledger: ledgers.Ledger, domain: states.Domain) -> dict[str, Any]:
    found = {
        "name": domain.name,
        "status": "DEPRECATED" if domain.deprecated else "REGISTERED",
        "arn": _arn(ledger, domain.name),
    }
    if domain.description is not None:
        found["description"] = domain.description
    return found


def describe(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeDomain."""
    domain = ledger.domain(request["name"])
    return {
        "domainInfo": _info(ledger, domain),
        "configuration": {"workflowExecutionRetentionPeriodInDays": domain.retention},
    }


def list_(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListDomains, by name."""
    wanted = request["registrationStatus"] == "DEPRECATED"
    descending = bool(request.get("reverseOrder"))
    names = sorted((d.name for d in ledger.domains.values() if d.deprecated == wanted), reverse=descending)
    position = tokens.page(ledger, "ListDomains", request)
    if position is not None:
        names = [name for name in names if (name < position[0] if descending else name > position[0])]
    size = request.get("maximumPageSize") or limits.PAGE_SIZE
    answer: dict[str, Any] = {"domainInfos": [_info(ledger, ledger.domains[name]) for name in names[:size]]}
    if len(names) > size:
        answer["nextPageToken"] = tokens.next_page(ledger, "ListDomains", request, [names[size - 1]])
    return answer


# -- resource tags


def _of_arn(ledger: ledgers.Ledger, arn: str) -> states.Domain:
    """The domain that an ARN names. Raises UnknownResourceFault."""
    before, slash, name = arn.partition("/domain/")
    if not slash or not before.startswith("arn:aws") or ":swf:" not in before:
        raise errors.unknown_resource(f"Unknown resource: {arn}")
    return ledger.domain(name)


def list_tags(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListTagsForResource."""
    domain = _of_arn(ledger, request["resourceArn"])
    return {"tags": [{"key": key, "value": value} for key, value in sorted(domain.tags.items())]}


def tag(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """TagResource."""
    domain = _of_arn(ledger, request["resourceArn"])
    tags = {**domain.tags, **_tags(request["tags"])}
    _check_count(tags, domain.name)
    ledger.put_domain(_replaced(domain, tags=tags))
    return {}


def untag(ledger: ledgers.Ledger, request: Mapping[str, Any]) -> dict[str, Any]:
    """UntagResource."""
    domain = _of_arn(ledger, request["resourceArn"])
    gone = set(request["tagKeys"])
    ledger.put_domain(_replaced(domain, tags={k: v for k, v in domain.tags.items() if k not in gone}))
    return {}
