"""Runs a module of this package in a fresh interpreter: ``python -P boot.py MODULE ARGUMENT...``.

The package is the one that this file belongs to, as in the process that starts it. A folder of its name in the working
directory (the parent of a clone, say) hides it from ``python -m`` where the package is installed as editable. ``-P``
keeps the working directory, whose files may bear names of the standard library, off the path until all is imported.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import traceback

#: exit status of a process that can never start: its supervisor does not start it again
EXIT_USAGE = 64


def main() -> None:
    """Run the module that the arguments name, as ``python -m`` does."""
    name = sys.argv.pop(1)
    place = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, place)
    try:
        importlib.import_module("simpleflow")
        sys.path.remove(place)
        importlib.import_module(name)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write(f"Error: {name} cannot be imported ({type(error).__name__}: {error})\n")
        sys.exit(EXIT_USAGE)
    del sys.modules[name]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
