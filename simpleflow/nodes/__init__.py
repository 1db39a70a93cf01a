"""The node manager."""
