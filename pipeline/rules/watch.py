"""Rules that change while we run: their directories and the settings' file are looked at again and again.

A pair of files that is broken keeps the rule as it last was; all others are taken as they are now. One that is broken
at the start, when there is nothing that it last was, does not run until it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from pipeline import logs
from pipeline.clock import Clock
from pipeline.config import RuleSettings
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.resources import rule_files, sql_dir
from pipeline.rules.load import Installed, RuleSet, installed

LOOK_EVERY_S: Final = 2.0
SETTINGS: Final = "settings"  # the cause of a problem that is of no rule

_Seen = tuple[tuple[str, int, int, int], ...]
_R = TypeVar("_R")

_log = logs.get("rules")


@dataclass(slots=True)
class RuleWatch:
    """The rules that run, and what is wrong with their files. One owner, one thread.

    ``found`` are the rules at the start: what is broken then does not run until it is mended. ``reread`` gives the
    settings anew (it may raise ConfigError) and ``file`` is where they come from; without it settings stay as they are.
    """

    settings: RuleSettings
    found: InitVar[Installed]
    clock: Clock
    metrics: Metrics
    file: Path | None = None
    reread: Callable[[], RuleSettings] | None = None
    current: RuleSet = field(init=False)
    broken: Mapping[str, tuple[str, ...]] = field(init=False)  # problems by "rule:ID", or "settings"
    _seen: _Seen = field(init=False)
    _met: _Seen = field(init=False)
    _looked_s: float = field(init=False)

    def __post_init__(self, found: Installed) -> None:
        self.current, self.broken = found.active(), {}
        self._say(_by_cause(found))
        self._seen = self._met = self._look()
        self._looked_s = self.clock.monotonic()

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is wrong, a line each."""
        return tuple(sorted(one for wrong in self.broken.values() for one in wrong))

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
        wrong: list[str] = []
        if self.reread is not None:
            try:
                self.settings = self.reread()
            except ConfigError as error:
                wrong.append(error.message)
        directory = self.settings.directory
        if directory is not None and not directory.is_dir():
            self._say({SETTINGS: (*wrong, f"{directory}: no such directory")})
            return
        found = installed(self.settings)
        self._take(found)
        self._say(_by_cause(replace(found, settings=(*wrong, *found.settings))))

    def _say(self, broken: Mapping[str, tuple[str, ...]]) -> None:
        before, self.broken = self.broken, broken
        self.metrics.set("rules_broken", len(self.problems))
        if broken != before:
            if broken:
                _log.error("rules_broken", problems=list(self.problems))
            else:
                _log.info("rules_mended")

    def _take(self, found: Installed) -> None:
        before, now = self.current, found.active()
        fresh = RuleSet(
            _with_kept(now.rules, before.rules, now.missing),
            _with_kept(now.pipeline, before.pipeline, now.missing),
            now.missing - before.rules.keys() - before.pipeline.keys(),
        )
        if not _same(before, fresh):
            old: Mapping[str, object] = {**before.rules, **before.pipeline}
            new: Mapping[str, object] = {**fresh.rules, **fresh.pipeline}
            _log.info(
                "rules_reloaded",
                added=sorted(new.keys() - old.keys()),
                removed=sorted(old.keys() - new.keys()),
                changed=sorted(name for name in old.keys() & new if old[name] != new[name]),
            )
            self.metrics.count("rules_reloaded")
        self.current = fresh

    def _look(self) -> _Seen:
        """What tells that a file changed: its size, its time, and which file it is."""
        found = []
        files = [self.file] if self.file is not None else []
        for directory in (sql_dir("rules"), sql_dir("meta"), self.settings.directory):
            if directory is not None and directory.is_dir():
                files += rule_files(directory)
        for path in files:
            try:
                stat = path.stat()
            except OSError:
                continue  # gone between two steps; the next look sees it
            found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(sorted(found))


def _with_kept(now: Mapping[str, _R], before: Mapping[str, _R], missing: frozenset[str]) -> Mapping[str, _R]:
    """The rules as they are now, and as they last were where they cannot be read; in the order of their ids."""
    rules = {**{name: before[name] for name in before.keys() & missing}, **now}
    return {name: rules[name] for name in sorted(rules)}


def _by_cause(found: Installed) -> Mapping[str, tuple[str, ...]]:
    """What is wrong, by what a person would mend."""
    causes = {f"rule:{name}": wrong for name, wrong in sorted(found.broken.items())}
    return causes | ({SETTINGS: found.settings} if found.settings else {})


def _same(one: RuleSet, other: RuleSet) -> bool:
    return (dict(one.rules), dict(one.pipeline), one.missing) == (
        dict(other.rules),
        dict(other.pipeline),
        other.missing,
    )
