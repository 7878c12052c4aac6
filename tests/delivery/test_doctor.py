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


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (
            'url = "https://127.0.0.1/hidden"\nsecret = "SECRET"',
            ["ok team: https://127.0.0.1 may be connected to, the"],
        ),
        ('url = "https://127.0.0.1/hidden"\nformat = "slack"', ["ok team: https://127.0.0.1 may be connected to"]),
        ('url = "https://no.invalid/hidden"\nformat = "slack"', ["fail team: not connected to: no.invalid has no"]),
        (
            'url = "https://10.0.0.1/hidden"\nformat = "slack"',
            ["fail endpoints.toml: endpoints.team.url: not connected"],
        ),
        ("", ["warn none: alerts are only in the store"]),
    ],
)
def test_receivers_of_the_file_are_looked_at(tmp_path: Path, file: str, found: list[str]) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text(f"[endpoints.team]\n{file}\n".replace("SECRET", SECRET) if file else "")
    settings = Settings.model_validate(
        {"webhook": {"endpoints": path, "allow": ("127.0.0.1",)}, "kafka": {"request_timeout_s": 1.0}}
    )
    said = [
        f"{item.state} {item.detail}"
        for item in examine(settings, tmp_path / "s.duckdb", clock=ManualClock())
        if item.check == "webhook"
    ]
    assert [one[: len(start)] for one, start in zip(said, found, strict=True)] == found
    assert not any("hidden" in one for one in said)
