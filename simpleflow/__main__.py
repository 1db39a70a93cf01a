"""``python -m simpleflow`` is the ``simpleflow`` command."""

from __future__ import annotations

from simpleflow.cli.main import main

main()
