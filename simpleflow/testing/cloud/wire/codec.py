"""The server's half of AWS's wire formats, driven by botocore's service models.

EC2 and query protocols (forms in, XML out) and JSON. Requests are parsed into the very dictionaries that a boto3
caller passed; answers are written from the dictionaries that a boto3 caller gets.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from simpleflow.testing.cloud.wire import cbor, errors, models

Params = dict[str, Any]
Protocol = Literal["ec2", "query", "json", "cbor", "rest-xml"]
#: botocore's shapes: its stubs give ``members``, ``member`` and ``value`` to subclasses that the models never name
_Shape = Any


# --- requests ---------------------------------------------------------------------------------------------------


def parse_form(body: bytes) -> dict[str, str]:
    """Decode a form as query and EC2 requests carry it."""
    return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=False))


def parse_query(service: str, action: str, form: Mapping[str, str]) -> Params:
    """Read the parameters of a query or EC2 request; raises ApiError on a parameter that the action does not have."""
    operation = models.operation(service, action)
    if operation is None:
        raise errors.ApiError("InvalidAction", f"The action {action} is not valid for this web service.")
    tree: dict[str, Any] = {}
    for key, value in form.items():
        if key in ("Action", "Version"):
            continue
        node = tree
        *parents, leaf = key.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    if operation.input_shape is None:
        return {}
    reader = _Ec2Reader() if models.protocol(service) == "ec2" else _QueryReader()
    parsed: Params = reader.structure(operation.input_shape, tree, "")
    return parsed


class _QueryReader:
    """Turns the tree of dotted keys into values, by the shape."""

    def name(self, member: str, shape: _Shape) -> str:
        if shape.type_name == "list" and shape.serialization.get("flattened"):
            return str(shape.member.serialization.get("name", shape.serialization.get("name", member)))
        return str(shape.serialization.get("name", member))

    def items(self, shape: _Shape, tree: Any) -> dict[str, Any]:
        if shape.serialization.get("flattened"):
            return dict(tree)
        found: dict[str, Any] = tree.get(shape.member.serialization.get("name", "member"), {})
        return found

    def value(self, shape: _Shape, tree: Any, where: str) -> Any:
        match shape.type_name:
            case "structure":
                return self.structure(shape, tree, where)
            case "list":
                if tree == "":
                    return []
                items = self.items(shape, tree)
                return [self.value(shape.member, items[n], f"{where}.{n}") for n in sorted(items, key=int)]
            case "map":
                entries = tree.get("entry", tree) if isinstance(tree, dict) else {}
                return {e["key"]: self.value(shape.value, e["value"], where) for e in entries.values()}
        return _scalar(shape.type_name, tree, where)

    def structure(self, shape: _Shape, tree: Any, where: str) -> Params:
        if tree == "":
            return {}
        left = dict(tree)
        values: Params = {}
        for member, member_shape in shape.members.items():
            wire = self.name(member, member_shape)
            if wire in left:
                values[member] = self.value(member_shape, left.pop(wire), f"{where}.{wire}".strip("."))
        if left:
            unknown = f"{where}.{next(iter(left))}".strip(".")
            raise errors.ApiError("UnknownParameter", f"The parameter {unknown} is not recognized")
        return values


class _Ec2Reader(_QueryReader):
    def name(self, member: str, shape: _Shape) -> str:
        if "queryName" in shape.serialization:
            return str(shape.serialization["queryName"])
        wire = str(shape.serialization.get("name", member))
        return wire[0].upper() + wire[1:]

    def items(self, shape: _Shape, tree: Any) -> dict[str, Any]:
        return dict(tree)


def _scalar(kind: str, text: Any, where: str) -> Any:
    if not isinstance(text, str):
        raise errors.ApiError("InvalidParameterValue", f"{where} must be a single value")
    try:
        match kind:
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "blob":
                return base64.b64decode(text, validate=True)
            case "timestamp":
                return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, KeyError, binascii.Error) as error:
        raise errors.ApiError("InvalidParameterValue", f"Value ({text}) for parameter {where} is invalid.") from error
    return text


def parse_json(body: bytes) -> Params:
    """Read a JSON request; raises ApiError when it is not a JSON object."""
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise errors.ApiError("SerializationException", str(error)) from error
    if not isinstance(value, dict):
        raise errors.ApiError("SerializationException", "Start of structure or map found where not expected.")
    return value


# --- answers ----------------------------------------------------------------------------------------------------


def answer(
    service: str, action: str, speaks: Protocol, values: Mapping[str, Any], request_id: str
) -> tuple[str, bytes]:
    """Write an answer; returns its content type and body. Raises KeyError for a member that the shape lacks."""
    operation = models.operation(service, action)
    shape = operation.output_shape if operation is not None else None
    if speaks == "json":
        version = models.service(service).metadata.get("jsonVersion", "1.1")
        return f"application/x-amz-json-{version}", json.dumps(_jsonable(values)).encode()
    if speaks == "cbor":
        return "application/cbor", cbor.encode(_timed(shape, values))
    out: list[str] = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    namespace = models.service(service).metadata.get("xmlNamespace", "")
    out.append(f'<{action}Response xmlns="{namespace}">')
    if speaks == "ec2":
        out.append(f"<requestId>{request_id}</requestId>")
        if shape is not None:
            _members(out, shape, values, "item")
    else:
        if shape is not None:
            wrapper = shape.serialization.get("resultWrapper", f"{action}Result")
            out.append(f"<{wrapper}>")
            _members(out, shape, values, "member")
            out.append(f"</{wrapper}>")
        out.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>")
    out.append(f"</{action}Response>")
    return "text/xml;charset=UTF-8", "".join(out).encode()


def _members(out: list[str], shape: _Shape, values: Mapping[str, Any], item: str) -> None:
    members = shape.members
    for name, value in values.items():
        if value is None:
            continue
        member = members[name]
        _element(out, str(member.serialization.get("name", name)), member, value, item)


def _element(out: list[str], name: str, shape: _Shape, value: Any, item: str) -> None:
    kind = shape.type_name
    if kind == "structure":
        out.append(f"<{name}>")
        _members(out, shape, value, item)
        out.append(f"</{name}>")
    elif kind == "list":
        member = shape.member
        if shape.serialization.get("flattened"):
            for one in value:
                _element(out, str(member.serialization.get("name", name)), member, one, item)
            return
        out.append(f"<{name}>")
        inner = str(member.serialization.get("name", item))
        for one in value:
            _element(out, inner, member, one, item)
        out.append(f"</{name}>")
    elif kind == "map":
        out.append(f"<{name}>")
        for key, one in value.items():
            out.append(f"<entry><key>{escape(str(key))}</key>")
            _element(out, "value", shape.value, one, item)
            out.append("</entry>")
        out.append(f"</{name}>")
    else:
        out.append(f"<{name}>{_text(kind, value)}</{name}>")


def _text(kind: str, value: Any) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        return iso(value)
    if kind == "blob":
        return base64.b64encode(value).decode()
    return escape(str(value))


def iso(moment: float | datetime.datetime) -> str:
    """Write a moment (epoch seconds or aware datetime) as AWS's XML answers do."""
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _timed(shape: _Shape, value: Any) -> Any:
    """Values for CBOR, where a moment must be tagged as one: our handlers keep moments as epoch seconds."""
    if value is None or shape is None:
        return value
    match shape.type_name:
        case "structure":
            return {k: _timed(shape.members[k], v) for k, v in value.items()}
        case "list":
            return [_timed(shape.member, one) for one in value]
        case "timestamp" if not isinstance(value, datetime.datetime):
            return datetime.datetime.fromtimestamp(value, datetime.UTC)
    return value


def _jsonable(value: Any) -> Any:
    match value:
        case Mapping():
            return {k: _jsonable(v) for k, v in value.items() if v is not None}
        case list() | tuple():
            return [_jsonable(v) for v in value]
        case bytes():
            return base64.b64encode(value).decode()
        case datetime.datetime():
            return value.timestamp()
    return value


def failure(speaks: Protocol, error: errors.ApiError, request_id: str) -> tuple[str, bytes]:
    """Write an error answer as the protocol has it; returns content type and body."""
    code, message = escape(error.code), escape(error.message)
    if speaks in ("json", "cbor"):
        told = {"__type": error.code, "message": error.message}
        if speaks == "cbor":
            return "application/cbor", cbor.encode(told)
        return "application/x-amz-json-1.1", json.dumps(told).encode()
    if speaks == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    elif speaks == "rest-xml":
        text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"
    else:
        kind = "Sender" if error.status < 500 else "Receiver"
        text = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return "text/xml;charset=UTF-8", ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode()
