"""Policies, and the rights of roles; bucket policies."""
