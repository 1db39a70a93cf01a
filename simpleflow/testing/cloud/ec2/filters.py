"""EC2's filters, tags and pages."""

from __future__ import annotations

import base64
import binascii
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from simpleflow.testing.cloud.wire import errors

T = TypeVar("T")


def passes(
    values_of: Mapping[str, Callable[[T], str | Iterable[str] | None]],
    tags_of: Callable[[T], Mapping[str, str]],
    one: T,
    wanted: Sequence[Mapping[str, Any]],
) -> bool:
    """Tell whether a resource passes all filters; wildcards as EC2 has them. Raises ApiError on an unknown filter."""
    for each in wanted:
        name, patterns = each["Name"], each.get("Values", [])
        if name.startswith("tag:"):
            value = tags_of(one).get(name[4:])
            found: Iterable[str] = [] if value is None else [value]
        elif name == "tag-key":
            found = tags_of(one).keys()
        elif name in values_of:
            got = values_of[name](one)
            found = [] if got is None else [got] if isinstance(got, str) else got
        else:
            raise errors.ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(fnmatch.fnmatchcase(value, _pattern(p)) for value in found for p in patterns):
            return False
    return True


def _pattern(text: str) -> str:
    # EC2 knows * and ?; a bracket is a bracket
    return text.replace("[", "[[]")


def page(
    items: Sequence[T], params: Mapping[str, Any], *, least: int = 5, most: int = 1000
) -> tuple[Sequence[T], str | None]:
    """Cut one page out of a list; returns it and the token of the next."""
    size = params.get("MaxResults")
    if size is not None and not least <= size <= most:
        raise errors.ApiError(
            "InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid. Expecting {least}-{most}."
        )
    start = 0
    if params.get("NextToken"):
        try:
            start = int(base64.urlsafe_b64decode(params["NextToken"]).decode().removeprefix("from:"))
        except (ValueError, binascii.Error) as error:
            raise errors.ApiError("InvalidNextToken", "The token provided is invalid") from error
    end = start + (size or most)
    token = base64.urlsafe_b64encode(f"from:{end}".encode()).decode() if end < len(items) else None
    return items[start:end], token
