"""Delivery against receivers on real sockets; the clock is moved, never waited for."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from pipeline import faults
from pipeline.clock import ManualClock
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoint, settings_name
from pipeline.delivery.outbox import DueMessage, Outcome, due, mark_outcomes
from pipeline.delivery.receiver import Receiver
from pipeline.delivery.retry import SCHEDULE_S, next_attempt, retry_after_s, verdict
from pipeline.delivery.sender import Sender
from pipeline.delivery.signing import SignatureError, check_secret, new_secret, signed_headers, verify
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.resources import sql_dir
from tests.delivery.servers import endless, hang, in_turn, raw_server, status

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
REACH = Reach.of(["127.0.0.1"], http=True)
BODY = '{"type":"alert.opened"}'


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    for name in ("0002_detection", "0014_deliveries", "0015_alert_states"):
        connection.execute((sql_dir("schema") / f"{name}.sql").read_text())
    yield connection
    connection.close()


@pytest.fixture
def clock() -> ManualClock:
    # Signatures are judged by the real time of the receiver.
    return ManualClock(datetime.now(UTC))


def sender(
    url: str, clock: ManualClock, metrics: Metrics | None = None, *, reach: Reach = REACH, **more: object
) -> Sender:
    endpoint = Endpoint.model_validate({"url": url, "secret": SECRET, "timeout_s": 2.0, **more})
    return Sender(settings_name(url), endpoint, reach, clock, metrics or Metrics())


def put(db: duckdb.DuckDBPyConnection, url: str, clock: ManualClock, *alerts: str, seqs: int = 1) -> None:
    for alert in alerts:
        for seq in range(seqs):
            db.execute(
                "insert into outbox (message_id, alert_id, seq, endpoint, body, created_at, state, attempts, "
                "next_attempt_at) values ($id, $alert, $seq, $endpoint, $body, $now, 'pending', 0, $now)",
                {
                    "id": f"msg_{alert}{seq}",
                    "alert": alert,
                    "seq": seq,
                    "endpoint": settings_name(url),
                    "body": BODY,
                    "now": clock.now(),
                },
            )


def turn(db: duckdb.DuckDBPyConnection, sending: Sender, clock: ManualClock) -> list[Outcome]:
    """One round as the serve loop makes it."""
    outcomes = sending.send(due(db, clock.now(), endpoint=sending.name))
    db.execute("begin")
    mark_outcomes(db, outcomes)
    db.execute("commit")
    return outcomes


def states(db: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    return db.execute("select message_id, state, attempts from outbox order by message_id").fetchall()


def test_a_receiver_verifies_what_was_sent(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    with Receiver(SECRET) as receiver, sender(receiver.url, clock) as sending:
        put(db, receiver.url, clock, "a", "b")
        outcomes = turn(db, sending, clock)
        assert [item.verdict for item in outcomes] == ["delivered", "delivered"]
        assert [item.message_id for item in receiver.messages] == ["msg_a0", "msg_b0"]
        assert all(item.verified and not item.duplicate for item in receiver.messages)
        assert receiver.messages[0].payload == {"type": "alert.opened"}
        assert turn(db, sending, clock) == []
    assert states(db) == [("msg_a0", "delivered", 1), ("msg_b0", "delivered", 1)]


def test_the_public_vector_of_standard_webhooks() -> None:
    headers = signed_headers(
        SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_signing_refuses_a_time_that_the_library_would_relabel() -> None:
    with pytest.raises(ValueError, match="UTC"):
        signed_headers(SECRET, "msg_1", BODY, datetime(2026, 1, 5, 12, 0))  # noqa: DTZ001
    zone = datetime.now(ZoneInfo("Asia/Kolkata"))
    with pytest.raises(ValueError, match="UTC"):
        signed_headers(SECRET, "msg_1", BODY, zone)


def test_what_was_changed_or_signed_by_another_is_not_genuine() -> None:
    headers = signed_headers(SECRET, "msg_1", BODY, datetime.now(UTC))
    assert verify(SECRET, headers, BODY.encode()) == {"type": "alert.opened"}
    with pytest.raises(SignatureError):
        verify(SECRET, headers, BODY.encode() + b" ")
    with pytest.raises(SignatureError):
        verify(SecretStr(new_secret()), headers, BODY.encode())
    old = signed_headers(SECRET, "msg_1", BODY, datetime.now(UTC) - timedelta(minutes=6))
    with pytest.raises(SignatureError):
        verify(SECRET, old, BODY.encode())


@pytest.mark.parametrize(
    "text", ["", "passwort1", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_a_malformed_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_secret(SecretStr(text))
    assert text in {"", "whsec_"} or text not in str(caught.value)


def test_an_error_is_tried_again_with_the_same_id_and_a_new_signature(
    db: duckdb.DuckDBPyConnection, clock: ManualClock
) -> None:
    with raw_server(in_turn(status(500), status(204))) as (url, requests):
        put(db, url, clock, "a")
        with sender(url, clock) as sending:
            first = turn(db, sending, clock)[0]
            assert (first.verdict, first.status) == ("retry", 500)
            assert turn(db, sending, clock) == []
            clock.advance(8)
            assert turn(db, sending, clock)[0].verdict == "delivered"
    ids = [line for request in requests for line in request.split(b"\r\n") if line.startswith(b"webhook-id")]
    signatures = {line for request in requests for line in request.split(b"\r\n") if b"webhook-signature" in line}
    assert ids == [b"webhook-id: msg_a0"] * 2
    assert len(signatures) == 2
    assert states(db) == [("msg_a0", "delivered", 2)]


def test_a_receiver_that_hangs_costs_one_timeout_not_one_a_message(
    db: duckdb.DuckDBPyConnection, clock: ManualClock
) -> None:
    with raw_server(hang) as (url, _):
        put(db, url, clock, "a", "b", "c")
        with sender(url, clock, timeout_s=0.2) as sending:
            begun = time.monotonic()
            outcomes = turn(db, sending, clock)
            assert time.monotonic() - begun < 2
    assert [(item.verdict, item.error) for item in outcomes] == [("retry", "no answer in time")]
    assert [state for _, state, _ in states(db)] == ["pending"] * 3


def test_a_receiver_that_is_not_there_is_tried_again(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    put(db, url, clock, "a")
    with sender(url, clock) as sending:
        assert turn(db, sending, clock)[0].error == "no connection"
    error = db.execute("select last_error from outbox").fetchone()
    assert error is not None
    assert url not in str(error[0])


def test_a_clock_that_was_years_ahead_delays_nothing_for_years(
    db: duckdb.DuckDBPyConnection, clock: ManualClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    put(db, url, clock, "a")
    with sender(url, clock) as sending:
        clock.step_wall(10 * 365 * 86_400)
        assert turn(db, sending, clock)[0].verdict == "retry"
        assert due(db, clock.now()) == []
        clock.step_wall(-10 * 365 * 86_400)
        assert [message.message_id for message in due(db, clock.now())] == ["msg_a0"]


def test_redirects_are_failures_and_are_not_followed(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    with raw_server(status(204)) as (elsewhere, reached), raw_server(status(302, f"location: {elsewhere}")) as (url, _):
        put(db, url, clock, "a")
        with sender(url, clock) as sending:
            outcome = turn(db, sending, clock)[0]
    assert (outcome.verdict, outcome.status) == ("retry", 302)
    assert reached == []


def test_a_receiver_inside_that_nobody_allowed_is_not_connected_to(
    db: duckdb.DuckDBPyConnection, clock: ManualClock
) -> None:
    with raw_server(status(204)) as (url, requests):
        here = url.replace("127.0.0.1", "localhost")
        put(db, here, clock, "a")
        with sender("http://localhost/", clock, reach=Reach.of(["10.0.0.0/8"], http=True)) as sending:
            put(db, "http://localhost/", clock, "b")
            outcome = turn(db, sending, clock)[0]
            assert (outcome.verdict, outcome.error) == ("retry", "not connected to: localhost is this machine")
        assert requests == []
        with sender(here, clock, reach=Reach.of(["localhost"], http=True)) as sending:
            assert turn(db, sending, clock)[0].verdict == "delivered"


def test_gone_disables_the_receiver_and_what_waits_for_it(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    with raw_server(status(410)) as (url, requests):
        put(db, url, clock, "a", "b", seqs=2)
        with sender(url, clock) as sending:
            assert [item.verdict for item in turn(db, sending, clock)] == ["gone"]
            assert turn(db, sending, clock) == []
    assert len(requests) == 1
    assert {state for _, state, _ in states(db)} == {"disabled"}
    assert db.execute("select count(*) from webhook_endpoint").fetchone() == (1,)


def test_other_client_errors_are_final(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    metrics = Metrics()
    with raw_server(status(400)) as (url, _):
        put(db, url, clock, "a")
        with sender(url, clock, metrics) as sending:
            assert turn(db, sending, clock)[0].verdict == "failed"
            assert turn(db, sending, clock) == []
    assert states(db) == [("msg_a0", "failed", 1)]
    assert metrics.value("webhook_attempts", outcome="failed") == 1


def test_retry_after_is_honoured(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    with raw_server(in_turn(status(429, "retry-after: 90"), status(200))) as (url, _):
        put(db, url, clock, "a")
        with sender(url, clock) as sending:
            turn(db, sending, clock)
            clock.advance(89)
            assert turn(db, sending, clock) == []
            clock.advance(2)
            assert turn(db, sending, clock)[0].verdict == "delivered"


@pytest.mark.parametrize("answer", [endless, status(200, body=b"x" * 10_000_000)])
def test_a_huge_body_is_not_read(db: duckdb.DuckDBPyConnection, clock: ManualClock, answer: object) -> None:
    with raw_server(answer) as (url, _):  # type: ignore[arg-type]
        put(db, url, clock, "a")
        with sender(url, clock) as sending:
            assert turn(db, sending, clock)[0].verdict == "delivered"


def test_events_of_one_alert_stay_in_order_and_do_not_hold_others_back(
    db: duckdb.DuckDBPyConnection, clock: ManualClock
) -> None:
    with raw_server(in_turn(status(500), status(204))) as (url, requests):
        put(db, url, clock, "a", "b", seqs=2)
        with sender(url, clock) as sending:
            assert [item.message_id for item in turn(db, sending, clock)] == ["msg_a0", "msg_b0"]
            assert [item.message_id for item in turn(db, sending, clock)] == ["msg_b1"]
            clock.advance(8)
            assert [item.message_id for item in turn(db, sending, clock)] == ["msg_a0"]
            assert [item.message_id for item in turn(db, sending, clock)] == ["msg_a1"]
    assert len(requests) == 5
    assert {state for _, state, _ in states(db)} == {"delivered"}


def test_down_for_a_day_then_everything_arrives_once(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    answers = [status(503)]

    def current(connection: socket.socket, stop: threading.Event) -> None:
        answers[-1](connection, stop)

    with raw_server(current) as (url, _):
        put(db, url, clock, "a", "b")
        with sender(url, clock) as sending:
            while clock.now() < datetime.now(UTC) + timedelta(hours=24):
                turn(db, sending, clock)
                clock.advance(600)
            answers.append(status(204))
            delivered = []
            for _ in range(200):
                delivered += [item.message_id for item in turn(db, sending, clock) if item.verdict == "delivered"]
                clock.advance(600)
    assert sorted(delivered) == ["msg_a0", "msg_b0"]


def test_killed_between_send_and_mark_it_is_sent_again_with_the_same_id(
    db: duckdb.DuckDBPyConnection, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def kill(point: str) -> None:
        assert point == "serve.sent"
        raise KilledError

    with Receiver(SECRET) as receiver, sender(receiver.url, clock) as sending:
        put(db, receiver.url, clock, "a")
        with monkeypatch.context() as patched:
            patched.setattr(faults, "hit", kill)
            with pytest.raises(KilledError):
                turn(db, sending, clock)
        assert states(db) == [("msg_a0", "pending", 0)]
        assert turn(db, sending, clock)[0].verdict == "delivered"
        assert [(item.message_id, item.duplicate) for item in receiver.messages] == [
            ("msg_a0", False),
            ("msg_a0", True),
        ]


def test_a_message_for_another_receiver_waits(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    put(db, "http://127.0.0.1:2/", clock, "a")
    with sender("http://127.0.0.1:1/", clock) as sending:
        assert turn(db, sending, clock) == []


def test_marking_twice_changes_nothing(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    put(db, "http://127.0.0.1:1/", clock, "a")
    endpoint = settings_name("http://127.0.0.1:1/")
    mark_outcomes(db, [Outcome("msg_a0", endpoint, "delivered", 1, clock.now(), 204)])
    mark_outcomes(db, [Outcome("msg_a0", endpoint, "retry", 2, clock.now(), 500, "HTTP 500", clock.now())])
    assert states(db) == [("msg_a0", "delivered", 1)]


def test_the_schedule_is_the_published_one_and_ends() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    waits = []
    attempts = 1
    while (when := next_attempt(attempts, now, None, random.Random(attempts))) is not None:
        waits.append((when - now).total_seconds())
        attempts += 1
    assert attempts == 10
    for wait, base in zip(waits, SCHEDULE_S, strict=True):
        assert 0.5 * base <= wait <= 1.5 * base


def test_the_last_failure_is_final(db: duckdb.DuckDBPyConnection, clock: ManualClock) -> None:
    put(db, "http://127.0.0.1:1/", clock, "a")
    db.execute("update outbox set attempts = 9")
    with sender("http://127.0.0.1:1/", clock) as sending:
        turn(db, sending, clock)
    assert states(db) == [("msg_a0", "failed", 10)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (301, "retry"),
        (400, "failed"),
        (404, "failed"),
        (408, "retry"),
        (410, "gone"),
        (425, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ],
)
def test_what_a_status_means(code: int, expected: str) -> None:
    assert verdict(code) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("7", 7.0),
        ("soon", None),
        ("-5", None),
        ("99999999999999999999", 86400.0),
        ("Mon, 05 Jan 2026 12:01:00 GMT", 60.0),
        ("Mon, 05 Jan 2026 11:00:00 GMT", 0.0),
        ("²", None),
    ],
)
def test_retry_after_in_all_its_forms(text: str, expected: float | None) -> None:
    assert retry_after_s({"retry-after": text}, datetime(2026, 1, 5, 12, 0, tzinfo=UTC)) == expected


def test_the_receiver_refuses_what_is_not_genuine() -> None:
    with Receiver(SECRET) as receiver:
        with sender(receiver.url, ManualClock(datetime.now(UTC)), secret=new_secret()) as sending:
            outcome = sending.send([DueMessage("msg_1", settings_name(receiver.url), BODY, 0)])[0]
        assert (outcome.verdict, outcome.status) == ("failed", 401)
        assert not receiver.wait_for(1, 1)[0].verified


def test_our_secrets_are_ones_that_the_library_takes() -> None:
    secret = new_secret()
    check_secret(SecretStr(secret))
    assert Webhook(secret).sign("msg_1", datetime.now(UTC), BODY).startswith("v1,")
