"""Domains and their resource tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleflow.core import limits
from simpleflow.server.requests import errors
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import tokens


def _tags(given: Any) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in given or ()}


def register(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """RegisterDomain."""
    name = request["name"]
    if name in session.domains:
        raise errors.modelled("DomainAlreadyExistsFault", name)
    limit = session.limit.domains
    if limit is not None and len(session.domains) >= limit:
        raise errors.modelled("LimitExceededFault", f"there are {limit} domains, which is the limit")
    tags = _tags(request.get("tags"))
    _check_count(tags, name)
    session.put_domain(
        states.Domain(
            name=name,
            created=session.now,
            description=request.get("description"),
            retention=request["workflowExecutionRetentionPeriodInDays"],
            tags=tags,
        )
    )
    return {}


def _check_count(tags: Mapping[str, str], name: str) -> None:
    if len(tags) > limits.RESOURCE_TAGS:
        raise errors.modelled("TooManyTagsFault", f"domain {name} may have {limits.RESOURCE_TAGS} tags")


def deprecate(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """DeprecateDomain: its types are deprecated with it, its executions go on."""
    domain = session.domain(request["name"])
    if domain.deprecated:
        raise errors.modelled("DomainDeprecatedFault", domain.name)
    session.put_domain(_replaced(domain, deprecated=True))
    for kind in ("activity", "workflow"):
        while found := session.store.types(domain.name, kind, False):
            for _, _, body in found:
                registered = states.decode_type(body)
                registered.deprecated = session.now
                session.put_type(domain.name, kind, registered)
    return {}


def undeprecate(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """UndeprecateDomain: its types stay deprecated until each is undeprecated."""
    domain = session.domain(request["name"])
    if not domain.deprecated:
        raise errors.modelled("DomainAlreadyExistsFault", domain.name)
    session.put_domain(_replaced(domain, deprecated=False))
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


def _arn(session: sessions.Session, name: str) -> str:
    return f"{session.arn}/domain/{name}"


def _info(session: sessions.Session, domain: states.Domain) -> dict[str, Any]:
    found = {
        "name": domain.name,
        "status": "DEPRECATED" if domain.deprecated else "REGISTERED",
        "arn": _arn(session, domain.name),
    }
    if domain.description is not None:
        found["description"] = domain.description
    return found


def describe(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeDomain."""
    domain = session.domain(request["name"])
    return {
        "domainInfo": _info(session, domain),
        "configuration": {"workflowExecutionRetentionPeriodInDays": domain.retention},
    }


def list_(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListDomains, by name."""
    wanted = request["registrationStatus"] == "DEPRECATED"
    descending = bool(request.get("reverseOrder"))
    names = sorted((d.name for d in session.domains.values() if d.deprecated == wanted), reverse=descending)
    position = tokens.page(session, "ListDomains", request)
    if position is not None:
        names = [name for name in names if (name < position[0] if descending else name > position[0])]
    size = request.get("maximumPageSize") or limits.PAGE_SIZE
    answer: dict[str, Any] = {"domainInfos": [_info(session, session.domains[name]) for name in names[:size]]}
    if len(names) > size:
        answer["nextPageToken"] = tokens.next_page(session, "ListDomains", request, [names[size - 1]])
    return answer


# -- resource tags


def _of_arn(session: sessions.Session, arn: str) -> states.Domain:
    """The domain that an ARN names. Raises UnknownResourceFault."""
    before, slash, name = arn.partition("/domain/")
    if not slash or not before.startswith("arn:aws") or ":swf:" not in before:
        raise errors.unknown_resource(f"Unknown resource: {arn}")
    return session.domain(name)


def list_tags(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """ListTagsForResource."""
    domain = _of_arn(session, request["resourceArn"])
    return {"tags": [{"key": key, "value": value} for key, value in sorted(domain.tags.items())]}


def tag(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """TagResource."""
    domain = _of_arn(session, request["resourceArn"])
    tags = {**domain.tags, **_tags(request["tags"])}
    _check_count(tags, domain.name)
    session.put_domain(_replaced(domain, tags=tags))
    return {}


def untag(session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """UntagResource."""
    domain = _of_arn(session, request["resourceArn"])
    gone = set(request["tagKeys"])
    session.put_domain(_replaced(domain, tags={k: v for k, v in domain.tags.items() if k not in gone}))
    return {}
