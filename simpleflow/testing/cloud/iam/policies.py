"""Policies: which statements speak about a call, conditions and all. For bucket policies, and to judge a record."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from simpleflow.testing.cloud.wire import errors

Verdict = Literal["allow", "deny", "none"]


def verdict(
    statements: Iterable[Mapping[str, Any]],
    *,
    action: str,
    resource: str | None,
    context: Mapping[str, str],
    principal: str = "",
) -> Verdict:
    """What these statements say about one call.

    Args:
        statements: of one or several policies.
        action: such as ``s3:GetObject``.
        resource: ARN of what the call is about, None when it is not known: every Resource then matches.
        context: condition keys and values, keys in lower case.
        principal: ARN of the caller, for policies of resources; '' where statements have no Principal.
    """
    found: Verdict = "none"
    for one in statements:
        if not _action(one, action) or not _resource(one, resource) or not _principal(one, principal):
            continue
        if not _conditions(one.get("Condition", {}), context):
            continue
        if one["Effect"] == "Deny":
            return "deny"
        found = "allow"
    return found


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _like(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _action(statement: Mapping[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(_like(action.lower(), one.lower()) for one in _listed(statement["NotAction"]))
    return any(_like(action.lower(), one.lower()) for one in _listed(statement["Action"]))


def _resource(statement: Mapping[str, Any], resource: str | None) -> bool:
    if resource is None or ("Resource" not in statement and "NotResource" not in statement):
        return True
    if "NotResource" in statement:
        return not any(_like(resource, one) for one in _listed(statement["NotResource"]))
    return any(_like(resource, one) for one in _listed(statement["Resource"]))


def _principal(statement: Mapping[str, Any], principal: str) -> bool:
    stated = statement.get("Principal")
    if stated is None:
        return True
    names = [stated] if isinstance(stated, str) else [n for value in stated.values() for n in _listed(value)]
    role = ""
    if ":assumed-role/" in principal:
        account, name = principal.split(":")[4], principal.split("/")[1]
        role = f"arn:aws:iam::{account}:role/{name}"
    account = principal.split(":")[4] if principal.count(":") >= 5 else ""
    same = {principal, role, account, f"arn:aws:iam::{account}:root"}
    return any(one == "*" or one in same for one in names)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Bool": lambda have, want: have.lower() == want.lower(),
    "StringEquals": lambda have, want: have == want,
    "StringEqualsIgnoreCase": lambda have, want: have.lower() == want.lower(),
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "NumericEquals": lambda have, want: float(have) == float(want),
    "NumericLessThan": lambda have, want: float(have) < float(want),
    "NumericLessThanEquals": lambda have, want: float(have) <= float(want),
    "NumericGreaterThan": lambda have, want: float(have) > float(want),
    "NumericGreaterThanEquals": lambda have, want: float(have) >= float(want),
}


def _conditions(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    return all(
        _condition(
            name, key.lower(), [str(one) for one in _listed(wanted)] if wanted is not True else ["true"], context
        )
        for name, keys in conditions.items()
        for key, wanted in ((k, str(v).lower() if isinstance(v, bool) else v) for k, v in keys.items())
    )


def _condition(name: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool:
    """One condition: a missing key fails it, unless it is negated or says IfExists."""
    have = context.get(key)
    if name == "Null":
        return (have is None) == (wanted[0].lower() == "true")
    plain = name.removesuffix("IfExists")
    if have is None:
        return plain != name or "Not" in plain
    negated = "Not" in plain
    operator = _OPERATORS.get(plain.replace("Not", ""))
    if operator is None:
        raise errors.ApiError("NotRehearsed", f"the condition operator {name} is not rehearsed", 501)
    values = [_filled(one, context) for one in wanted]
    return any(operator(have, one) for one in values) != negated


def _filled(text: str, context: Mapping[str, str]) -> str:
    for key, value in context.items():
        text = text.replace("${" + key + "}", value).replace("${" + key.replace(":userid", ":userId") + "}", value)
    return text


def statements_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A policy's statements; one alone may stand without a list."""
    found = document.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)


def filled(statement: Mapping[str, Any], context: Mapping[str, str]) -> Mapping[str, Any]:
    """A statement whose Resource has its policy variables, such as ``${aws:userid}``, filled in."""
    if "Resource" not in statement:
        return statement
    return {**statement, "Resource": [_filled(one, context) for one in _listed(statement["Resource"])]}
