"""The embedded SWF-compatible service."""
