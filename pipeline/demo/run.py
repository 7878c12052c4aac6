"""Runs the demo: sends, watches, waits until all is counted and closed, then shows and judges what was found."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from rich.console import Console
from rich.status import Status

from pipeline.alerts.said import AlertWord
from pipeline.config import Settings
from pipeline.delivery.receiver import Receiver
from pipeline.delivery.signing import new_secret
from pipeline.demo.show import show_accounts, show_alerts, show_campaign
from pipeline.demo.stages import check_alive, running
from pipeline.errors import StillwatchError
from pipeline.ingest.produce import open_sender
from pipeline.serve.client import ServeClient
from pipeline.serve.view import Health
from pipeline.simulate import Truth, plan

SEND_FOR_S: Final = 45.0
WAIT_AT_MOST_S: Final = 100.0
HANDLED_WITHIN_S: Final = 15.0
_SLICE: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo's last line says."""

    sent: int
    counted: int
    duplicates: int
    dead_lettered: int
    planted: int
    found: int
    falsely_named: int
    alerts_sent: int
    alerts_verified: int

    @property
    def problems(self) -> list[str]:
        """What is wrong, for people; empty: all is well."""
        problems = []
        if self.sent != self.counted + self.duplicates + self.dead_lettered:
            problems.append("not every event sent is counted, a duplicate, or in the dead letters")
        if self.found < 0.95 * self.planted or not self.planted:
            problems.append(f"{self.found} of {self.planted} planted accounts found")
        if self.falsely_named:
            problems.append(f"{self.falsely_named} benign accounts named")
        if not self.alerts_sent or self.alerts_verified != self.alerts_sent:
            problems.append(f"{self.alerts_verified} of {self.alerts_sent} alerts verified")
        return problems


def run_demo(console: Console, *, data_dir: Path, plain: bool, seed: int) -> int:
    """Run it all; 0 when everything that it checks is right, 1 otherwise.

    Args:
        console: where to.
        data_dir: what an earlier run left there is removed; this run's store and logs stay.
        plain: end with one line ``demo: {json}``.
        seed: of the traffic.
    """
    _clear(data_dir)
    secret = new_secret()
    start = datetime.now(UTC) - timedelta(minutes=12)
    simulation = plan("demo", seed=seed, start=start)
    console.print(f"{simulation.truth.messages} messages of simulated traffic; store and logs in {data_dir}/")
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(SecretStr(secret)))
        settings, processes = stack.enter_context(running(data_dir, receiver.url, secret))
        demo = _Demo(console, data_dir, settings, processes, receiver)
        if not plain:
            demo.live = stack.enter_context(console.status("starting"))
        with demo.connect() as client:
            client.import_accounts(simulation.accounts.to_dicts())
            demo.send([message for chunk in simulation.chunks(10_000) for message in chunk.messages()], client)
            demo.wait(simulation.truth, client)
            if demo.live is not None:
                demo.live.stop()
            demo.handle(client)
            outcome = demo.outcome(simulation.truth, client)
            demo.show(client)
            explained = demo.worth_explaining(client)
    return _judge(console, outcome, data_dir, explained, plain=plain)


@dataclass(slots=True)
class _Demo:
    console: Console
    data_dir: Path
    settings: Settings
    processes: list[subprocess.Popen[bytes]]
    receiver: Receiver
    live: Status | None = None  # where there is a terminal: one line that changes
    sent: int = 0

    def connect(self) -> ServeClient:
        """Wait until serve answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            check_alive(self.processes, self.data_dir)
            client = ServeClient.find(self.settings.store.path)
            if client is not None:
                return client
            time.sleep(0.2)
        raise StillwatchError("serve does not answer", next_step=f"look at {self.data_dir}/logs/serve.log")

    def send(self, messages: list[bytes], client: ServeClient) -> None:
        """Send evenly over SEND_FOR_S, looking at the pipeline once a second."""
        begun = looked = time.monotonic()
        rate = len(messages) / SEND_FOR_S
        with open_sender(self.settings) as sender:
            for first in range(0, len(messages), _SLICE):
                for message in messages[first : first + _SLICE]:
                    sender.send(message, [])
                self.sent = min(len(messages), first + _SLICE)
                time.sleep(max(0.0, begun + self.sent / rate - time.monotonic()))
                if time.monotonic() - looked >= (3 if self.live is None else 0.5):
                    looked = time.monotonic()
                    check_alive(self.processes, self.data_dir)
                    self.tell(client.health(), rate)
            sender.settle()

    def wait(self, truth: Truth, client: ServeClient) -> None:
        """Wait until everything is counted, the last window is closed, and an alert has come; or until the limit."""
        deadline = time.monotonic() + WAIT_AT_MOST_S
        last = truth.messages
        while time.monotonic() < deadline:
            check_alive(self.processes, self.data_dir)
            health = client.health()
            self.tell(health, 0)
            arrived = health.events + health.dead_letters + self._duplicates(client)
            quiet = all(row["idle"] for row in self._query(client, "select idle from pipeline_health"))
            done = quiet and not (health.looks_pending or health.outbox_pending)
            if arrived >= last and done and self.receiver.messages:
                return
            time.sleep(2)

    def handle(self, client: ServeClient) -> None:
        """What a person does next: take the alert on, and end it; the receiver is told of both."""
        came = len(self.receiver.messages)
        # A campaign seen in part at first may have gone into another since: its alert is over.
        asked = "select alert_id from alerts where state = 'firing'"
        firing = tuple(row["alert_id"] for row in self._query(client, asked))
        if not firing:
            return
        client.say_alert(AlertWord(firing, "ack", "demo", note="looking into it"))
        self.receiver.wait_for(came + len(firing), HANDLED_WITHIN_S)
        client.say_alert(AlertWord(firing, "resolve", "demo", note="keys revoked"))
        self.receiver.wait_for(came + 2 * len(firing), HANDLED_WITHIN_S)

    def tell(self, health: Health, rate: float) -> None:
        """One line of how things stand."""
        watermark = f"{health.watermark:%H:%M:%S}" if health.watermark else "none"
        lag = sum(health.lag_messages.values())
        line = (
            f"sent {self.sent:>6} ({rate:.0f}/s)  counted {health.events:>6}  dead {health.dead_letters:>3}  "
            f"lag {lag:>3}  watermark {watermark}  alerts open {health.alerts_open}  "
            f"received {len(self.receiver.messages)}"
        )
        if self.live is None:
            self.console.print(line, soft_wrap=True)
        else:
            self.live.update(line)

    def outcome(self, truth: Truth, client: ServeClient) -> Outcome:
        """What was found, against what was planted."""
        health = client.health()
        named = {row["account_id"] for row in self._query(client, "select account_id from suspicious_accounts")}
        told = self._query(client, "select count(*)::integer as n from alert_events")[0]["n"]
        verified = {message.message_id for message in self.receiver.messages if message.verified}
        return Outcome(
            sent=self.sent,
            counted=health.events,
            duplicates=self._duplicates(client),
            dead_lettered=health.dead_letters,
            planted=len(truth.planted),
            found=len(named & truth.planted),
            falsely_named=len(named - truth.planted),
            alerts_sent=int(told),
            alerts_verified=len(verified),
        )

    def show(self, client: ServeClient) -> None:
        """The suspicious accounts, their campaigns, and the alert as the receiver got it."""
        show_accounts(self.console, self._query(client, "from suspicious_accounts order by score desc, account_id"))
        for campaign in self._query(client, "from campaigns order by named_accounts desc, campaign_id limit 3"):
            show_campaign(self.console, campaign)
        show_alerts(self.console, self.receiver.messages)
        self.console.print()

    def worth_explaining(self, client: ServeClient) -> list[tuple[str, str]]:
        """Subjects, and what each is: who is named first, its campaign, and who is not named but comes next."""
        first = self._query(
            client, "select account_id, campaign_id from suspicious_accounts order by score desc, account_id limit 1"
        )
        spared = self._query(
            client,
            "select entity_id from findings where dimension = 'account' and not named "
            "order by score desc, entity_id limit 1",
        )
        named = [(row["account_id"], "an account that is named") for row in first]
        campaigns = [(row["campaign_id"], "its campaign") for row in first if row["campaign_id"] is not None]
        return [*named, *campaigns, *((row["entity_id"], "the one nearest to being named, and not") for row in spared)]

    def _duplicates(self, client: ServeClient) -> int:
        sql = "select coalesce(sum(duplicates), 0)::bigint as n from pipeline_health"
        return int(self._query(client, sql)[0]["n"])

    def _query(self, client: ServeClient, sql: str) -> list[dict[str, Any]]:
        return client.query(sql, max_rows=10_000, timeout_s=20).table.to_pylist()


def _judge(console: Console, outcome: Outcome, data_dir: Path, explained: list[tuple[str, str]], *, plain: bool) -> int:
    store = data_dir / "stillwatch.duckdb"
    command = f".venv/bin/stillwatch sql --store {store}"
    console.print("try next, on the data that it leaves:")
    for question in ("from campaigns", "from suspicious_accounts", "from pipeline_health"):
        console.print(f"  {command} '{question}'", highlight=False, soft_wrap=True)
    console.print(f"  .venv/bin/stillwatch dead-letter list --store {store}", highlight=False, soft_wrap=True)
    for subject, what in explained:
        line = f"  .venv/bin/stillwatch explain {shlex.quote(subject)} --store {store}  # {what}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for problem in outcome.problems:
        console.print(f"wrong: {problem}", style="red")
    line = f"demo: {json.dumps(asdict(outcome))}"
    console.print(line, highlight=False, soft_wrap=True, markup=False) if plain else console.print_json(line[6:])
    return 1 if outcome.problems else 0


def _clear(data_dir: Path) -> None:
    for name in ("stillwatch.duckdb", "stillwatch.duckdb.wal", "stillwatch.duckdb.serve.json"):
        (data_dir / name).unlink(missing_ok=True)
    for name in ("logs", "worker"):
        shutil.rmtree(data_dir / name, ignore_errors=True)
    data_dir.mkdir(parents=True, exist_ok=True)
