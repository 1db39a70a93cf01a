"""Requests that no client sends: valid ones bent at random, JSON that is odd, and bytes that are no HTTP."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import botocore.loaders
import botocore.model

DOMAIN = "fuzzed"
TYPE = {"name": "type", "version": "1"}
#: texts that fit many members, and refer to what is there
_FITTING = [
    DOMAIN,
    "type",
    "1",
    "w",
    "list",
    "REGISTERED",
    "TERMINATE",
    "NONE",
    "0",
    "StartTimer",
    "CompleteWorkflowExecution",
    f"arn:aws:swf:us-east-1:123456789012:/domain/{DOMAIN}",
]
_TOKENS = [
    "d.1.3.x",
    "a.-1.-1.x",
    "d.7fffffffffff.7fffffffffffffffffff.x",
    "d. 1. 3.x",
    "a.1_0.1_0.x",
    "d.\u0661.\u0663.x",
    "...",
    "d.1.3.\ud800",
    "AAAA",
    "kwAAAA==",
    "=",
]
_TEXTS = [
    "",
    " ",
    "x" * 300,
    "x" * 40_000,
    "\u0000",
    "\ud800",
    "\udfff\ud800",
    "\U0001f600" * 100,
    "a:b",
    "arn",
    "-0",
    "1e3",
    "9" * 400,
    "\u202e",
    "'; DROP TABLE events; --",
    "{}",
    "null",
    "../../etc/passwd",
]
_ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    1e308,
    -1e308,
    2**31,
    2**63,
    2**64,
    10**400,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"name": None},
]
#: bodies that are not objects, or hardly
NASTY: list[bytes] = [
    b"",
    b" ",
    b"{",
    b"}",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"NaN",
    b'{"domain": NaN}',
    b'{"domain": Infinity}',
    b'{"domain": 1e999}',
    b"[" * 100_000,
    b'{"domain":' * 50_000,
    b'{"domain": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"domain": "\xff\xfe"}',
    b"\xef\xbb\xbf{}",
    b"\x00" * 1_000,
    b'{"domain": "a", "domain": "b"}',
    b'{"domain": "\\ud800"}',
    b'{"\\ud800": "a"}',
    b'{"domain": "a"} trailing',
    b"{" + b",".join(b'"k%d": %d' % (number, number) for number in range(20_000)) + b"}",
    b'{"domain": "' + b"x" * 900_000 + b'"}',
]
#: what arrives on a connection and is not a request
BYTES: list[bytes] = [
    b"",
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"POST " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}",
]


def actions() -> dict[str, Any]:
    """Every action with the shape of its request."""
    loaded = botocore.loaders.Loader().load_service_model("swf", "service-2")
    model = botocore.model.ServiceModel(loaded, "swf")
    return {name: model.operation_model(name).input_shape for name in sorted(model.operation_names)}


class Requests:
    """Makes requests at random, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._actions = actions()
        #: how likely a value is replaced by an odd one, and a text by one that hardly fits
        self._odd = self._misfit = 0.0
        #: task and page tokens that the service gave out, to be bent and sent back
        self.tokens: list[str] = list(_TOKENS)

    def calls(self, count: int) -> Iterator[tuple[str, bytes]]:
        """Give actions and bodies."""
        names = list(self._actions)
        for _ in range(count):
            action = self._random.choice(names)
            self._odd, self._misfit = self._random.choice([(0.0, 0.0), (0.0, 0.1), (0.02, 0.1), (0.05, 0.3)])
            request = self._value(self._actions[action])
            body = json.dumps(request).encode()
            if self._odd and self._random.random() < 0.2:
                body = self._bend(body)
            if action.startswith("PollFor") and self._random.random() < 0.5:
                action = "CountPendingActivityTasks"
            yield action, body

    def garbage(self) -> bytes:
        """Return bytes that begin like a request, or like nothing."""
        start = self._random.choice([b"", b"POST / HTTP/1.1\r\nHost: localhost\r\n", *BYTES])
        return self._bend(start + self._random.randbytes(self._random.randrange(0, 400)))

    def _bend(self, body: bytes) -> bytes:
        made = bytearray(body)
        for _ in range(self._random.randrange(1, 6)):
            at = self._random.randrange(len(made) + 1)
            match self._random.randrange(4):
                case 0:
                    made[at:at] = self._random.randbytes(self._random.randrange(1, 5))
                case 1:
                    del made[at : at + self._random.randrange(1, 20)]
                case 2:
                    made[at : at + 1] = self._random.randbytes(1)
                case _:
                    del made[at:]
        return bytes(made)

    def _value(self, shape: Any) -> Any:
        if self._random.random() < self._odd:
            return self._random.choice(_ODD)
        if shape.type_name == "structure":
            keep = self._random.choice([0.1, 0.5, 0.9])
            made = {
                name: self._value(member)
                for name, member in shape.members.items()
                if (name in shape.required_members and self._random.random() >= self._odd)
                or self._random.random() < keep
            }
            if self._random.random() < 0.03:
                made["unheard-of"] = self._random.choice(_ODD)
            return made
        if shape.type_name == "list":
            return [self._value(shape.member) for _ in range(self._random.choice([0, 1, 1, 2, 8]))]
        if shape.type_name == "string":
            return self._text(shape)
        if shape.type_name == "integer":
            return self._random.choice([0, 1, 10, 1000, 1001, -1, 2**40])
        if shape.type_name == "boolean":
            return self._random.choice([True, False])
        return self._random.choice([0, 0, 1e9, 1e308, -1e308, 253402300800, "2020-01-01T00:00:00Z"])

    def _text(self, shape: Any) -> str:
        if "Token" in shape.name:
            return self._random.choice(self.tokens[-40:])
        fits = self._random.random() >= self._misfit
        if shape.enum and fits:
            return str(self._random.choice(shape.enum))
        if "Duration" in shape.name and fits:
            return self._random.choice(["1", "10", "3600"])
        if shape.name == "TaskPriority" and fits:
            return self._random.choice(["1", "-1"])
        named = {"DomainName": DOMAIN, "Name": "type", "Version": "1", "WorkflowId": "w", "Arn": _FITTING[-1]}
        if shape.name in named and fits:
            return named[shape.name]
        return self._random.choice(_FITTING if fits else _TEXTS)
