"""Which service and action an HTTP request is, and its parameters."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from simpleflow.testing.cloud.wire import cbor, codec, errors, models, rehearsed

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


class Scope(NamedTuple):
    """The credential scope of a signature."""

    key: str
    region: str
    service: str


def scope(headers: Mapping[str, str], query: str) -> Scope:
    """Read who signed for what, from the header or a presigned URL; raises ApiError when nobody did."""
    found = _SCOPE.search(headers.get("authorization", ""))
    if found is None:
        found = _SCOPE.search("Credential=" + dict(parse_qsl(query)).get("X-Amz-Credential", ""))
    if found is None:
        raise errors.ApiError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    key, region, service = found.groups()
    return Scope(key, region, models.SIGNING_NAMES.get(service, service))


def protocol(service: str, path: str, headers: Mapping[str, str]) -> codec.Protocol:
    """The protocol that this request speaks: a service may have several, CloudWatch has three."""
    if "x-amz-target" in headers:
        return "json"
    if re.fullmatch(r"/service/[^/]+/operation/\w+", path):
        return "cbor"
    own = models.protocol(service)
    if own == "ec2":
        return "ec2"
    if own == "query" or headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return "query"
    return "json" if own == "rest-json" else "rest-xml"


def action(
    service: str, speaks: codec.Protocol, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, dict[str, Any]]:
    """Name the action of a request and parse its parameters."""
    if "x-amz-target" in headers:
        return headers["x-amz-target"].rpartition(".")[2], codec.parse_json(body)
    if speaks == "cbor":
        found = cbor.decode(body) if body else {}
        return path.rpartition("/")[2], found if isinstance(found, dict) else {}
    if speaks in ("query", "ec2"):
        form = codec.parse_form(body or query.encode())
        name = form.get("Action", "")
        return name, codec.parse_query(service, name, form)
    return _rest(service, method, path, query, headers)


class _Route(NamedTuple):
    action: str
    method: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    #: query parameters that are part of the route, such as ``uploads``
    fixed: frozenset[tuple[str, str]]
    #: query parameters and headers that must be there
    required: frozenset[str]
    #: query name -> member
    querystring: Mapping[str, str]


@functools.cache
def _routes(service: str) -> tuple[_Route, ...]:
    routes = []
    for name in models.service(service).operation_names:
        operation = models.service(service).operation_model(name)
        uri, _, fixed = operation.http["requestUri"].partition("?")
        uri = uri.rstrip("/") or "/"
        names = tuple(re.findall(r"{([^}+]+)\+?}", uri))
        pattern = re.sub(r"{[^}]+\+}", "(.+)", uri)
        pattern = re.sub(r"{[^}]+}", "([^/]+)", pattern)
        members = operation.input_shape.members if operation.input_shape is not None else {}
        must = operation.input_shape.required_members if operation.input_shape is not None else []
        queries = {
            member.serialization.get("name", key): key
            for key, member in members.items()
            if member.serialization.get("location") == "querystring"
        }
        uris = {
            member.serialization.get("name", key): key
            for key, member in members.items()
            if member.serialization.get("location") == "uri"
        }
        routes.append(
            _Route(
                action=name,
                method=operation.http["method"],
                pattern=re.compile(pattern + "/?"),
                names=tuple(uris[name] for name in names),
                fixed=frozenset(parse_qsl(fixed, keep_blank_values=True)),
                required=frozenset(
                    str(members[key].serialization.get("name", key)).lower()
                    for key in must
                    if members[key].serialization.get("location") in ("querystring", "header")
                ),
                querystring=queries,
            )
        )
    # the most particular route first: more of the query fixed, then more of it required; of two that are as
    # particular (deprecated names, directory buckets) the one that is rehearsed
    routes.sort(key=lambda r: (-len(r.fixed), -len(r.required), not rehearsed.rehearses(service, r.action), r.action))
    return tuple(routes)


def _rest(service: str, method: str, path: str, query: str, headers: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    given = parse_qsl(query, keep_blank_values=True)
    fixed = set(given)
    present = {key.lower() for key, _ in given} | set(headers)
    for route in _routes(service):
        match = route.pattern.fullmatch(path or "/")
        if route.method != method or match is None:
            continue
        if not route.fixed <= fixed or not route.required <= present:
            continue
        params: dict[str, Any] = {name: unquote(value) for name, value in zip(route.names, match.groups(), strict=True)}
        params |= {route.querystring[key]: value for key, value in given if key in route.querystring}
        return route.action, params
    raise errors.ApiError("NotRehearsed", f"no action of {service} is {method} {path}?{query}", 501)
