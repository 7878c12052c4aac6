"""Rules that change while we run: their directories and the settings' file are looked at again and again.

A pair of files that is broken keeps the rule as it last was; all others are taken as they are now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline import logs
from pipeline.clock import Clock
from pipeline.config import RuleSettings
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.resources import sql_dir
from pipeline.rules.load import Installed, RuleSet, installed

LOOK_EVERY_S: Final = 2.0

_Seen = tuple[tuple[str, int, int, int], ...]

_log = logs.get("rules")


@dataclass(slots=True)
class RuleWatch:
    """The rules that run, and what is wrong with their files. One owner, one thread.

    ``current`` are the rules at the start, loaded without a problem. ``reread`` gives the settings anew (it may raise
    ConfigError) and ``file`` is where they come from; without it settings stay as they were.
    """

    settings: RuleSettings
    current: RuleSet
    clock: Clock
    metrics: Metrics
    file: Path | None = None
    reread: Callable[[], RuleSettings] | None = None
    problems: tuple[str, ...] = ()
    _seen: _Seen = field(init=False)
    _met: _Seen = field(init=False)
    _looked_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self._met = self._look()
        self._looked_s = self.clock.monotonic()

    def changed(self) -> RuleSet | None:
        """The rules, where they are others than the last time; None: nothing new. Cheap.

        Files are read when they stood still between two looks: a pair that is being saved is not read half-way.
        """
        if self.clock.monotonic() - self._looked_s < LOOK_EVERY_S:
            return None
        self._looked_s = self.clock.monotonic()
        met, self._met = self._met, self._look()
        if self._met == self._seen or self._met != met:
            return None
        self._seen = self._met
        before = self.current
        self._read()
        # The directory may be another one by now.
        self._seen = self._met = self._look()
        return None if _same(before, self.current) else self.current

    def _read(self) -> None:
        problems: list[str] = []
        if self.reread is not None:
            try:
                self.settings = self.reread()
            except ConfigError as error:
                problems.append(error.message)
        directory = self.settings.directory
        if directory is not None and not directory.is_dir():
            problems.append(f"{directory}: no such directory")
        else:
            found = installed(self.settings)
            problems += found.problems
            self._take(found)
        self.metrics.set("rules_broken", len(problems))
        if tuple(problems) != self.problems:
            self.problems = tuple(problems)
            if problems:
                _log.error("rules_broken", problems=problems)
            else:
                _log.info("rules_mended")

    def _take(self, found: Installed) -> None:
        kept = {
            rule.rule_id: rule
            for rule in self.current
            if rule.rule_id in found.broken and rule.rule_id not in found.rules.keys() | found.disabled
        }
        rules = {**found.active().rules, **kept}
        fresh = RuleSet({name: rules[name] for name in sorted(rules)})
        if not _same(self.current, fresh):
            before = self.current.rules
            _log.info(
                "rules_reloaded",
                added=sorted(fresh.rules.keys() - before.keys()),
                removed=sorted(before.keys() - fresh.rules.keys()),
                changed=sorted(name for name in before.keys() & fresh.rules if before[name] != fresh.rules[name]),
            )
            self.metrics.count("rules_reloaded")
        self.current = fresh

    def _look(self) -> _Seen:
        """What tells that a file changed: its size, its time, and which file it is."""
        found = []
        files = [self.file] if self.file is not None else []
        for directory in (sql_dir("rules"), self.settings.directory):
            if directory is not None and directory.is_dir():
                files += [path for path in directory.iterdir() if path.suffix in {".sql", ".yml", ".yaml"}]
        for path in files:
            try:
                stat = path.stat()
            except OSError:
                continue  # gone between two steps; the next look sees it
            found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(sorted(found))


def _same(one: RuleSet, other: RuleSet) -> bool:
    return dict(one.rules) == dict(other.rules)
