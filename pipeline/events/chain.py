"""Event batches are numbered, so that whoever reads them notices one that its broker has lost.

Offsets cannot tell: transaction markers leave gaps in them, and a broker that loses a committed batch closes up. So
each ingest process counts, for each partition, the batches that it has committed, and writes ``session:number`` into
the header of the next. Within a session numbers are contiguous. A number comes twice where the outcome of a commit
was not known, or where a broker without transactions is sent a batch again; that is no gap.

Not seen: what the last transaction of a process lost, if that process sends nothing more to the partition.
"""

from __future__ import annotations

import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

CHAIN_HEADER: Final = "stillwatch-chain"
_SESSIONS: Final = 1_000  # remembered by a reader: each start of an ingest is one
_LONGEST_NUMBER: Final = 18  # digits


@dataclass(slots=True)
class Numbering:
    """The writer's side: one a process."""

    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    _committed: Counter[int] = field(default_factory=Counter)
    _open: Counter[int] = field(default_factory=Counter)

    def next(self, partition: int) -> bytes:
        """The header of the next batch for a partition."""
        number = self._committed[partition] + self._open[partition]
        self._open[partition] += 1
        return f"{self.session}:{number}".encode()

    def commit(self) -> None:
        """What was numbered since the last commit is in the log."""
        self._committed += self._open
        self._open.clear()

    def abort(self) -> None:
        """It is not, or nobody knows: its numbers are given again."""
        self._open.clear()


@dataclass(slots=True)
class Following:
    """The reader's side: one a partition, given the batches in the order of its log."""

    _last: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def missing(self, header: bytes | None) -> int:
        """How many batches are missing before this one; 0 where that cannot be told: no number, or a new session."""
        session, _, digits = (header or b"").decode("ascii", "replace").partition(":")
        if not session or not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_NUMBER:
            return 0
        number = int(digits)
        # A session begins at 0; one that is first seen further on began before what this reader has read.
        last = self._last.pop(session, number - 1)
        self._last[session] = max(last, number)
        while len(self._last) > _SESSIONS:
            self._last.popitem(last=False)
        return max(0, number - last - 1)


def chain_of(headers: Iterable[tuple[str, bytes | None]] | None) -> bytes | None:
    """The number among a message's headers."""
    return next((value for name, value in headers or () if name == CHAIN_HEADER), None)
