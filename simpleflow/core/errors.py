"""The root of every exception that this package raises on purpose, and those that the engine raises."""

from __future__ import annotations


class SimpleflowError(Exception):
    """Something that simpleflow refuses or reports; the message says what to do next."""


class UsageError(SimpleflowError):
    """Bad input of a person: names the field, the value and what to write instead. Exit code 64."""
