"""Receivers as a file: read whole or not at all, edited in place, routes, secrets that rotate."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import Endpoint, Route, Told, change_endpoints, read_endpoints
from pipeline.errors import ConfigError

REACH = Reach()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FILE = f"""\
# who is told
[endpoints.team]
url = "https://hooks.example/T0/B0/hidden"  # ours
secret = "{SECRET}"
routes = [{{severity = "high"}}, {{rules = ["shared_prompt"], tags = ["beta"]}}]

[endpoints.chat]
url = "https://chat.example/hidden"
format = "slack"
"""
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def test_a_file_is_read_and_no_file_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    assert read_endpoints(path, REACH).by_name == {}
    path.write_text(FILE, encoding="utf-8")
    found = read_endpoints(path, REACH)
    assert sorted(found.by_name) == ["chat", "team"]
    assert "hidden" not in repr(found)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[endpoints.a", "no TOML"),
        ("[endpoints.a]\nsecret = 'whsec_hidden'", "endpoints.a.url: Field required"),
        ("[endpoints.a]\nurl = 'https://x.example/hidden'", "native needs a secret"),
        ("[endpoints.a]\nurl = 'https://x.example/hidden'\nformat = 'pagerduty'", "routing key"),
        ("[endpoints.a]\nurl = 'https://x.example/hidden'\nformat = 'pager'", "endpoints.a.format"),
        ("[endpoints.'A b']\nurl = 'https://x.example/hidden'\nformat = 'slack'", "endpoints.A b"),
        ("[endpoints.a]\nurl = 'http://x.example/hidden'\nformat = 'slack'", "plain http"),
        ("[endpoints.a]\nurl = 'https://hidden:hidden@x.example/'\nformat = 'slack'", "a user's name"),
        ("[endpoints.a]\nurl = 'https://x.example/hidden'\nformat = 'slack'\ntimeout_s = 0", "timeout_s"),
        ("[endpoints.a]\nurl = 'https://x.example/hidden'\nformat = 'slack'\nuri = 'x'", "endpoints.a.uri"),
        (
            "[endpoints.a]\nurl = 'https://x.example/hidden'\nformat = 'slack'\nprevious_secret = 'whsec_hidden'",
            "go together",
        ),
        ("[endpoints.a]\nurl = 'https://x.example/hidden'\nformat = 'slack'\nroutes = [{severity = 'bad'}]", "routes"),
    ],
)
def test_a_broken_file_is_told_of_and_its_secrets_are_not(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as caught:
        read_endpoints(path, REACH)
    assert "hidden" not in str(caught.value)
    assert caught.value.next_step


def test_a_change_keeps_what_people_wrote(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text(FILE, encoding="utf-8")
    change_endpoints(path, REACH, {"team": {"paused": True}, "chat": None})
    text = path.read_text(encoding="utf-8")
    assert "# who is told" in text
    assert "# ours" in text
    found = read_endpoints(path, REACH).by_name
    assert sorted(found) == ["team"]
    assert found["team"].paused
    change_endpoints(path, REACH, {"team": {"paused": None}})
    assert not read_endpoints(path, REACH).by_name["team"].paused
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_change_that_would_break_the_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "endpoints.toml"
    change_endpoints(path, REACH, {"a": {"url": "https://a.example/", "secret": SECRET}})
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="plain http"):
        change_endpoints(path, REACH, {"a": {"url": "http://a.example/"}})
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["endpoints.toml"]


@pytest.mark.parametrize(
    ("route", "told", "fits"),
    [
        (Route(), Told(rule="campaign", severity="low"), True),
        (Route(severity="high"), Told(rule="campaign", severity="medium"), False),
        (Route(severity="high"), Told(rule="campaign", severity="critical"), True),
        (Route(rules=("account",)), Told(rule="campaign", severity="high"), False),
        (Route(dimensions=("client",)), Told(rule="r", severity="high", dimension="client"), True),
        (Route(dimensions=("client",)), Told(rule="r", severity="high"), False),
        (Route(tags=("a", "b")), Told(rule="r", severity="high", tags=frozenset({"b"})), True),
        (Route(tags=("a",)), Told(rule="r", severity="high", tags=frozenset({"b"})), False),
    ],
)
def test_a_route_fits_what_is_said_in_it(route: Route, told: Told, fits: bool) -> None:
    assert route.fits(told) is fits
    endpoint = Endpoint(url="https://a.example/", format="slack", routes=(route,))
    assert endpoint.wants(told) is fits


def test_an_endpoint_without_routes_is_told_of_everything(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text(FILE, encoding="utf-8")
    found = read_endpoints(path, REACH)
    assert found.wanting(Told(rule="campaign", severity="low")) == ["chat"]
    assert found.wanting(Told(rule="campaign", severity="high")) == ["chat", "team"]
    assert found.wanting(Told(rule="shared_prompt", severity="low", tags=frozenset({"beta"}))) == ["chat", "team"]


def test_while_a_rotation_lasts_both_secrets_sign() -> None:
    endpoint = Endpoint.model_validate(
        {
            "url": "https://a.example/",
            "secret": SECRET,
            "previous_secret": "whsec_b2xk",
            "previous_until": NOW + timedelta(hours=1),
        }
    )
    assert [one.get_secret_value() for one in endpoint.secrets(NOW)] == [SECRET, "whsec_b2xk"]
    assert [one.get_secret_value() for one in endpoint.secrets(NOW + timedelta(hours=1))] == [SECRET]
    chat = Endpoint.model_validate({"url": "https://a.example/", "format": "slack"})
    assert chat.secrets(NOW) == ()
