"""What provisioning raises. This folder imports nothing of ours, so its root is its own."""

from __future__ import annotations


class ProvisioningError(Exception):
    """A machine's settings, user data or bundle cannot be made, or a machine refused; the message says what to do."""
