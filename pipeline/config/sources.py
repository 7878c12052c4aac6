"""Where settings come from: TOML, environment and secret files; all checked, each source remembered."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.tree import Settings
from pipeline.delivery.destination import DestinationError, Reach, check_url
from pipeline.errors import ConfigError

CONFIG_FILE = "stillwatch.toml"
ENV_PREFIX = "STILLWATCH_"
# Names that operators already have in their environments; the STILLWATCH_ name wins over them.
ENV_ALIASES: Mapping[str, str] = {"KAFKA_BOOTSTRAP": "kafka.bootstrap"}
# A name, an IPv4 address or a bracketed IPv6 one; the port may be left out (9092).
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+)(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Sourced:
    """One setting as it stands, as a value of JSON, and where it came from."""

    name: str
    value: object
    source: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings with their provenance."""

    settings: Settings
    sources: Mapping[str, str]

    def rows(self) -> Iterator[Sourced]:
        """Every setting in the order of the tree; secrets shown as set or unset only."""
        for section, model in self.settings:
            for name, field in type(model).model_fields.items():
                dotted, value = f"{section}.{name}", getattr(model, name)
                shown = "********" if isinstance(value, SecretStr) else json.loads(json.dumps(value, default=str))
                yield Sourced(dotted, shown, self.sources.get(dotted, "default"), field.description or "")


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check all settings.

    Args:
        path: the TOML file; without it ``STILLWATCH_CONFIG``, else ``stillwatch.toml`` here, if there is one.
        environ: the environment, ``os.environ`` when omitted.

    Raises:
        ConfigError: with every problem found, one a line, each naming its source.
    """
    env = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}

    file = settings_file(path, env)
    if file is not None:
        _from_toml(file, values, sources, problems)
    _from_environment(env, values, sources, problems)
    _read_secret_files(values, sources, problems)

    settings = Settings()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems.extend(
            _told(item, sources) for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
    else:
        problems.extend(_cross_checks(settings))
    if problems:
        told = f" {problems[0]}" if len(problems) == 1 else "\n  ".join(["", *problems])
        raise ConfigError(
            f"the settings cannot be used:{told}",
            next_step="correct them; `stillwatch config show --defaults` lists every setting",
        )
    return Loaded(settings, sources)


def settings_file(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The TOML file that ``load`` reads, given the same; None: there is none.

    Raises:
        ConfigError: one was named that is not there.
    """
    env = os.environ if environ is None else environ
    named = path or (Path(env["STILLWATCH_CONFIG"]) if env.get("STILLWATCH_CONFIG") else None)
    if named is not None and not named.exists():
        raise ConfigError(f"{named}: no such file", next_step="name an existing TOML file, or none")
    return named or (Path(CONFIG_FILE) if Path(CONFIG_FILE).exists() else None)


def _told(item: ErrorDetails, sources: Mapping[str, str]) -> str:
    """One problem of the check, with where the value came from; for a name that is none, the one that was meant."""
    parts = [str(part) for part in item["loc"]]
    dotted = ".".join(parts)
    origin = sources.get(".".join(parts[:2])) or next(
        (source for name, source in sources.items() if name.startswith(f"{dotted}.")), "default"
    )
    if item["type"] != "extra_forbidden":
        return f"{dotted}: {item['msg']} (from {origin})"
    known = _names(parts[0]) if len(parts) > 1 else list(Settings.model_fields)
    close = get_close_matches(parts[-1], known, n=1)
    what = "setting" if len(parts) > 1 else "section"
    return f"{dotted}: no such {what}{f'; did you mean {close[0]}?' if close else ''} (from {origin})"


def _names(section: str) -> list[str]:
    """The settings of a section; none where there is no such section."""
    field = Settings.model_fields.get(section)
    model = field.annotation if field is not None else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _secret_names() -> set[str]:
    found = set()
    for section, model_field in Settings.model_fields.items():
        model = model_field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        found |= {
            f"{section}.{name}" for name, item in model.model_fields.items() if "SecretStr" in str(item.annotation)
        }
    return found


SECRETS = frozenset(_secret_names())


def _from_toml(file: Path, values: dict[str, dict[str, Any]], sources: dict[str, str], problems: list[str]) -> None:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: {error}")
        return
    for section, content in tree.items():
        if not isinstance(content, dict):
            problems.append(f"{section}: belongs into a section, such as [kafka] (from {file})")
            continue
        for name, value in content.items():
            dotted = f"{section}.{name}"
            if dotted in SECRETS:
                problems.append(
                    f"{dotted}: a secret does not belong here; use {env_name(dotted)} or {dotted}_file (from {file})"
                )
                continue
            values.setdefault(section, {})[name] = value
            sources[dotted] = str(file)


def env_name(dotted: str) -> str:
    """The environment variable of a setting: ``kafka.bootstrap`` → ``STILLWATCH_KAFKA__BOOTSTRAP``."""
    return ENV_PREFIX + dotted.replace(".", "__").upper()


_NOT_SETTINGS = frozenset({"STILLWATCH_CONFIG", "STILLWATCH_FAULT"})


def _from_environment(
    env: Mapping[str, str], values: dict[str, dict[str, Any]], sources: dict[str, str], problems: list[str]
) -> None:
    found = {dotted: (alias, env[alias]) for alias, dotted in ENV_ALIASES.items() if env.get(alias)}
    for variable, text in env.items():
        if not variable.startswith(ENV_PREFIX) or variable in _NOT_SETTINGS:
            continue
        section, separator, name = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        if not separator:
            problems.append(f"{variable}: not a setting; they are named STILLWATCH_SECTION__NAME")
            continue
        found[f"{section}.{name}"] = (variable, text)
    for dotted, (variable, text) in found.items():
        section, _, name = dotted.partition(".")
        try:
            values.setdefault(section, {})[name] = _parse(section, name, text)
        except json.JSONDecodeError as error:
            kind = "list" if text.startswith("[") else "table"
            problems.append(f"{dotted}: no JSON {kind}: {error} (from {variable})")
        sources[dotted] = variable


def _parse(section: str, name: str, text: str) -> object:
    """Lists may be written as JSON or with commas, tables as JSON; the rest is left for pydantic to convert."""
    model = Settings.model_fields[section].annotation if section in Settings.model_fields else None
    item = model.model_fields.get(name) if isinstance(model, type) and issubclass(model, BaseModel) else None
    if item is not None and "dict" in str(item.annotation):
        return json.loads(text)
    if item is not None and "tuple" in str(item.annotation):
        return json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]
    return text


def _read_secret_files(values: dict[str, dict[str, Any]], sources: dict[str, str], problems: list[str]) -> None:
    for dotted in sorted(SECRETS):
        section, _, name = dotted.partition(".")
        file = values.get(section, {}).get(f"{name}_file")
        if file is None or name in values.get(section, {}):
            continue
        try:
            values[section][name] = Path(str(file)).read_text(encoding="utf-8").strip()
            sources[dotted] = f"{section}.{name}_file"
        except OSError as error:
            problems.append(f"{dotted}_file: {file}: {error.strerror} (from {sources[f'{dotted}_file']})")
        except UnicodeDecodeError:
            problems.append(f"{dotted}_file: {file}: no text in UTF-8 (from {sources[f'{dotted}_file']})")


def _cross_checks(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    for address in (kafka.bootstrap or "").split(","):
        if address.strip() and not _ADDRESS.fullmatch(address.strip()):
            yield f"kafka.bootstrap: {address.strip()!r} is not host:port"
    if kafka.security_protocol.startswith("SASL") and not (
        kafka.sasl_mechanism and kafka.sasl_username and kafka.sasl_password
    ):
        yield "kafka.security_protocol: SASL needs sasl_mechanism, sasl_username and sasl_password (or its file)"
    if kafka.ssl_keyfile is not None and kafka.ssl_certfile is None:
        yield "kafka.ssl_keyfile: a key without its certificate; set kafka.ssl_certfile"
    key = settings.privacy.key
    if settings.privacy.pseudonymise and (key is None or len(key.get_secret_value().encode()) < 16):
        yield f"privacy.key: at least 16 bytes are needed; set {env_name('privacy.key')} or privacy.key_file"
    webhook = settings.webhook
    reach = Reach()
    try:
        reach = Reach.of(webhook.allow, http=webhook.allow_http)
    except DestinationError as error:
        yield f"webhook.allow: {error.message}; {error.next_step}"
    if webhook.url is not None:
        try:
            check_url(webhook.url, reach)
        except DestinationError as error:
            yield f"webhook.url: {error.message}; {error.next_step}"
        if webhook.secret is None:
            yield f"webhook.secret: alerts are signed; set {env_name('webhook.secret')} or webhook.secret_file"
    for name, listen in (("serve.listen", settings.serve.listen), ("metrics.listen", settings.metrics.listen)):
        host, separator, port = (listen or "").rpartition(":")
        if listen is not None and (not separator or not host or not port.isdigit() or int(port) > 65535):
            yield f"{name}: {listen!r} is not host:port"
