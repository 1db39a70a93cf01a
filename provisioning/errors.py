"""Errors of provisioning. This folder imports nothing of simpleflow, so its errors have a root class of their own."""

from __future__ import annotations


class ProvisioningError(Exception):
    """Settings, user data or a bundle cannot be made, or a machine refused a command; the message says what to do."""
