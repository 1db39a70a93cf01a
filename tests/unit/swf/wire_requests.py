"""One request for each action of SWF with every member that its service model has."""

from __future__ import annotations

from typing import Any

#: members whose values the model does not tell
_TEXTS = {"taskToken": "token", "domain": "dömäin"}


def value(shape: Any, name: str = "") -> Any:
    """Return a value of this shape of the service model."""
    if shape.type_name == "structure":
        return {member: value(inner, member) for member, inner in shape.members.items()}
    if shape.type_name == "list":
        return [value(shape.member)]
    if shape.type_name == "timestamp":
        return 1767225600
    if shape.type_name in ("integer", "long"):
        return 1
    if shape.type_name == "boolean":
        return True
    return shape.enum[0] if shape.enum else _TEXTS.get(name, "1")


def of(model: Any, action: str) -> dict[str, Any]:
    made: dict[str, Any] = value(model.operation_model(action).input_shape)
    return made
