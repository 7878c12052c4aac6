"""The deployment files as values: what they name is checked against the program itself."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "infra/docker/Dockerfile"
DASHBOARD = ROOT / "infra/grafana/dashboards/stillwatch.json"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, continuation lines joined."""

    name: str
    value: str


def compose() -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8")))


def services() -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", compose()["services"])


def stages() -> dict[str, dict[str, Any]]:
    """The services that are ours."""
    return {name: service for name, service in services().items() if "build" in service}


def dockerfile() -> list[Instruction]:
    text = "\n".join(line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def image_environ() -> dict[str, str]:
    """What the last stage of the Dockerfile sets."""
    found: dict[str, str] = {}
    for item in dockerfile():
        if item.name == "FROM":
            found = {}
        elif item.name == "ENV":
            found |= dict(pair.split("=", 1) for pair in item.value.split())
    return found


def stage_environ(name: str) -> dict[str, str]:
    """What a stage's process sees of our settings."""
    both = image_environ() | {key: str(value) for key, value in services()[name].get("environment", {}).items()}
    return {key: value for key, value in both.items() if key.startswith("STILLWATCH_")}


def expressions() -> list[str]:
    """Every PromQL expression of the dashboard and of the alert rules."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    rules = yaml.safe_load((ROOT / "infra/prometheus/rules.yml").read_text(encoding="utf-8"))
    return [target["expr"] for panel in panels for target in panel.get("targets", ())] + [
        rule["expr"] for group in rules["groups"] for rule in group["rules"]
    ]
