"""Complete programs on simpleflow; each runs with python -m examples.NAME from a checkout."""
