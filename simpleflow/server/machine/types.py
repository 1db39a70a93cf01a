"""Activity types and workflow types: registered, deprecated, deleted, listed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from simpleflow.core import limits
from simpleflow.server.requests import errors
from simpleflow.server.state import session as sessions
from simpleflow.server.state import state as states

from . import tokens

Action = Callable[[sessions.Session, Mapping[str, Any]], dict[str, Any]]


class Kind:
    """A kind of type (activity or workflow), and the names of its calls and members."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        #: ActivityType, activityType
        self.word = f"{kind.capitalize()}Type"
        self.member = f"{kind}Type"

    def actions(self) -> dict[str, Action]:
        """The seven calls about this kind."""
        rows = {
            "Register{}": self.register,
            "Deprecate{}": self.deprecate,
            "Undeprecate{}": self.undeprecate,
            "Delete{}": self.delete,
            "Describe{}": self.describe,
            "List{}s": self.list,
        }
        return {name.format(self.word): action for name, action in rows.items()}

    def _words(self, name: str, version: str) -> str:
        return f"{self.word}=[name={name}, version={version}]"

    def register(self, session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
        domain = session.domain(request["domain"])
        name, version = request["name"], request["version"]
        if domain.deprecated:
            raise errors.unknown_resource(f"Domain {domain.name} is deprecated: it takes no new types")
        if session.type(domain.name, self.kind, name, version) is not None:
            raise errors.modelled("TypeAlreadyExistsFault", self._words(name, version))
        limit = session.limit.types
        if limit is not None and session.store.count_types(domain.name, self.kind) >= limit:
            raise errors.modelled("LimitExceededFault", f"domain {domain.name} has {limit} {self.kind} types")
        defaults = {key: value for key, value in request.items() if key.startswith("default") and value != ""}
        session.put_type(
            domain.name,
            self.kind,
            states.Type(
                name=name,
                version=version,
                created=session.now,
                description=request.get("description"),
                defaults=defaults,
            ),
        )
        return {}

    def _find(self, session: sessions.Session, request: Mapping[str, Any]) -> states.Type:
        session.domain(request["domain"])
        asked = request[self.member]
        found = session.type(request["domain"], self.kind, asked["name"], asked["version"])
        if found is None:
            raise errors.unknown_resource(f"Unknown type: {self._words(asked['name'], asked['version'])}")
        return found

    def deprecate(self, session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
        found = self._find(session, request)
        if found.deprecated is not None:
            raise errors.modelled("TypeDeprecatedFault", self._words(found.name, found.version))
        found.deprecated = session.now
        session.put_type(request["domain"], self.kind, found)
        return {}

    def undeprecate(self, session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
        found = self._find(session, request)
        if session.domain(request["domain"]).deprecated:
            raise errors.unknown_resource(f"Domain {request['domain']} is deprecated: undeprecate it first")
        if found.deprecated is None:
            raise errors.modelled("TypeAlreadyExistsFault", self._words(found.name, found.version))
        found.deprecated = None
        session.put_type(request["domain"], self.kind, found)
        return {}

    def delete(self, session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
        found = self._find(session, request)
        if found.deprecated is None:
            raise errors.modelled("TypeNotDeprecatedFault", self._words(found.name, found.version))
        session.delete_type(request["domain"], self.kind, found.name, found.version)
        return {}

    def _info(self, found: states.Type) -> dict[str, Any]:
        info: dict[str, Any] = {
            self.member: {"name": found.name, "version": found.version},
            "status": "REGISTERED" if found.deprecated is None else "DEPRECATED",
            "creationDate": found.created,
        }
        if found.description is not None:
            info["description"] = found.description
        if found.deprecated is not None:
            info["deprecationDate"] = found.deprecated
        return info

    def describe(self, session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
        found = self._find(session, request)
        return {"typeInfo": self._info(found), "configuration": dict(found.defaults)}

    def list(self, session: sessions.Session, request: Mapping[str, Any]) -> dict[str, Any]:
        session.domain(request["domain"])
        action = f"List{self.word}s"
        position = tokens.page(session, action, request)
        size = request.get("maximumPageSize") or limits.PAGE_SIZE
        found = session.store.types(
            request["domain"],
            self.kind,
            request["registrationStatus"] == "DEPRECATED",
            name=request.get("name"),
            after=None if position is None else (position[0], position[1]),
            descending=bool(request.get("reverseOrder")),
            limit=size + 1,
        )
        answer: dict[str, Any] = {"typeInfos": [self._info(states.decode_type(body)) for _, _, body in found[:size]]}
        if len(found) > size:
            answer["nextPageToken"] = tokens.next_page(session, action, request, list(found[size - 1][:2]))
        return answer


@functools.cache
def actions() -> dict[str, Action]:
    """The twelve calls about types."""
    return {**Kind("activity").actions(), **Kind("workflow").actions()}
