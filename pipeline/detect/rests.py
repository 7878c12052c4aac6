"""Which rules rest, and until when: after a failure, a costly look, a look at late data, any look while catching up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from pipeline import logs
from pipeline.clock import Clock

LATE_EVERY_S: Final = 15.0  # how often late data may make a rule look again before its next turn
COSTLY_S: Final = 1.0  # a look that takes longer is costly
COSTLY_SHARE: Final = 0.05  # of the time that looks of a costly rule may take
CATCH_UP_SHARE: Final = 0.1  # of the time, for all looks together, while event time runs ahead of the clock
CATCH_UP_TIMES: Final = 4  # event time runs ahead where a rule's turn comes so many times as often as `every` says
LIVE_EVERY_S: Final = 1.0  # how often a live rule may look in between, where that costs little
LIVE_SHARE: Final = 1 / 3  # of the time, for what all live rules together look at in between
_BACKOFF_S: Final = (60.0, 300.0, 900.0, 3600.0)
OFF_AFTER: Final = 5  # failures in a row, from which on a rule is off
OFF_S: Final = 86_400.0  # and is tried again only after so long, when it was changed, or at a restart

_log = logs.get("detect")


@dataclass(frozen=True, slots=True)
class Failed:
    """A rule that failed: how many times in a row, why, and until when (monotonic) it rests."""

    failures: int
    reason: str
    until_s: float


@dataclass(slots=True)
class Rests:
    """In memory only, and may be forgotten: nobody rests after a restart. What was missed meanwhile is in the store."""

    clock: Clock
    paced: bool  # a stream goes on meanwhile: what is costly rests
    failed: dict[str, Failed] = field(default_factory=dict)
    hurried: set[str] = field(default_factory=set)  # rules whose turn it is, and that rest
    _looked_s: dict[str, float] = field(default_factory=dict)
    _costly_until_s: dict[str, float] = field(default_factory=dict)
    _live_until_s: dict[str, float] = field(default_factory=dict)
    _look_s: dict[str, float] = field(default_factory=dict)  # how long the last one took
    _anew: set[str] = field(default_factory=set)  # rules that were changed since: earlier failures are not theirs

    @property
    def off(self) -> Mapping[str, str]:
        """Why each rule that is switched off is."""
        return {rule_id: item.reason for rule_id, item in self.failed.items() if item.failures >= OFF_AFTER}

    def pauses(self, rule_id: str, *, every: timedelta | None = None) -> bool:
        """It failed lately, its last look was costly, or it hurries (``every``: where its turn has come)."""
        hurries = every is not None and self.hurries(rule_id, every)
        now_s = self.clock.monotonic()
        item = self.failed.get(rule_id)
        failed = item is not None and now_s < item.until_s
        return hurries or failed or (self.paced and now_s < self._costly_until_s.get(rule_id, 0.0))

    def hurries(self, rule_id: str, every: timedelta) -> bool:
        """Its turn has come long before its time has, as it does where a backlog is read: it looks once for several.

        It rests for ten times as long as all rules' looks take, or a quarter of ``every``, whichever is less: at the
        pace of the clock no rule ever waits for this.
        """
        rest_s = min(every.total_seconds() / CATCH_UP_TIMES, sum(self._look_s.values()) / CATCH_UP_SHARE)
        looked_s = self._looked_s.get(rule_id, float("-inf"))
        if self.paced and self.clock.monotonic() < looked_s + rest_s:
            self.hurried.add(rule_id)
        else:
            self.hurried.discard(rule_id)
        return rule_id in self.hurried

    def may_look_at_late_data(self, rule_id: str) -> bool:
        """It has not looked just now."""
        return self.clock.monotonic() - self._looked_s.get(rule_id, -LATE_EVERY_S) >= LATE_EVERY_S

    def look_s(self, rule_id: str) -> float | None:
        """What a look of it took last; None: not known."""
        return self._look_s.get(rule_id)

    def looked(self, rule_id: str, look_s: float) -> None:
        """It looked, and worked. Of several windows at once, after a pause, ``look_s`` is what one of them took."""
        now_s = self._looked_s[rule_id] = self.clock.monotonic()
        self._look_s[rule_id] = look_s
        if look_s >= COSTLY_S:
            self._costly_until_s[rule_id] = now_s + look_s * (1 / COSTLY_SHARE - 1)
        self.failed.pop(rule_id, None)
        self._anew.discard(rule_id)

    def may_look_live(self, rule_id: str, *, anyhow: bool) -> bool:
        """It may look in between now; ``anyhow``: however lately it did."""
        rests = not anyhow and self.clock.monotonic() < self._live_until_s.get(rule_id, 0.0)
        return not rests and rule_id not in self.failed

    def looked_live(self, rule_id: str, look_s: float, *, among: int) -> None:
        """It looked in between, as one of so many live rules."""
        rest_s = max(LIVE_EVERY_S, look_s * (among / LIVE_SHARE - 1))
        self._live_until_s[rule_id] = self.clock.monotonic() + rest_s

    def fail(self, rule_id: str, reason: str, *, stored: int) -> None:
        """It failed once more; ``stored``: how many times in a row it had before this process began."""
        before = self.failed.get(rule_id)
        known = 0 if rule_id in self._anew else stored
        failures = (before.failures if before else known) + 1
        off = failures >= OFF_AFTER
        rest_s = OFF_S if off else _BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1]
        self.failed[rule_id] = Failed(failures, reason, self.clock.monotonic() + rest_s)
        _log.error("rule_off" if off else "rule_failed", rule=rule_id, reason=reason, failures=failures, rests_s=rest_s)

    def changed(self, rule_id: str) -> None:
        """It is another rule now: it is tried at once, and nothing is known of what it takes."""
        self.failed.pop(rule_id, None)
        self._costly_until_s.pop(rule_id, None)
        self._looked_s.pop(rule_id, None)
        self._live_until_s.pop(rule_id, None)
        self._look_s.pop(rule_id, None)
        self._anew.add(rule_id)

    def gone(self, rule_ids: Collection[str]) -> None:
        """There are no such rules any more."""
        for rule_id in rule_ids:
            self.failed.pop(rule_id, None)
            self._look_s.pop(rule_id, None)
            self.hurried.discard(rule_id)
