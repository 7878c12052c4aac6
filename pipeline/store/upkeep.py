"""Keeps the store small and quick between applications: fold, merge, expire, checkpoint, a short piece at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from pipeline import logs
from pipeline.store.compact import compact
from pipeline.store.fold import Folder
from pipeline.store.retention import expire
from pipeline.store.store import Store

EXPIRE_EVERY_S: Final = 600.0
CLOCK_STEP_S: Final = 300.0  # between two looks; less is drift, or the time between reading the two clocks
CLOCK_DOUBT_S: Final = 86_400.0
CHECKPOINT_LOG_BYTES: Final = 33_554_432  # no write begins while one is made: of 128 MB it took up to 5 s
# Nobody waits for what is of a backlog; and what is folded by then is never written into the file as deltas.
CHECKPOINT_BACKLOG_BYTES: Final = 134_217_728

_log = logs.get("store")
Work = Literal["folded", "merged", "expired", "checkpointed"]


@dataclass(slots=True)
class Upkeep:
    """Call ``turn`` from the writer's thread when nothing else is due; each is a transaction of about a second at most.

    Keeps only when each kind of work was last looked for; whatever is cut off is taken up by the next one.
    """

    store: Store
    folder: Folder = field(default_factory=Folder)
    _due_s: dict[str, float] = field(default_factory=dict)
    _looked: tuple[datetime, float] | None = None  # wall and monotonic time at the last turn

    def turn(self, watermark: datetime | None, *, backlog: bool = False) -> Work | None:
        """Do the most urgent piece of work that is due; None: nothing is.

        Args:
            watermark: event time up to which panes are over.
            backlog: what is being applied happened long ago.

        Raises:
            StoreError: the disk is full, or memory short; nothing of this turn was kept.
        """
        if self.store.log_bytes() > (CHECKPOINT_BACKLOG_BYTES if backlog else CHECKPOINT_LOG_BYTES):
            self._rest("checkpoint", self.store.settings.checkpoint_every_s)
            self.store.checkpoint()  # of a file, which is done in one piece
            return "checkpointed"
        if self._due("fold") and self._fold(watermark):
            return "folded"
        if self._due("merge"):
            with self.store.transaction() as tx:
                if compact(tx, watermark) is not None:
                    return "merged"
            self._rest("merge", self.store.settings.fold_every_s)
        self._doubt_the_clock()
        if self._due("expire"):
            with self.store.transaction() as tx:
                gone = expire(tx, self.store.settings)
            if not gone.more:
                self._rest("expire", EXPIRE_EVERY_S)
            if gone.rows:
                return "expired"
        if self._due("checkpoint"):
            first = "checkpoint" not in self._due_s
            self._rest("checkpoint", self.store.settings.checkpoint_every_s)
            if not first:
                if self.store.checkpoint():
                    self._rest("checkpoint", 0.0)
                return "checkpointed"
        return None

    def _doubt_the_clock(self) -> None:
        """Delete nothing for a day after the wall clock was set: set years ahead, it says that all is too old to keep.

        That is time for a person to see it and set it back. Where the clock was wrong when the process began, nothing
        here can tell.
        """
        wall, monotonic_s = self.store.clock.now(), self.store.clock.monotonic()
        if self._looked is not None:
            step_s = (wall - self._looked[0]).total_seconds() - (monotonic_s - self._looked[1])
            if abs(step_s) > CLOCK_STEP_S:
                _log.warning("clock_stepped", seconds=round(step_s), retention_rests_s=CLOCK_DOUBT_S)
                self._rest("expire", CLOCK_DOUBT_S)
        self._looked = (wall, monotonic_s)

    def _fold(self, watermark: datetime | None) -> bool:
        try:
            with self.store.transaction() as tx:
                folded = self.folder.turn(tx, watermark)
        except BaseException:
            self.folder.forget()
            raise
        if not folded.more:
            self._rest("fold", self.store.settings.fold_every_s)
        return folded.rows > 0

    def _due(self, work: str) -> bool:
        return self.store.clock.monotonic() >= self._due_s.get(work, float("-inf"))

    def _rest(self, work: str, seconds: float) -> None:
        self._due_s[work] = self.store.clock.monotonic() + seconds
