"""Saved histories, replayed against today's code."""
