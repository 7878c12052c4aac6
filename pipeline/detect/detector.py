"""One pass of detection in an open transaction: due rules → signals → scores → campaigns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.detect.aside import ASIDE_S, HELD_UP_S, Aside, Look
from pipeline.detect.campaigns import update_campaigns
from pipeline.detect.discoveries import Basis, Tests, apply_naming, choose, count_tests, known_of_text, last_naming
from pipeline.detect.reference import Reference, load_reference
from pipeline.detect.rests import OFF_AFTER, Rests
from pipeline.detect.schedule import due_windows, floor_to, in_turn, live_window, reach
from pipeline.detect.scores import changed_use, update_findings, with_findings
from pipeline.detect.signals import Changed, differ
from pipeline.detect.state import RuleState, mark_dirty, read_states, write_failure, write_passed, write_success
from pipeline.detect.tables import WriteTx
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet
from pipeline.rules.model import Rule, Window
from pipeline.rules.run import RuleAbortedError, RuleResultError, Tx, evaluate
from pipeline.store import active_hours

PASS_S: Final = 4.0  # by which a pass of a stream is to end: what is left is first in the next one


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """What one pass did. ``accounts`` are those whose signals changed, ``campaigns`` those written anew."""

    watermark: datetime
    windows: Mapping[str, Sequence[Window]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    accounts: frozenset[str] = frozenset()
    campaigns: tuple[str, ...] = ()
    judged: bool = False

    @property
    def evaluated(self) -> bool:
        """Any rule had something to look at, a person said something about an account, or accounts were judged."""
        return bool(self.windows or self.accounts or self.judged)


@dataclass(slots=True)
class Detector:
    """Runs rules behind the watermark. How far each has looked is in the store, in the transaction of its result.

    One owner, one thread. In memory is only what may be forgotten: which rules rest after a failure or a costly look.
    ``paced`` is for a stream that goes on meanwhile: a rule whose looks are costly looks less often, and a pass ends
    when it has taken long, with whoever has waited longest first in the next. What a rule finds in a window that has
    closed does not depend on that. Where there is an ``aside``, what is not known to be quick is looked at there, and
    whoever has the transaction tells ``committed`` when it is.
    """

    settings: Settings
    rules: RuleSet
    clock: Clock
    metrics: Metrics
    paced: bool = False
    aside: Aside | None = None
    reference: Reference = field(init=False)
    _digest: str = field(init=False)
    _rests: Rests = field(init=False)
    _owed: bool = False  # looked, and not judged yet, by what is committed
    _owes: bool = False  # the same by the transaction at hand

    def __post_init__(self) -> None:
        """Raises ConfigError: the reference of ``rules.reference`` cannot be used."""
        self.reference = load_reference(self.settings.rules.reference)
        self._digest = self.reference.digest
        self._rests = Rests(self.clock, self.paced)

    def use(self, rules: RuleSet) -> None:
        """Run these from the next pass on; how far each has looked stays. One that was changed is tried at once."""
        before = {rule.rule_id: rule.version for rule in self.rules}
        for rule in rules:
            if before.get(rule.rule_id) != rule.version:
                self._rests.changed(rule.rule_id)
                self.forget(rule.rule_id)
        gone = before.keys() - rules.rules.keys()
        self._rests.gone(gone)
        for rule_id in gone:
            self.forget(rule_id)
        self.rules = rules

    @property
    def off(self) -> Mapping[str, str]:
        """Why each rule that is switched off is."""
        return self._rests.off

    @property
    def resting(self) -> int:
        """How many rules are due and wait, since event time runs ahead of the clock."""
        return len(self._rests.hurried)

    def committed(self) -> None:
        """The transaction of the last ``run`` is committed."""
        self._owed = self._owes
        if self.aside is not None:
            self.aside.committed()

    def forget(self, rule_id: str | None = None) -> None:
        """What looks find that are on their way, of this rule or of any, is about something that is no more."""
        if self.aside is not None:
            self.aside.forget(rule_id)

    def run(
        self,
        tx: WriteTx,
        *,
        watermark: datetime,
        changed_since: datetime | None = None,
        judge: Collection[str] = (),
    ) -> DetectionResult:
        """Look at every closed window that is new or changed, and bring findings and campaigns up to date.

        Cheap when nothing is due. What it writes depends on what is stored and on the watermark, not on how often it
        was called before.

        Args:
            tx: the open transaction that has the data; all is written in it.
            watermark: event time up to which panes are complete.
            changed_since: start of the oldest pane that this transaction touched, if any.
            judge: accounts to be judged anew from their stored signals, whether or not a rule is due.

        Raises:
            RuleAbortedError: a rule's SQL failed, and DuckDB aborted the transaction with it. Roll back and repeat
                the transaction: the rule is left out by then, and ``rule_state`` says why.
        """
        states = read_states(tx)
        self._record_failures(tx, states)
        done: dict[str, list[Window]] = {}
        failed: dict[str, str] = {}
        touched = Changed(set(judge), set(judge))
        begun_s = self.clock.monotonic()
        if self.aside is not None:
            self.aside.begin(changed_since)
            for look in self.aside.ended():
                self._take(tx, look, touched, done, failed)
            self._record_failures(tx, states)
            states = read_states(tx)
        for rule in in_turn(self.rules, states):
            state = states.get(rule.rule_id, RuleState())
            expected_s = self._rests.look_s(rule.rule_id) or 0.0
            spent_s = self.clock.monotonic() - begun_s
            held_up = self._held_up_by(rule, spent_s)
            # The first may take as long as it does; of the others those that will be done by then.
            late = self.paced and held_up and bool(done) and spent_s + expected_s >= PASS_S
            windows = self._due(tx, rule, state, watermark, changed_since, late=late)
            if not windows:
                continue
            until = floor_to(watermark, rule.meta.every)
            if self.aside is not None and not held_up:
                self.aside.ask(Look(rule, windows, until, state.failures, expected_s))
                continue
            try:
                self._evaluate(tx, rule, windows, touched, until=until, state=state)
            except RuleResultError as error:
                failed[rule.rule_id] = error.reason
                self._record_failures(tx, states)
            else:
                done[rule.rule_id] = windows
        if self.paced:
            newest = watermark + timedelta(seconds=self.settings.worker.lateness_s)
            for rule in self.rules:
                if rule.meta.live and (rule.rule_id in done or changed_since is not None):
                    self._look_live(tx, rule, newest, touched, anyhow=rule.rule_id in done)
        campaigns, judged = self._judge_once(tx, touched.scored, bool(done), watermark)
        if self.aside is not None:
            self.aside.stored(self.clock.monotonic() - begun_s)
        return DetectionResult(watermark, done, failed, frozenset(touched.accounts), campaigns, judged)

    def _judge_once(
        self, tx: WriteTx, accounts: Collection[str], looked: bool, watermark: datetime
    ) -> tuple[tuple[str, ...], bool]:
        """Judge what a pass found: nothing new while looks are on their way waits for what they find."""
        waits = not accounts and self.aside is not None and self.aside.on_their_way
        self._owes = waits and (looked or self._owed)
        if waits or not (accounts or looked or self._owed):
            return (), False
        # Whole minutes: whoever looked once more in between, at nothing new, would have counted other accounts.
        until = floor_to(watermark, timedelta(minutes=1))
        basis = Basis(known_of_text(tx, until), self._digest)
        _, before = last_naming(tx) or (None, None)
        return self._judge(tx, accounts, basis, tests=count_tests(tx, until), before=before), True

    def _held_up_by(self, rule: Rule, spent_s: float) -> bool:
        """Whether the transaction waits for its looks: they are quick and few so far, or there is nowhere else."""
        look_s = self._rests.look_s(rule.rule_id)
        return self.aside is None or (look_s is not None and look_s < ASIDE_S and spent_s + look_s < HELD_UP_S)

    def _due(
        self,
        tx: Tx,
        rule: Rule,
        state: RuleState,
        watermark: datetime,
        changed_since: datetime | None,
        *,
        late: bool,
    ) -> list[Window]:
        """The windows that a rule is to look at now; ``late``: not in this pass any more."""
        on_its_way = self.aside is not None and rule.rule_id in self.aside
        ahead = state.evaluated_until is None or watermark - state.evaluated_until >= rule.meta.every
        waits = late or on_its_way or self._rests.pauses(rule.rule_id, every=rule.meta.every if ahead else None)
        changed = self._changed(tx, rule.rule_id, state, changed_since, waits=waits)
        if waits or not (ahead or changed is not None):
            return []
        windows = due_windows(
            rule.meta,
            done=state.evaluated_until,
            watermark=watermark,
            changed=changed,
            active_hours=active_hours(tx, reach(rule.meta, state.evaluated_until, changed)),
        )
        if not windows and state.evaluated_until is not None:
            write_passed(tx, rule.rule_id, floor_to(watermark, rule.meta.every))
        return windows

    def judge(self, tx: WriteTx, accounts: Collection[str]) -> tuple[str, ...]:
        """Bring findings and campaigns of these accounts in line with their signals; return the campaigns."""
        last = last_naming(tx)
        if last is None:
            return ()  # nothing was ever looked at
        tests, before = last
        return self._judge(tx, accounts, Basis(before.knowledge, self._digest), tests=tests, before=before)

    def _judge(
        self, tx: WriteTx, accounts: Collection[str], basis: Basis, *, tests: Tests, before: Basis | None
    ) -> tuple[str, ...]:
        now = self.clock.now()
        concerned = set(accounts) | changed_use(tx)
        if before != basis:  # e-values of what was found before came from something else
            concerned |= with_findings(tx)
        if concerned:
            update_findings(tx, concerned, knowledge=basis.knowledge, reference=self.reference, now=now)
        naming = choose(tx, tests=tests, rate=self.settings.rules.false_discovery_rate)
        concerned |= apply_naming(tx, naming, basis, now)
        quiet = timedelta(days=self.settings.rules.campaign_ends_after_days)
        return update_campaigns(tx, concerned, tests=tests.accounts, quiet=quiet, now=now)

    def _evaluate(
        self,
        tx: WriteTx,
        rule: Rule,
        windows: Sequence[Window],
        touched: Changed,
        *,
        until: datetime,
        state: RuleState,
    ) -> None:
        matches = 0
        looked_s = self.clock.monotonic()
        for window in windows:
            frame = self._look(tx, rule, window, failures=state.failures)
            touched.store(tx, rule, window, frame)
            matches = frame.height
        self._rests.looked(rule.rule_id, (self.clock.monotonic() - looked_s) / max(1, len(windows)))
        write_success(tx, rule.rule_id, until, matches, self.clock.now())

    def _take(
        self, tx: WriteTx, look: Look, touched: Changed, done: dict[str, list[Window]], failed: dict[str, str]
    ) -> None:
        """Store what a look beside the writer found; or how it failed, once, however often the transaction is run."""
        rule, rule_id = look.rule, look.rule.rule_id
        if look.error is not None:
            failed[rule_id] = look.error.reason
            if not look.counted:
                look.counted = True
                self._fail(rule_id, look.error.reason, failures=look.failures)
        elif look.complete:
            for window, frame in zip(look.windows, look.frames, strict=True):
                touched.store(tx, rule, window, frame)
            if not look.counted:
                look.counted = True
                look_s = look.took_s / max(1, len(look.windows))
                self._rests.looked(rule_id, look_s)
                self.metrics.observe("rules_seconds", look_s, rule=rule_id)
                self.metrics.count("rules_evaluated", len(look.windows), rule=rule_id)
            write_success(tx, rule_id, look.until, look.frames[-1].height, self.clock.now())
            if look.changed is not None and look.changed < look.until:
                mark_dirty(tx, rule_id, look.changed)
            done[rule_id] = list(look.windows)

    def _fail(self, rule_id: str, reason: str, *, failures: int) -> None:
        self.metrics.count("rules_failed", rule=rule_id)
        self._rests.fail(rule_id, reason, stored=failures)

    def _look(self, tx: WriteTx, rule: Rule, window: Window, *, failures: int) -> pl.DataFrame:
        begun = self.clock.monotonic()
        try:
            within_s = self.settings.rules.timeout_s if self.paced else None
            frame = evaluate(tx, rule, window.since, window.until, within_s=within_s)
        except (RuleAbortedError, RuleResultError) as error:
            self._fail(rule.rule_id, error.reason, failures=failures)
            raise
        self.metrics.observe("rules_seconds", self.clock.monotonic() - begun, rule=rule.rule_id)
        self.metrics.count("rules_evaluated", rule=rule.rule_id)
        return frame

    def _look_live(self, tx: WriteTx, rule: Rule, newest: datetime, touched: Changed, *, anyhow: bool) -> None:
        """Look at the window that fills, with what is not complete yet.

        How far the rule has looked stays: the watermark brings the same window up again, and what is found then, of
        all that came, takes the place of this. ``anyhow``: a look behind the watermark just took that place.
        """
        begun_s = self.clock.monotonic()
        if not self._rests.may_look_live(rule.rule_id, anyhow=anyhow):
            return
        window = live_window(rule.meta, newest=newest)
        try:
            frame = self._look(tx, rule, window, failures=0)
        except RuleResultError:
            return  # suspended; the look behind the watermark tells it
        among = sum(one.meta.live for one in self.rules)
        self._rests.looked_live(rule.rule_id, self.clock.monotonic() - begun_s, among=among)
        if differ(tx, rule, window, frame):
            touched.store(tx, rule, window, frame)

    def _changed(
        self, tx: Tx, rule_id: str, state: RuleState, changed_since: datetime | None, *, waits: bool
    ) -> datetime | None:
        """Since when the rule must look again; late data waits for its turn, and is remembered in the store."""
        if state.evaluated_until is None:
            return None
        changed = state.dirty_since
        if changed_since is not None and changed_since < state.evaluated_until:
            changed = changed_since if changed is None else min(changed, changed_since)
        if changed is None:
            return None
        if not waits and self._rests.may_look_at_late_data(rule_id):
            return changed
        if changed != state.dirty_since:
            mark_dirty(tx, rule_id, changed)
        return None

    def _record_failures(self, tx: Tx, states: Mapping[str, RuleState]) -> None:
        for rule_id, item in self._rests.failed.items():
            stored = states.get(rule_id, RuleState())
            if stored.failures != item.failures:
                off = item.failures >= OFF_AFTER
                write_failure(tx, rule_id, item.failures, item.reason, self.clock.now(), off=off)
