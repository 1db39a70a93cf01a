"""The AWS side of a cluster as CloudFormation stacks, one file per group of resources.

Sees plain values (``values.py``) and nothing else of simpleflow; ``nodes/bundle/bundle.py`` turns a cluster file into
them.
"""
