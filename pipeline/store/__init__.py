"""The store: one DuckDB file, one writer, everything that is counted in it once.

``Store`` is the door; the functions beside it work in one of its transactions. Reading for analysts is ``query``.
"""

from pipeline.store.apply import Applied, Refused, apply_deltas
from pipeline.store.fold import Folded, fold
from pipeline.store.inputs import (
    apply_accounts,
    apply_dead_letters,
    first_event,
    new_epoch,
    next_offsets,
    set_offset,
    set_offsets,
    stored_epochs,
)
from pipeline.store.store import Store
from pipeline.store.transaction import Transaction
from pipeline.store.watermark import PartitionWord, Progress, active_hours, progress, read_words

__all__ = [
    "Applied",
    "Folded",
    "PartitionWord",
    "Progress",
    "Refused",
    "Store",
    "Transaction",
    "active_hours",
    "apply_accounts",
    "apply_dead_letters",
    "apply_deltas",
    "first_event",
    "fold",
    "new_epoch",
    "next_offsets",
    "progress",
    "read_words",
    "set_offset",
    "set_offsets",
    "stored_epochs",
]
