"""`stillwatch doctor` says before the first alert whether its receiver may be connected to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.doctor import examine

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("url", "secret", "allow", "state", "said"),
    [
        ("https://127.0.0.1/hidden", SECRET, ("127.0.0.1",), "ok", "https://127.0.0.1 may be connected to"),
        ("https://127.0.0.1/hidden", SECRET, (), "fail", "127.0.0.1 is this machine"),
        ("https://localhost/hidden", SECRET, (), "fail", "localhost is this machine"),
        ("https://127.0.0.1/hidden", "whsec_hidden", ("127.0.0.1",), "fail", "webhook.secret"),
    ],
)
def test_the_receiver_is_looked_at(  # noqa: PLR0917 - a row each
    tmp_path: Path, url: str, secret: str, allow: tuple[str, ...], state: str, said: str
) -> None:
    settings = Settings.model_validate(
        {"webhook": {"url": url, "secret": secret, "allow": allow}, "kafka": {"request_timeout_s": 1.0}}
    )
    [found] = [
        item for item in examine(settings, tmp_path / "s.duckdb", clock=ManualClock()) if item.check == "webhook"
    ]
    assert found.state == state
    assert said in found.detail
    assert "hidden" not in found.detail + found.todo
    assert bool(found.todo) == (state == "fail")
