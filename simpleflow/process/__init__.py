"""Supervision of processes and their trees."""
