"""What values pass on their way: compression, encryption with keys that are rotated, own codecs; and the cache."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simpleflow import Workflow, activity, settings
from simpleflow.core import clock, errors, events
from simpleflow.data import codec, jumbo
from simpleflow.data.blobs import memory
from simpleflow.local import inline
from simpleflow.runtime import stores
from simpleflow.testing import Environment
from tests.backends import places

OLD, NEW = (f"{name}:{base64.b64encode(bytes([number]) * 32).decode()}" for name, number in (("old", 1), ("new", 2)))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings.reload()
    yield
    settings.reload()


def chain(*entries: str, compression: bool = False, own: str | None = None) -> codec.Chain:
    return codec.of_settings(",".join(entries) or None, compression, own)


@pytest.mark.parametrize("text", ["", "plain", '{"a":"grüße 🎬"}', "x" * 5_000, json.dumps(list(range(3_000)))])
@pytest.mark.parametrize("made", [chain(), chain(compression=True), chain(OLD), chain(OLD, compression=True)])
def test_text_comes_back(made: codec.Chain, text: str) -> None:
    encoded = made.encode(text)
    assert made.decode(encoded) == text
    assert encoded.startswith(codec.PREFIX) or not made.seals
    assert encoded is text or made.seals or len(encoded) < len(text)


def test_keys_are_rotated() -> None:
    before = chain(OLD).encode("secret")
    both = chain(NEW, OLD)
    after = both.encode("secret")
    assert (both.decode(before), both.decode(after)) == ("secret", "secret")
    assert both.encode("secret") != after, "every value has a nonce of its own"
    with pytest.raises(codec.CannotDecode, match="key 'new', which SIMPLEFLOW_ENCRYPTION_KEYS does not have"):
        chain(OLD).decode(after)
    with pytest.raises(codec.CannotDecode, match="'aesgcm' is known here: set SIMPLEFLOW_ENCRYPTION_KEYS"):
        chain().decode(after)
    assert chain().decode("not encoded") == "not encoded"


def test_what_was_changed_is_refused() -> None:
    head, _, body = chain(OLD).encode("secret").rpartition(":")
    raw = bytearray(base64.urlsafe_b64decode(body))
    for place in (0, 1, 5, len(raw) - 1):
        other = bytearray(raw)
        other[place] ^= 1
        with pytest.raises(codec.CannotDecode):
            chain(OLD, NEW).decode(f"{head}:{base64.urlsafe_b64encode(other).decode()}")
    for broken in (f"{codec.PREFIX}zlib:AAAA", f"{codec.PREFIX}zlib:A", f"{codec.PREFIX}aesgcm:"):
        with pytest.raises(codec.CannotDecode):
            chain(OLD).decode(broken)


@pytest.mark.parametrize("keys", ["nonsense", "k:dG9vIHNob3J0", f"{OLD},", f"{OLD},bad id:{OLD[4:]}"])
def test_keys_that_are_wrong_are_refused_and_not_shown(keys: str) -> None:
    with pytest.raises(errors.UsageError, match="write ID:KEY") as raised:
        chain(keys)
    assert "AQEB" not in str(raised.value)


class Reverse:
    """A codec of one's own."""

    name, required = "reverse", True

    def encode(self, content: bytes) -> bytes:
        return content[::-1]

    decode = encode


class Lacking:
    name = "lacking"


def test_a_codec_of_ones_own() -> None:
    made = chain(OLD, own=f"{__name__}.Reverse")
    encoded = made.encode("abc")
    assert encoded.startswith(f"{codec.PREFIX}reverse,aesgcm:")
    assert made.decode(encoded) == "abc"
    with pytest.raises(codec.CannotDecode, match="'reverse' is known here: set SIMPLEFLOW_CODECS"):
        chain(OLD).decode(encoded)
    with pytest.raises(errors.UsageError, match=r"is not a codec .* lacks required, encode, decode"):
        chain(own=f"{__name__}.Lacking")
    with pytest.raises(errors.UsageError, match="cannot be imported"):
        chain(own="no.such.codec")


@activity.with_attributes(name="codec.echo", version="1")
def echo(value: Any) -> Any:
    return value


class Secret(Workflow):
    name, version, task_list = "secret", "1", "d"

    def run(self, word: str, child: bool = False) -> Any:
        if child:
            return [word, self.submit(self.wait_signal("go")).value]
        first = self.submit(echo, {"word": word})
        again = self.submit(echo, first)  # its result goes on without being read
        below = self.submit(Secret, word, child=True)
        assert first.result == {"word": word}  # the child has begun by then
        self.submit(self.signal("go", word, workflow_id="secret-child"))
        return [first.result, again.result, below.result]

    @classmethod
    def get_workflow_id(cls, *args: Any, child: bool = False, **kwargs: Any) -> str | None:
        return "secret-child" if child else None


@pytest.mark.parametrize("word", ["TOPSECRET", "TOPSECRET" * 6_000])
@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.usefixtures("backend")
def test_nothing_of_a_value_is_readable_in_the_history(word: str, compression: bool) -> None:
    settings.configure({"SIMPLEFLOW_ENCRYPTION_KEYS": OLD, "SIMPLEFLOW_COMPRESSION": compression})
    with places.environment(Secret) as environment:  # its histories are replayed at the end
        run = environment.start(Secret, word)
        assert environment.wait(run) == [{"word": word}, {"word": word}, [word, word]]
        events = [
            each for each in environment.history(run)
            if "Signal" not in type(each).__name__  # what workflows send each other is read by deciders at once
        ]  # fmt: skip
        shown = msgspec.json.encode([each.attributes for each in events]).decode()
        assert "TOPSECRET" not in shown
        assert "simpleflow+" in shown


def test_a_rotation_under_a_run_that_is_open() -> None:
    settings.configure({"SIMPLEFLOW_ENCRYPTION_KEYS": OLD})
    blobs = memory.MemoryStore()
    before = jumbo.Store("file:///memory", opener=lambda url: blobs, codec=chain(OLD))
    small, large = (before.offload(text, field="result", limit=32_768) for text in ("small", "large" * 10_000))
    assert large.startswith("simpleflow+file:///memory/")
    assert all(b"large" not in (blobs.get(each.key) or (b"", ""))[0] for each in blobs.list())
    after = jumbo.Store("file:///memory", opener=lambda url: blobs, codec=chain(NEW, OLD))
    assert (after.load(small), after.load(large)) == ("small", "large" * 10_000)
    assert after.resolve({"a": [{jumbo.REFERENCE: small}]}) == {"a": ["small"]}
    with pytest.raises(codec.CannotDecode):
        jumbo.Store("file:///memory", opener=lambda url: blobs, codec=chain(NEW)).load(large)
    assert after.offload(large, field="input", limit=32_768) == large, "a pointer goes on as it is"


class Rotates(Workflow):
    name, version, task_list = "rotates", "1", "d"

    def run(self, *words: str) -> Any:
        first = self.submit(echo, words).result
        told = self.submit(self.wait_signal("go")).value
        return [first, self.submit(echo, first).result, told]


class RotatesToo(Rotates):
    name = "rotates-too"


def test_a_run_goes_on_under_deciders_and_workers_with_new_keys(backend: places.Backend, tmp_path: Path) -> None:
    """Settings name the new key first: old values are read with the old one, new ones written with the new one."""
    words, where = ["small", "large" * 10_000], f"file://{tmp_path}/kept"
    services: list[inline.Service] = []

    def opened(time: clock.Clock) -> inline.Service:
        if not services:
            services.append(inline._Memory(time) if backend.name == "local" else backend._open(time))
        return services[0]

    settings.configure({"SIMPLEFLOW_ENCRYPTION_KEYS": OLD})
    before = Environment(workflows=[Rotates], jumbo=where, opened=opened, replay=False)
    run = before.start(Rotates, *words)
    before.settle()
    settings.configure({"SIMPLEFLOW_ENCRYPTION_KEYS": f"{NEW},{OLD}"})
    with Environment(workflows=[Rotates, RotatesToo], jumbo=where, opened=opened, replay=False) as after:
        other = after.start(RotatesToo, "new")
        after.settle()
        for each in (run, other):
            after.signal(each, "go", 1)
        assert after.wait(run) == [words, words, 1]
        assert after.wait(other) == [["new"], ["new"], 1]
        old, new = [each.attributes for each in after.history(run) if isinstance(each, events.ActivityTaskCompleted)]
    settings.configure({"SIMPLEFLOW_ENCRYPTION_KEYS": NEW})
    only_new = stores.open_store(where)
    assert json.loads(only_new.load(new.result or "")) == words
    with pytest.raises(codec.CannotDecode):
        only_new.load(old.result or "")


def test_compression_alone_keeps_a_value_in_its_field() -> None:
    store = jumbo.Store(None, codec=chain(compression=True))
    text = "[" + "1," * 30_000 + "1]"
    encoded = store.offload(text, field="result", limit=32_768)
    assert len(encoded) < 1_000
    assert jumbo.Store(None).load(encoded) == text  # everybody can read it


def test_what_a_store_remembers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = memory.MemoryStore()
    asked: list[str] = []

    class Counted(memory.MemoryStore):
        def get(self, key: str) -> tuple[bytes, str] | None:
            asked.append(key)
            return blobs.get(key)

        def put(self, key: str, content: bytes, **conditions: Any) -> str:
            return blobs.put(key, content, **conditions)

    monkeypatch.setattr(jumbo, "CACHED", 100)
    store = jumbo.Store("file:///memory", opener=lambda url: Counted())
    first, second, third, huge = (store.offload(each * 40, field="f", limit=1) for each in ("a", "b", "c", "d" * 10))
    for pointer in (first, second, first, third, first, second):  # the third one puts the second out
        store.load(pointer)
    assert len(asked) == 4
    assert store.load(huge) == "d" * 400
    assert store._cache._size <= 100


def test_settings_that_are_wrong_are_told_at_the_start() -> None:
    settings.configure({"SIMPLEFLOW_ENCRYPTION_KEYS": "nonsense"})
    with pytest.raises(errors.UsageError, match="SIMPLEFLOW_ENCRYPTION_KEYS, entry 1"):
        inline.Inline(virtual_time=True)
