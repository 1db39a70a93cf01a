"""Deciders, workers and the processes around them."""
