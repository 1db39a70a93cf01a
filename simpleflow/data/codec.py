"""Values as bytes on their way to SWF: compressed, encrypted, or what a codec of yours does. The seam is ``Codec``.

The wire form is ``simpleflow+codec:NAME[,NAME...]:BASE64``, names in the order in which they were applied; it stands
where a pointer may stand, so deciders and workers follow it as they follow one.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from simpleflow.core import errors

PREFIX = "simpleflow+codec:"
_FORM = re.compile(r"simpleflow\+codec:(?P<names>[a-z0-9_.,-]+):(?P<body>[A-Za-z0-9_=-]*)")
_KEY = re.compile(r"(?P<id>[A-Za-z0-9_.-]{1,64}):(?P<key>[A-Za-z0-9+/_=-]+)")
#: characters from which compressing is tried
_WORTH = 1_024
#: bytes that a compressed value may become again
_LARGEST = 64 << 20


class CannotDecode(errors.SimpleflowError):
    """A value was encoded with what is not known here, or is not what was encoded."""


class Codec(Protocol):
    """Bytes to bytes and back. Thread safe; ``decode`` raises ValueError for what ``encode`` did not write."""

    #: lower-case letters, digits, '_', '.' and '-'; stands in each value
    name: str
    #: whether every value must pass it; else it is left out where the value does not become smaller
    required: bool

    def encode(self, content: bytes) -> bytes: ...

    def decode(self, content: bytes) -> bytes: ...


class Zlib:
    """Compression."""

    name = "zlib"
    required = False

    def encode(self, content: bytes) -> bytes:
        return zlib.compress(content, 6) if len(content) >= _WORTH else content

    def decode(self, content: bytes) -> bytes:
        opened = zlib.decompressobj()
        try:
            found = opened.decompress(content, _LARGEST)
        except zlib.error as error:
            raise ValueError(f"it is not what zlib wrote: {error}") from None
        if opened.unconsumed_tail or not opened.eof:
            raise ValueError(f"it is cut off, or becomes more than {_LARGEST} bytes")
        return found


class AesGcm:
    """AES-256-GCM. ``keys`` are (id, 32 bytes) pairs: the first encrypts, all decrypt, so that keys can be rotated."""

    name = "aesgcm"
    required = True

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers import aead
        except ImportError as error:
            raise errors.UsageError(
                "SIMPLEFLOW_ENCRYPTION_KEYS is set and the package cryptography is missing: "
                "pip install 'simpleflow[encryption]'"
            ) from error
        self._invalid = InvalidTag
        self._first = keys[0][0]
        self._ciphers = {name: aead.AESGCM(key) for name, key in keys}

    def encode(self, content: bytes) -> bytes:
        name, nonce = self._first.encode(), os.urandom(12)
        head = bytes([len(name)]) + name
        return head + nonce + self._ciphers[self._first].encrypt(nonce, content, head)

    def decode(self, content: bytes) -> bytes:
        end = 1 + (content[0] if content else 0)
        head, nonce, body = content[:end], content[end : end + 12], content[end + 12 :]
        name = head[1:].decode("ascii", "backslashreplace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise ValueError(
                f"it is encrypted with key '{name}', which SIMPLEFLOW_ENCRYPTION_KEYS does not have: add it"
            )
        try:
            return bytes(cipher.decrypt(nonce, body, head))
        except self._invalid:
            raise ValueError(f"it was changed, or key '{name}' is another one than it was encrypted with") from None


class Chain:
    """Codecs in the order in which values pass them. ``known`` are those that only decode."""

    def __init__(self, codecs: Sequence[Codec] = (), known: Sequence[Codec] = ()) -> None:
        self._codecs = tuple(codecs)
        self._known = {each.name: each for each in (Zlib(), *known, *codecs)}

    @property
    def seals(self) -> bool:
        """Whether every value is encoded, not only those that become smaller."""
        return any(each.required for each in self._codecs)

    @property
    def works(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._codecs)

    def encode(self, text: str) -> str:
        """Return the text as it travels; the text itself where nothing is done to it."""
        content, names = text.encode(), []
        for codec in self._codecs:
            made = codec.encode(content)
            if codec.required or len(made) < len(content):
                content = made
                names.append(codec.name)
        if not names:
            return text
        encoded = f"{PREFIX}{','.join(names)}:{base64.urlsafe_b64encode(content).decode()}"
        return encoded if self.seals or len(encoded) < len(text) else text

    def decode(self, text: str) -> str:
        """Return what ``encode`` was given; other text as it is. Raises CannotDecode."""
        found = _FORM.fullmatch(text) if text.startswith(PREFIX) else None
        if found is None:
            return text
        try:
            content = base64.b64decode(found["body"], altchars=b"-_", validate=True)
            for name in reversed(found["names"].split(",")):
                codec = self._known.get(name)
                if codec is None:
                    missing = "SIMPLEFLOW_ENCRYPTION_KEYS" if name == AesGcm.name else "SIMPLEFLOW_CODECS"
                    raise ValueError(f"nothing called '{name}' is known here: set {missing} as where it was encoded")
                content = codec.decode(content)
            return content.decode()
        except (binascii.Error, ValueError) as error:
            raise CannotDecode(f"the value {text[:60]}… cannot be decoded: {error}") from error


def keys(text: str) -> list[tuple[str, bytes]]:
    """Read ``ID:BASE64,ID:BASE64``; raises UsageError, which never shows a key."""
    found = []
    for place, part in enumerate(each.strip() for each in text.split(",")):
        match = _KEY.fullmatch(part)
        try:
            key = base64.b64decode(match["key"].replace("-", "+").replace("_", "/"), validate=True) if match else b""
        except binascii.Error:
            key = b""
        if match is None or len(key) != 32:
            raise errors.UsageError(
                f"SIMPLEFLOW_ENCRYPTION_KEYS, entry {place + 1}: write ID:KEY, the key 32 bytes in base64 "
                '(python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())")'
            )
        found.append((match["id"], key))
    return found


def of_settings(encryption_keys: str | None, compression: bool, own: str | None) -> Chain:
    """Return the chain that the settings ask for: your codecs, compression, encryption. Raises UsageError."""
    codecs: list[Codec] = [_own(name.strip()) for name in own.split(",") if name.strip()] if own else []
    if compression:
        codecs.append(Zlib())
    if encryption_keys:
        codecs.append(AesGcm(keys(encryption_keys)))
    return Chain(codecs)


def _own(path: str) -> Codec:
    module, _, name = path.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise errors.UsageError(f"SIMPLEFLOW_CODECS: {path!r} cannot be imported ({error})") from error
    made = found() if isinstance(found, type) else found
    lacks = [each for each in ("name", "required", "encode", "decode") if not hasattr(made, each)]
    if lacks or not re.fullmatch(r"[a-z0-9_.-]+", str(made.name)):
        raise errors.UsageError(
            f"SIMPLEFLOW_CODECS: {path!r} is not a codec (simpleflow.data.codec.Codec): it lacks "
            f"{', '.join(lacks) or 'a name of lower-case letters, digits, _ . -'}"
        )
    return made  # type: ignore[no-any-return]  # it has what a codec has
