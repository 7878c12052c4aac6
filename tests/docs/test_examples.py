"""The events that the README shows are read as it says: one event each, in the format that is named, none dead."""

import json
import re
from datetime import UTC, datetime

import polars as pl
import pytest
import yaml

from pipeline.config import Settings
from pipeline.events.decode import Decoder
from pipeline.events.schema import RAW
from tests.docs.pages import FENCE, ROOT, pages

NOW = datetime(2026, 1, 31, 13, tzinfo=UTC)
EXAMPLES = [block for language, block in FENCE.findall(pages()["README.md"]) if language == "json"]


def test_the_readme_shows_both_json_formats() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_one_event(example: str) -> None:
    said = "openai" if "response" in json.loads(example) else "native"
    row = ("api.requests", 0, 0, None, example.encode(), 0.0)
    decoded = Decoder(Settings()).decode(pl.DataFrame([row], schema=RAW, orient="row"), now=NOW)
    assert decoded.dead.rows(named=True) == []
    (event,) = decoded.events.rows(named=True)
    assert (event["account_id"], event["model"], event["status"]) == ("acct_17", "large-3", 200)
    assert event["source_format"] == said
    assert (event["input_tokens"], event["output_tokens"]) == (512, 890)


def test_the_needed_fields_are_needed() -> None:
    native = json.loads(EXAMPLES[0])
    for name in ("event_id", "timestamp", "account_id", "model"):
        lacking = json.dumps({key: value for key, value in native.items() if key != name}).encode()
        frame = pl.DataFrame([("api.requests", 0, 0, None, lacking, 0.0)], schema=RAW, orient="row")
        decoded = Decoder(Settings()).decode(frame, now=NOW)
        assert (decoded.events.height, decoded.dead.height) == (0, 1), name


def test_yaml_examples_parse_and_say_what_the_files_say() -> None:
    shown = [yaml.safe_load(block) for language, block in FENCE.findall(pages()["README.md"]) if language == "yaml"]
    exporter = next(item["exporters"]["kafka"] for item in shown if "exporters" in item)
    whole = yaml.safe_load((ROOT / "infra/otel/collector.yaml").read_text(encoding="utf-8"))["exporters"]["kafka"]
    assert exporter["traces"] == whole["traces"]
    assert exporter["traces"]["topic"] == Settings().topics.requests
    callback = next(item["litellm_settings"]["callbacks"] for item in shown if "litellm_settings" in item)
    source = (ROOT / f"infra/litellm/{callback.partition('.')[0]}.py").read_text(encoding="utf-8")
    assert re.search(rf"^{callback.rpartition('.')[2]} = ", source, re.MULTILINE)
