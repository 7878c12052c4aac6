"""One turn of the writer: deltas, dead letters, facts, rules, alerts and offsets in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from pipeline import logs
from pipeline.alerts.holding import release
from pipeline.alerts.lifecycle import update_alerts, update_pipeline_alerts
from pipeline.alerts.pipeline_rules import PipelineLook, look
from pipeline.alerts.reminders import remind
from pipeline.alerts.said import AlertWord
from pipeline.alerts.words import CLEARED_BY, apply_alert_word, apply_silence
from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.delivery.endpoints import Endpoints
from pipeline.delivery.outbox import Outcome, mark_outcomes, send_again
from pipeline.detect import Aside, Detector
from pipeline.detect.scores import with_findings
from pipeline.events.pseudonym import pseudonymise_accounts, read_key
from pipeline.faults import hit
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet
from pipeline.rules.meta import LOOK_EVERY_S, Told
from pipeline.rules.run import RuleAbortedError
from pipeline.serve.clearing import Clearing
from pipeline.serve.corpora import AddCorpus, CorpusChange
from pipeline.serve.intake import Intake
from pipeline.serve.releases import Release
from pipeline.store import (
    Applied,
    Store,
    Transaction,
    apply_accounts,
    apply_dead_letters,
    apply_deltas,
    first_event,
    progress,
    read_words,
    set_offsets,
)
from pipeline.store.accounts import check_accounts
from pipeline.store.clearing import apply_clearing
from pipeline.store.corpora import apply_corpus, first_hour, remove_corpus
from pipeline.store.releases import apply_release

_log = logs.get("serve")


@dataclass(slots=True)
class Stepper:
    """Takes one intake after the other into the store. The writer's thread only.

    Used by ``serve`` and by ``analyze``: what is found does not depend on who hands the deltas in.
    """

    store: Store
    rules: RuleSet
    settings: Settings
    clock: Clock
    metrics: Metrics
    partitions: int
    watches_itself: bool = False  # by the wall clock: not over files of the past
    paced: bool = False  # a stream goes on meanwhile: costly rules look less often
    aside: bool = False  # looks that take long are made beside the writer, in a thread: call ``close``
    watermark: datetime | None = None
    stalled: tuple[int, ...] = ()
    unheard: frozenset[int] = frozenset()  # partitions of which no worker has spoken since the start
    behind_s: float = 0.0  # how old the deltas were that the last step applied
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of RuleWatch; changed between steps
    endpoints: Endpoints = field(init=False)  # whom alerts are told to; changed between steps
    _detector: Detector = field(init=False)
    _aside: Aside | None = field(init=False)
    _heard_s: dict[int, float] = field(init=False)
    _key: bytes = field(init=False, repr=False)
    _looked_at_s: float = field(init=False)  # at itself
    _delta_at_s: float = float("-inf")  # when deltas were applied last

    def __post_init__(self) -> None:
        self.endpoints = Endpoints.of_settings(self.settings.webhook, self.settings.topics.alerts)
        self._aside = Aside(self.store, self.clock, within_s=self.settings.rules.timeout_s) if self.aside else None
        self._detector = Detector(
            self.settings, self.rules, self.clock, self.metrics, paced=self.paced, aside=self._aside
        )
        self._heard_s = dict.fromkeys(range(self.partitions), self.clock.monotonic())
        self.unheard = frozenset(self._heard_s)
        self._key = read_key(self.settings.privacy)
        self._looked_at_s = self.clock.monotonic()  # what is behind after a start has a while to catch up

    def use(self, rules: RuleSet) -> None:
        """Run these rules from the next step on."""
        self.rules = rules
        self._detector.use(rules)

    def close(self) -> None:
        """End looks that are on their way; their rules are due again after the next start."""
        if self._aside is not None:
            self._aside.close()

    @property
    def off(self) -> Mapping[str, str]:
        """Why each rule that is switched off is."""
        return self._detector.off

    @property
    def looks_pending(self) -> int:
        """Looks that were due by the last step and are not stored yet."""
        return self._detector.resting + (0 if self._aside is None else self._aside.pending)

    def step(self, intake: Intake, outcomes: Sequence[Outcome] = (), epoch: str = "") -> Applied:
        """Apply all of it or nothing.

        Raises:
            StoreError: the disk is full or memory short; nothing was kept, and the same intake may be handed in again.
        """
        found = self._look_at_itself()
        # A rule that fails takes its transaction along, then rests: one repetition a rule at most.
        for _ in range(len(self.rules)):
            try:
                return self._once(intake, outcomes, epoch, found)
            except RuleAbortedError as error:
                _log.warning("transaction_repeated", rule=error.rule_id)
        return self._once(intake, outcomes, epoch, found)

    def _look_at_itself(self) -> PipelineLook | None:
        """What stands about the pipeline, once a minute, as of the last step."""
        now_s = self.clock.monotonic()
        if not self.watches_itself or now_s - self._looked_at_s < LOOK_EVERY_S:
            return None
        lately = now_s - self._delta_at_s < 2 * LOOK_EVERY_S
        told = Told(
            now=self.clock.now(),
            rules=sorted(self.rules.rules.keys() | self.rules.pipeline.keys()),
            behind_s=self.behind_s if lately else 0.0,
            broken={cause: "; ".join(wrong) for cause, wrong in self.broken.items()},
        )
        with self.store.reading() as connection:
            return look(connection, self.rules.pipeline.values(), told, missing=self.rules.missing)

    def _once(self, intake: Intake, outcomes: Sequence[Outcome], epoch: str, found: PipelineLook | None) -> Applied:
        begun_s = self.clock.monotonic()
        if intake.corpora or intake.releases:
            self._detector.forget()  # signals by what is said otherwise now are deleted: none of them is to come back
        with self.store.transaction() as tx:
            # Facts first: rules that run in this transaction see them.
            facts_since, cleared = self._apply_accounts(tx, intake.accounts)
            cleared |= self._apply_clearings(tx, intake.clearings)
            sets_since, spoken_of = self._apply_corpora(tx, intake.corpora)
            releases_since, pivoted = self._apply_releases(tx, intake.releases)
            cleared |= spoken_of | pivoted | self._apply_alert_words(tx, intake.alert_words)
            for silence in intake.silences:
                apply_silence(tx, silence, now=self.clock.now())
            applied = self._apply(tx, intake, epoch)
            if self._aside is not None:
                self._aside.moved(applied.changed_since)
            for asked in intake.resends:
                send_again(tx, asked.endpoint, asked.message_ids, self.clock.now())
            if outcomes:
                mark_outcomes(tx, outcomes)
            hit("serve.applied")
            for partition in applied.words:
                self._heard_s[partition] = begun_s
            self.unheard -= applied.words.keys()
            self._advance(tx, begun_s)
            if self.watermark is not None:
                told = (applied.changed_since, facts_since, sets_since, releases_since)
                changed = [since for since in told if since is not None]
                result = self._detector.run(
                    tx, watermark=self.watermark, changed_since=min(changed, default=None), judge=cleared
                )
                update_alerts(
                    tx, result, now=self.clock.now(), endpoints=self.endpoints, metrics=self.metrics, rules=self.rules
                )
            elif cleared:
                self._detector.judge(tx, cleared)  # alerts follow once it is known how far event time has come
            if found is not None:
                update_pipeline_alerts(tx, found, now=self.clock.now(), endpoints=self.endpoints, metrics=self.metrics)
            remind(tx, self.clock.now(), self.endpoints)
            release(tx, self.clock.now(), self.endpoints)
            hit("serve.evaluated")
        self._detector.committed()
        hit("serve.committed")
        if found is not None:
            self._looked_at_s = begun_s
        self._measure(applied, begun_s)
        return applied

    def _apply(self, tx: Transaction, intake: Intake, epoch: str) -> Applied:
        applied = apply_deltas(tx, intake.deltas)
        apply_dead_letters(tx, intake.dead_letters)
        if intake.offsets:
            set_offsets(tx, intake.offsets, epoch)
        for hole in applied.holes:
            _log.error("hole", partition=hole.partition, expected=hole.expected, found=hole.found)
        for refused in applied.refused:
            _log.warning("delta_refused", partition=refused.delta.partition, reason=refused.reason)
        return applied

    def _apply_accounts(
        self, tx: Transaction, rows: Sequence[Mapping[str, object]]
    ) -> tuple[datetime | None, frozenset[str]]:
        """Store facts; return since when rules must look again, and who is to be judged anew whatever they find.

        Rules look again from the first event of whom we know better now.
        """
        if not rows:
            return None, frozenset()
        checked = check_accounts(rows)
        for problem in checked.problems:
            _log.warning("account_facts_refused", problem=problem)
        frame = checked.frame
        if "account_id" in self.settings.privacy.pseudonymise:
            frame = pseudonymise_accounts(frame, self._key)
        applied = apply_accounts(tx, frame)
        # Most of whom something new is told are new themselves: there is nothing to judge.
        known = with_findings(tx, applied.changed) if applied.changed else set()
        return first_event(tx, applied.changed), frozenset(applied.cleared) | known

    def _apply_clearings(self, tx: Transaction, clearings: Sequence[Clearing]) -> frozenset[str]:
        """Store what people know; return whom that concerns, under the ids that their events have."""
        concerned: frozenset[str] = frozenset()
        for said in clearings:
            accounts = pl.DataFrame({"account_id": said.accounts})
            if "account_id" in self.settings.privacy.pseudonymise:
                accounts = pseudonymise_accounts(accounts, self._key)
            concerned |= apply_clearing(
                tx,
                accounts["account_id"].to_list(),
                action=said.action,
                reason=said.reason,
                until=said.until,
                said_by=said.said_by,
            )
        return concerned

    def _apply_alert_words(self, tx: Transaction, words: Sequence[AlertWord]) -> frozenset[str]:
        """Store what people say about alerts; return whom they cleared with it."""
        concerned: frozenset[str] = frozenset()
        for said in words:
            accounts = apply_alert_word(
                tx,
                said,
                now=self.clock.now(),
                endpoints=self.endpoints,
                metrics=self.metrics,
                rules=self.rules,
            )
            if accounts:
                reason = f"{CLEARED_BY} {said.value}: {said.note}"[:2000]
                concerned |= apply_clearing(
                    tx, accounts, action="clear", reason=reason, until=said.until, said_by=said.said_by
                )
        return concerned

    def _apply_corpora(
        self, tx: Transaction, changes: Sequence[CorpusChange]
    ) -> tuple[datetime | None, frozenset[str]]:
        """Store known sets; return since when rules must look again, and of whom something is no longer said."""
        since: datetime | None = None
        spoken_of: frozenset[str] = frozenset()
        for change in changes:
            if isinstance(change, AddCorpus):
                gone = apply_corpus(tx, change.known, replace=change.replace)
                since = since if gone is None else first_hour(tx)
            else:
                gone = remove_corpus(tx, change.name)
            spoken_of |= gone or frozenset()
        return since, spoken_of

    def _apply_releases(self, tx: Transaction, words: Sequence[Release]) -> tuple[datetime | None, frozenset[str]]:
        """Store when models were released; return since when rules must look again, and of whom they spoke by it."""
        since: list[datetime] = []
        spoken_of: frozenset[str] = frozenset()
        for said in words:
            applied = apply_release(tx, said.model, released_at=said.released_at, note=said.note, said_by=said.said_by)
            if applied is not None:
                since.append(applied.since)
                spoken_of |= applied.spoken_of
        return min(since, default=None), spoken_of

    def _advance(self, tx: Transaction, now_s: float) -> None:
        reached = progress(
            read_words(tx).values(),
            partitions=self.partitions,
            lateness_s=self.settings.worker.lateness_s,
            heard_s=self._heard_s,
            now_s=now_s,
            previous=self.watermark,
        )
        self.watermark, self.stalled = reached.watermark, reached.stalled

    def _measure(self, applied: Applied, begun_s: float) -> None:
        self.metrics.count("serve_deltas", applied.applied)
        self.metrics.count("serve_holes", len(applied.holes))
        for refused in applied.refused:
            self.metrics.count("serve_deltas_refused", reason=refused.reason)
        self.metrics.observe("serve_apply_seconds", self.clock.monotonic() - begun_s)
        if applied.oldest_emitted_at is not None:
            self.behind_s = max(0.0, (self.clock.now() - applied.oldest_emitted_at).total_seconds())
            self._delta_at_s = begun_s
            self.metrics.observe("visible_seconds", self.behind_s)
        if self.watermark is not None:
            self.metrics.set("serve_watermark_seconds", self.watermark.timestamp())
            self.metrics.set("serve_watermark_age_seconds", (self.clock.now() - self.watermark).total_seconds())
        self.metrics.set("serve_stalled_partitions", len(self.stalled))
