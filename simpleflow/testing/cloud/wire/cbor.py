"""CBOR (RFC 8949), as far as AWS's rpc-v2-cbor protocol has it: some releases of boto3 speak it to CloudWatch."""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Mapping
from typing import Any

from simpleflow.testing.cloud.wire import errors

_BREAK = object()


def decode(data: bytes) -> Any:
    """Read one value; raises ApiError on anything else than exactly one."""
    reader = _Reader(data)
    try:
        value = reader.value()
    except (IndexError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise errors.ApiError("SerializationException", f"the body is not CBOR: {error}") from error
    if value is _BREAK or reader.left():
        raise errors.ApiError("SerializationException", "the body is not one CBOR value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._data)

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise IndexError("it ends early")
        self._at += count
        return self._data[self._at - count : self._at]

    def value(self) -> Any:
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        if info == 31:
            return self._until_break(major)
        number = info if info < 24 else int.from_bytes(self._take(1 << (info - 24)), "big")
        match major:
            case 0:
                return number
            case 1:
                return -1 - number
            case 2:
                return self._take(number)
            case 3:
                return self._take(number).decode()
            case 4:
                return [self.value() for _ in range(number)]
            case 5:
                return {self.value(): self.value() for _ in range(number)}
        inner = self.value()
        # tag 1: epoch seconds
        return datetime.datetime.fromtimestamp(inner, datetime.UTC) if number == 1 else inner

    def _simple(self, info: int) -> Any:
        match info:
            case 20 | 21:
                return info == 21
            case 22 | 23:
                return None
            case 25:
                return struct.unpack(">e", self._take(2))[0]
            case 26:
                return struct.unpack(">f", self._take(4))[0]
            case 27:
                return struct.unpack(">d", self._take(8))[0]
            case 31:
                return _BREAK
        raise IndexError(f"simple value {info}")

    def _until_break(self, major: int) -> Any:
        items: list[Any] = []
        while (item := self.value()) is not _BREAK:
            items.append(item)
        match major:
            case 2:
                return b"".join(items)
            case 3:
                return "".join(items)
            case 4:
                return items
            case 5:
                return dict(zip(items[::2], items[1::2], strict=True))
        raise IndexError(f"major type {major} has no end")


def encode(value: Any) -> bytes:
    """Write a value; None members of mappings are left out, as AWS does. Raises TypeError for other types."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case bytes():
            return _head(2, len(value)) + value
        case datetime.datetime():
            return b"\xc1" + encode(value.timestamp())
        case Mapping():
            kept = [(k, v) for k, v in value.items() if v is not None]
            return _head(5, len(kept)) + b"".join(encode(k) + encode(v) for k, v in kept)
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(encode, value))
    raise TypeError(f"CBOR has no {type(value).__name__}")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    size = max(0, math.ceil(math.log2(max(1, (number.bit_length() + 7) // 8))))
    return bytes([major << 5 | (24 + size)]) + number.to_bytes(1 << size, "big")
