"""Every variable, port, path, command and service that docker-compose.yml and the Dockerfile name exists."""

import base64
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from pipeline.cli import app
from pipeline.config import Settings, env_name, load
from pipeline.metrics import Metrics, expose
from tests.infra.parts import ROOT, compose, dockerfile, image_environ, services, stage_environ, stages

SETTING_NAMES = {env_name(f"{section}.{name}") for section, model in Settings() for name in type(model).model_fields}


def test_the_three_stages_are_there() -> None:
    assert set(stages()) == {"ingest", "worker", "serve"}


@pytest.mark.parametrize("name", sorted(stages()))
def test_settings_of_a_stage_exist_and_load(name: str) -> None:
    environ = stage_environ(name)
    assert set(environ) <= SETTING_NAMES
    assert load(environ=environ).settings.kafka.bootstrap is not None


def test_commented_settings_exist() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"STILLWATCH_\w+__\w+", text))
    assert "STILLWATCH_WEBHOOK__URL" in named
    assert named <= SETTING_NAMES


@pytest.mark.parametrize("name", sorted(stages()))
def test_command_of_a_stage_exists(name: str) -> None:
    command = typer.main.get_command(app)
    assert stages()[name]["command"] == [name]
    assert name in getattr(command, "commands", {})


@pytest.mark.parametrize(("name", "service"), sorted(services().items()))
def test_image_is_pinned_and_watched(name: str, service: dict[str, object]) -> None:
    if name in stages():
        assert any(item.name == "HEALTHCHECK" for item in dockerfile())
    else:
        assert re.search(r":v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$", str(service["image"]))
        assert "healthcheck" in service


def test_dependencies_are_services_that_report_their_health() -> None:
    for name, service in services().items():
        for other, terms in service.get("depends_on", {}).items():
            assert other in services(), name
            assert terms == {"condition": "service_healthy"}


def test_mounted_paths_exist_and_named_volumes_are_declared() -> None:
    used = set()
    for service in services().values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                used.add(source)
    assert used == set(compose()["volumes"])


def test_a_stage_writes_only_where_a_volume_or_tmpfs_is() -> None:
    state = "/var/lib/stillwatch"
    settings = load(environ=stage_environ("serve")).settings
    assert str(settings.store.path).startswith(state + "/")
    assert str(settings.worker.data_dir).startswith(state + "/")
    assert any(volume.endswith(f":{state}") for volume in stages()["serve"]["volumes"])
    assert any(str(mount).startswith(f"{state}:") for mount in stages()["worker"]["tmpfs"])
    assert all(stage["read_only"] and stage["cap_drop"] == ["ALL"] for stage in stages().values())


def test_ports_are_those_listened_at() -> None:
    listen = load(environ=stage_environ("serve")).settings.serve.listen
    port = listen.rpartition(":")[2]
    assert stages()["serve"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    exposed = next(item.value for item in dockerfile() if item.name == "EXPOSE").split()
    metrics = load(environ=stage_environ("worker")).settings.metrics.listen
    assert metrics is not None
    assert exposed == [port, metrics.rpartition(":")[2]]


def test_nothing_is_published_beyond_this_machine() -> None:
    for name, service in services().items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_stages_reach_the_broker_where_it_listens() -> None:
    kafka = services()["kafka"]
    environ = kafka["environment"]
    host, _, port = stage_environ("ingest")["STILLWATCH_KAFKA__BOOTSTRAP"].partition(":")
    assert host == kafka["hostname"]
    assert f"://{host}:{port}" in environ["KAFKA_ADVERTISED_LISTENERS"]
    assert f"://:{port}" in environ["KAFKA_LISTENERS"]
    assert environ["KAFKA_LOG_DIRS"] in {volume.split(":")[1] for volume in kafka["volumes"]}
    advertised = dict(item.split("://") for item in environ["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert [f"{advertised['HOST']}:29092"] == kafka["ports"]
    assert len(base64.urlsafe_b64decode(environ["CLUSTER_ID"] + "==")) == 16


def test_one_node_keeps_one_copy_of_every_internal_topic() -> None:
    environ = services()["kafka"]["environment"]
    factors = {key: value for key, value in environ.items() if key.endswith(("REPLICATION_FACTOR", "MIN_ISR"))}
    assert len(factors) == 5
    assert set(factors.values()) == {"1"}


def test_a_stage_has_time_to_drain() -> None:
    drain_s = Settings().ingest.drain_timeout_s
    for stage in stages().values():
        assert float(stage["stop_grace_period"].removesuffix("s")) > drain_s


def test_image_is_not_root_pinned_and_copies_what_is_there() -> None:
    instructions = dockerfile()
    bases = [item.value for item in instructions if item.name == "FROM"]
    assert all(re.match(r"python:3\.\d+\.\d+-slim-\w+( AS \w+)?$", base) for base in bases)
    last = max(index for index, item in enumerate(instructions) if item.name == "FROM")
    users = [item.value for item in instructions[last:] if item.name == "USER"]
    assert users == ["10001:10001"]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for item in instructions:
        if item.name == "COPY" and not item.value.startswith("--from"):
            for source in item.value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(Path(source).is_relative_to(entry) for entry in allowed), source


def test_image_environment_is_settings_or_the_systems() -> None:
    assert {name for name in image_environ() if name.startswith("STILLWATCH_")} <= SETTING_NAMES


def test_health_check_tells_a_live_stage_from_a_dead_one(tmp_path: Path) -> None:
    check = [sys.executable, str(ROOT / "infra/docker/healthcheck.py")]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {"STILLWATCH_METRICS__LISTEN": f"0.0.0.0:{port}", "HOME": str(tmp_path)}
    assert subprocess.run(check, env=environ, check=False, timeout=30).returncode == 1
    expose(Metrics(), f"127.0.0.1:{port}")
    assert subprocess.run(check, env=environ, check=False, timeout=30).returncode == 0


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("`docker compose` does not answer here; the file is checked by the other tests of this module")
    done = subprocess.run([docker, "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
