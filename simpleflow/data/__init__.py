"""Payloads: objects to JSON, JSON to bytes, and where large values lie."""
