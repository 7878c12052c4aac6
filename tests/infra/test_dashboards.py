"""Every metric and label that Prometheus and Grafana are told of is one that the program shows."""

import json
import re
from typing import Any

import pytest
import yaml

from pipeline.config import load
from pipeline.metrics import DEFINITIONS, GaugeName, HistogramName
from tests.infra.parts import DASHBOARD, ROOT, expressions, services, stage_environ

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SAMPLES = {
    f"stillwatch_{name}{suffix}": set(item.labels) | ({"le"} if suffix == "_bucket" else set())
    for name, item in DEFINITIONS.items()
    for suffix in SUFFIXES[item.kind]
}
OF_PROMETHEUS = {"job", "instance"}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


@pytest.mark.parametrize("expression", expressions())
def test_metrics_and_labels_exist(expression: str) -> None:
    named = set(re.findall(r"\bstillwatch_\w+", expression))
    assert named or expression.startswith("up")
    assert named <= set(SAMPLES)
    grouped = {label for by in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", by)}
    selected = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression))
    labels = set[str]().union(*(SAMPLES[name] for name in named)) | OF_PROMETHEUS
    assert grouped | selected <= labels
    assert expression.count("(") == expression.count(")")


def test_a_histogram_is_read_by_its_buckets() -> None:
    for expression in expressions():
        if "histogram_quantile" in expression:
            assert "_bucket[" in expression
            assert "le" in expression


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_every_metric_is_on_the_dashboard(name: str) -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel.get("targets", ()))
    assert re.search(rf"\bstillwatch_{name}(_total|_bucket)?\b", shown)


def test_legends_name_labels_of_their_expression() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target


def test_panels_have_ids_and_places_of_their_own() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(column < 24 for column, _ in cells)
        taken |= cells


def test_datasource_and_paths_agree() -> None:
    provisioned = yaml.safe_load((ROOT / "infra/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert {panel["datasource"]["uid"] for panel in panels() if "datasource" in panel} == {
        item["uid"] for item in provisioned["datasources"]
    }
    assert provisioned["datasources"][0]["url"] == "http://prometheus:9090"
    mounts = dict(volume.split(":")[:2][::-1] for volume in services()["grafana"]["volumes"])
    provider = yaml.safe_load((ROOT / "infra/grafana/provisioning/dashboards/stillwatch.yml").read_text())
    assert (ROOT / mounts[provider["providers"][0]["options"]["path"]]) == DASHBOARD.parent
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['providers'][0]['options']['path']}/{DASHBOARD.name}"


def test_prometheus_scrapes_every_stage_where_it_listens() -> None:
    scraped = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())["scrape_configs"]
    found = {job["dns_sd_configs"][0]["names"][0]: job["dns_sd_configs"][0]["port"] for job in scraped}
    expected = {}
    for name in ("ingest", "worker", "serve"):
        settings = load(environ=stage_environ(name)).settings
        listen = settings.serve.listen if name == "serve" else settings.metrics.listen
        assert listen is not None
        expected[name] = int(listen.rpartition(":")[2])
    assert found == expected


def test_the_rules_file_that_prometheus_reads_is_mounted() -> None:
    named = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())["rule_files"]
    mounted = {volume.split(":")[1] for volume in services()["prometheus"]["volumes"]}
    assert set(named) <= mounted


def test_kinds_of_metrics_are_the_declared_ones() -> None:
    gauges, histograms = set(GaugeName.__args__), set(HistogramName.__args__)  # type: ignore[attr-defined]
    assert {name for name, item in DEFINITIONS.items() if item.kind == "gauge"} == gauges
    assert {name for name, item in DEFINITIONS.items() if item.kind == "histogram"} == histograms
