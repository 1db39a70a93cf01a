"""Sets up its logger when it is imported, which an activity does."""

from __future__ import annotations

import logging

logger = logging.getLogger("lazy_library")
logger.addHandler(logging.NullHandler())
