from pathlib import Path

import pytest

from pipeline.config import ENV_PREFIX, SECRETS, Settings, env_name, load
from pipeline.errors import ConfigError


def test_defaults_are_complete_and_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).settings == Settings()


def test_the_environment_wins_over_the_file_and_each_source_is_told(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('[topics]\nrequests = "mine"\npartitions = 3\n')
    loaded = load(file, {"STILLWATCH_TOPICS__PARTITIONS": "7"})
    assert loaded.settings.topics.requests == "mine"
    assert loaded.settings.topics.partitions == 7
    rows = {row.name: row for row in loaded.rows()}
    assert rows["topics.requests"].source == str(file)
    assert rows["topics.partitions"].source == "STILLWATCH_TOPICS__PARTITIONS"
    assert rows["topics.events"].source == "default"


def test_kafka_bootstrap_is_an_alias_that_the_proper_name_beats() -> None:
    assert load(environ={"KAFKA_BOOTSTRAP": "a:1"}).settings.kafka.bootstrap == "a:1"
    both = {"KAFKA_BOOTSTRAP": "a:1", "STILLWATCH_KAFKA__BOOTSTRAP": "b:2"}
    assert load(environ=both).settings.kafka.bootstrap == "b:2"


def test_all_problems_come_at_once_each_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('top = 1\n[topics]\npartitions = "many"\n[nonsense]\na = 1\n[webhook]\nsecret = "x"\n')
    with pytest.raises(ConfigError) as caught:
        load(file, {"STILLWATCH_WORKER__EMIT_EVERY_S": "-1", "STILLWATCH_ODD": "1"})
    text = caught.value.message
    for part in ("top:", "topics.partitions", "nonsense", "webhook.secret", "worker.emit_every_s", "STILLWATCH_ODD"):
        assert part in text
    assert str(file) in text
    assert "STILLWATCH_WORKER__EMIT_EVERY_S" in text


@pytest.mark.parametrize("content", ["[topics", "\xff\xfe"])
def test_a_file_that_is_no_toml_is_one_clear_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be used"):
        load(file, {})


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml", {})


def test_a_secret_is_read_from_a_file_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("0123456789abcdef-secret\n")
    loaded = load(
        environ={"STILLWATCH_PRIVACY__KEY_FILE": str(secret), "STILLWATCH_PRIVACY__PSEUDONYMISE": "account_id, ip"}
    )
    assert loaded.settings.privacy.pseudonymise == ("account_id", "ip")
    assert loaded.settings.privacy.key is not None
    assert loaded.settings.privacy.key.get_secret_value() == "0123456789abcdef-secret"
    assert "0123456789abcdef" not in repr(loaded.settings)


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"STILLWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "sasl_mechanism"),
        ({"STILLWATCH_PRIVACY__PSEUDONYMISE": "ip", "STILLWATCH_PRIVACY__KEY": "short"}, "privacy.key"),
        ({"STILLWATCH_WEBHOOK__URL": "http://x", "STILLWATCH_WEBHOOK__SECRET": "whsec_x"}, "plain http"),
        ({"STILLWATCH_WEBHOOK__URL": "https://x"}, "webhook.secret"),
        ({"STILLWATCH_WEBHOOK__ALLOW": "10.0.0.0/33"}, "webhook.allow: '10.0.0.0/33' is neither"),
        ({"STILLWATCH_SERVE__LISTEN": "8765"}, "serve.listen"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        load(environ=environ)


def test_every_secret_has_an_environment_name() -> None:
    kafka = {"kafka.sasl_password", "kafka.ssl_key_password"}
    assert {*kafka, "privacy.key", "store.catalog_password", "webhook.secret"} == SECRETS
    assert all(env_name(name).startswith(ENV_PREFIX) for name in SECRETS)


def test_every_secret_may_come_from_a_file() -> None:
    names = {f"{section}.{name}" for section, model in Settings() for name in type(model).model_fields}
    assert {f"{secret}_file" for secret in SECRETS} <= names


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STILLWATCH_STORE__THREDS": "1"}, r"store.threds: no such setting; did you mean threads\? \(from STILLWATCH"),
        ({"STILLWATCH_STOR__THREADS": "1"}, r"stor: no such section; did you mean store\? \(from STILLWATCH_STOR__"),
        ({"STILLWATCH_RULES__DISABLED": "[a"}, r"rules.disabled: no JSON list: .* \(from STILLWATCH_RULES__DISABLED\)"),
        ({"KAFKA_BOOTSTRAP": "a:b:c"}, "kafka.bootstrap: 'a:b:c' is not host:port"),
        ({"KAFKA_BOOTSTRAP": "a:1,b:x"}, "kafka.bootstrap: 'b:x' is not host:port"),
        ({"STILLWATCH_KAFKA__SSL_KEYFILE": "k.pem"}, "kafka.ssl_keyfile: a key without its certificate"),
        ({"STILLWATCH_WEBHOOK__SECRET_FILE": "/"}, r"webhook.secret_file: /: Is a directory \(from STILLWATCH_WEBHOOK"),
    ],
)
def test_a_problem_says_what_was_meant_and_where_it_stands(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(environ=environ)


def test_addresses_of_every_kind_are_taken() -> None:
    bootstrap = "kafka-1:9092, 10.0.0.1:9092,[2001:db8::1]:9092,kafka.example.org"
    assert load(environ={"KAFKA_BOOTSTRAP": bootstrap}).settings.kafka.bootstrap == bootstrap


def test_a_directory_where_the_file_should_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stillwatch.toml").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"stillwatch\.toml: Is a directory"):
        load(environ={})
