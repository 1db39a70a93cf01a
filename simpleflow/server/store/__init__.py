"""Where the embedded service keeps its rows: the Protocol, and its two implementations.

``sqlite.open_file`` keeps rows in a file, ``memory.open_memory`` in the process; both speak the same SQL, so that
what a test sees in memory holds on disk.
"""

from __future__ import annotations

from .base import Found, Query, Store, StoreError

__all__ = ["Found", "Query", "Store", "StoreError"]
