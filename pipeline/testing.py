"""Public: test your own rules. Events as dicts go through the real decoder, aggregation and store, in memory.

from pipeline.testing import Bench, run_rule_cases

def test_my_rules():
    failed = [case for case in run_rule_cases(Path("rules")) if not case.passed]
    assert not failed

def test_by_hand():
    with Bench() as bench:
        bench.add_events([{"account_id": "a", "model": "m", "prompt": "hello"}])
        matches = bench.evaluate(load_directory(Path("rules")).rules["my_rule"])
        assert matches.height == 0
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import polars as pl

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.corpora import known_set
from pipeline.detect import DetectionResult, Detector
from pipeline.detect.schedule import floor_to
from pipeline.errors import StillwatchError
from pipeline.events.decode import Decoder
from pipeline.events.schema import RAW
from pipeline.fingerprint.aggregate import aggregate
from pipeline.fingerprint.distributions import distributions
from pipeline.fingerprint.loops import loops
from pipeline.fingerprint.schema import PANE_S, Delta
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet, load_directory, override
from pipeline.rules.model import Case, Rule, Traffic
from pipeline.rules.run import evaluate
from pipeline.store import Store, apply_accounts, apply_deltas
from pipeline.store.corpora import apply_corpus
from pipeline.store.releases import apply_release

__all__ = ["START", "Bench", "CaseResult", "ManualClock", "expand", "load_directory", "run_case", "run_rule_cases"]

START: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_PANE: Final = timedelta(seconds=PANE_S)


class BadEventError(StillwatchError):
    """Events given to a bench that the decoder refuses."""

    exit_code = 65


@dataclass(slots=True)
class Bench:
    """A store in memory with everything in front of it. One thread; close it, or use it as a context.

    Missing ``event_id``, ``timestamp`` and ``model`` are filled in: ids count up, events come a second apart.
    """

    settings: Settings = field(default_factory=Settings)
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    metrics: Metrics = field(default_factory=Metrics)
    store: Store = field(init=False)
    _decoder: Decoder = field(init=False)
    _count: int = 0
    _last: datetime = START

    def __post_init__(self) -> None:
        self.store = Store.open(None, self.settings.store, clock=self.clock)
        self._decoder = Decoder(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    @property
    def watermark(self) -> datetime:
        """The end of the last pane with events: everything added so far is closed."""
        return floor_to(self._last, _PANE) + _PANE

    def add_accounts(self, facts: Sequence[Mapping[str, object]]) -> None:
        """Tell facts about accounts; a later fact replaces an earlier one."""
        with self.store.transaction() as tx:
            apply_accounts(tx, facts)

    def add_corpus(self, name: str, texts: Sequence[str]) -> None:
        """Add a known set of these texts, numbered from 1 on, in place of another of that name."""
        with self.store.transaction() as tx:
            apply_corpus(tx, known_set(name, enumerate(texts, 1)), replace=True)

    def add_release(self, model: str, released_at: datetime) -> None:
        """Say when a model was released, as requests name it."""
        with self.store.transaction() as tx:
            apply_release(tx, model, released_at=released_at, note=None, said_by="bench")

    def add_events(self, events: Sequence[Mapping[str, object]]) -> None:
        """Take events in, in native format.

        Raises:
            BadEventError: the decoder refuses one; nothing is added.
        """
        if not events:
            return
        raw = self._raw(events)
        self.clock.wall = max(self.clock.wall, self._last + _PANE)
        decoded = self._decoder.decode(raw, now=self.clock.now())
        if decoded.dead.height:
            first = decoded.dead.row(0, named=True)
            raise BadEventError(
                f"event {first['source_offset']}: {first['reason']}: {first['detail']}",
                next_step="docs/events.md has the fields of the native format",
            )
        panes, links = aggregate(decoded.events)
        delta = Delta(
            partition=0,
            generation=1,
            from_offset=self._count - len(events),
            to_offset=self._count,
            committed=0,
            watermark=None,
            idle=False,
            emitted_at=self.clock.now(),
            events=decoded.events.height,
            duplicates=0,
            late=0,
            panes=panes,
            links=links,
            distributions=distributions(decoded.events),
            loops=loops(decoded.events),
        )
        with self.store.transaction() as tx:
            apply_deltas(tx, [delta])

    def evaluate(self, rule: Rule, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """Matches of one rule over a window; by default the one that ends with the last event's pane."""
        end = until or self.watermark
        with self.store.transaction() as tx:
            return evaluate(tx, rule, since or end - rule.meta.window, end)

    def detect(self, rules: RuleSet, *, watermark: datetime | None = None) -> DetectionResult:
        """One pass of the detector, as ``serve`` makes it."""
        detector = Detector(self.settings, rules, self.clock, self.metrics)
        with self.store.transaction() as tx:
            return detector.run(tx, watermark=watermark or self.watermark)

    def sql(self, query: str, parameters: Mapping[str, object] | None = None) -> pl.DataFrame:
        """The result of a query over the analyst views."""
        with self.store.transaction() as tx:
            return tx.execute(query, dict(parameters or {})).pl()

    def _raw(self, events: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        values = []
        for event in events:
            when = event.get("timestamp", self._last + timedelta(seconds=1))
            if isinstance(when, datetime):
                self._last = max(self._last, when)
                when = when.astimezone(UTC).isoformat()
            filled = {"event_id": f"event-{self._count}", "model": "model", **event, "timestamp": when}
            values.append(json.dumps(filled).encode())
            self._count += 1
        size = len(values)
        return pl.DataFrame(
            {
                "topic": ["bench"] * size,
                "partition": [0] * size,
                "offset": list(range(self._count - size, self._count)),
                "format": ["native"] * size,
                "value": values,
                "received_s": [0.0] * size,
            },
            schema=RAW,
        )


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case of a rule's YAML went; ``detail`` says what came out."""

    rule_id: str
    case: str
    passed: bool
    detail: str


def run_rule_cases(directory: Path) -> list[CaseResult]:
    """Run the cases of every rule in a directory.

    Raises:
        RuleFileError: a file is wrong; nothing is run then.
    """
    return [run_case(rule, case) for rule in load_directory(directory) for case in rule.meta.tests]


def run_case(rule: Rule, case: Case) -> CaseResult:
    """Run one case in a store of its own."""
    with case_bench(case) as bench:
        return judge_case(rule, case, bench)


def case_bench(case: Case) -> Bench:
    """A bench that has taken in the events and facts of a case; the caller closes it."""
    facts: dict[str, Mapping[str, object]] = {}
    events: list[Mapping[str, object]] = []
    for traffic in case.rows:
        for event, fact in expand(traffic):
            events.append(event)
            if fact and "account_id" in event:  # without it the decoder says what is wrong
                facts[str(event["account_id"])] = {"account_id": event["account_id"], **fact}
    events.sort(key=lambda event: str(event["timestamp"]))
    bench = Bench()
    for corpus in case.corpora:
        texts = [str(fill(corpus.text, i, j)) for i in range(corpus.parts) for j in range(corpus.items)]
        bench.add_corpus(corpus.name, texts)
    for release in case.releases:
        bench.add_release(release.model, START + timedelta(seconds=release.at_s))
    bench.add_accounts(list(facts.values()))
    bench.add_events(events)
    return bench


def judge_case(rule: Rule, case: Case, bench: Bench) -> CaseResult:
    """What the rule finds in the bench of a case, against what the case expects."""
    matches = bench.evaluate(override(rule, case.parameters))
    expect = case.expect
    accounts = matches["account_id"].n_unique()
    low = matches["strength"].min() if matches.height else None
    high = matches["strength"].max() if matches.height else None
    passed = (
        accounts == expect.accounts
        and (low is None or float(str(low)) >= expect.min_strength)
        and (high is None or float(str(high)) <= expect.max_strength)
    )
    detail = f"{accounts} accounts, expected {expect.accounts}"
    if low is not None:
        detail += f"; strengths {low!s} to {high!s}, expected {expect.min_strength:g} to {expect.max_strength:g}"
    return CaseResult(rule.rule_id, case.name, passed, detail)


def expand(traffic: Traffic) -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    """The events of a case, each with the facts of its account."""
    for i in range(traffic.accounts):
        events = _turn(traffic.events, i)
        step_s = _turn(traffic.event_step_s, i)
        facts = {name: fill(_turn(value, i), i, 0) for name, value in traffic.facts.items()}
        for j in range(int(events)):
            offset_s = traffic.start_s + i * traffic.account_step_s + (j // traffic.burst) * float(step_s)
            event = {name: fill(_turn(value, i + j), i, j) for name, value in traffic.event.items()}
            yield {"timestamp": START + timedelta(seconds=offset_s), **event}, facts


def _turn(value: Any, number: int) -> Any:
    return value[number % len(value)] if isinstance(value, list) and value else value


def fill(value: Any, i: int, j: int) -> Any:
    """``{i}`` and ``{j}`` filled in, wherever they stand."""
    if isinstance(value, list):
        return [fill(item, i, j) for item in value]
    if isinstance(value, dict):
        return {name: fill(item, i, j) for name, item in value.items()}
    return value.replace("{i}", str(i)).replace("{j}", str(j)) if isinstance(value, str) else value


def failures(results: Iterable[CaseResult]) -> str:
    """What went wrong, one case a line; empty when nothing did."""
    return "\n".join(f"{item.rule_id}: {item.case}: {item.detail}" for item in results if not item.passed)
