"""Python's cycle collector in a process that makes twenty thousand records a poll, and no cycles of them."""

from __future__ import annotations

import gc
from typing import Final

# Above what one poll makes (three containers a record): records die by their reference counts before a pass is due.
NEW_OBJECTS: Final = 200_000


def collect_seldom() -> None:
    """Let a pass of the collector begin after NEW_OBJECTS, and look no more at what is there now: modules and settings.

    For the whole process, so for a command to call, once it has imported what it needs. Memory stays bounded: cycles
    are still found, later. By default a quarter of the CPU time of reading went into looking for cycles among records.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 20)
