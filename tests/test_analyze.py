from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipeline.analyze import analyze
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Settings
from pipeline.errors import InputNotFoundError, UsageError
from pipeline.metrics import Metrics
from pipeline.simulate import plan
from pipeline.store import Store, apply_accounts, set_offset

SHARED = Path(__file__).parents[2] / "shared" / "data"


def named(store: Path) -> set[str]:
    with duckdb.connect(str(store), read_only=True) as connection:
        return {row[0] for row in connection.execute("select account_id from suspicious_accounts").fetchall()}


def files(directory: Path, messages: list[bytes], parts: int) -> list[Path]:
    """The messages in order, over ``parts`` files."""
    size = -(-len(messages) // parts)
    paths = []
    for number in range(parts):
        path = directory / f"part-{number}.ndjson"
        path.write_bytes(b"\n".join(messages[number * size : (number + 1) * size]) + b"\n")
        paths.append(path)
    return paths


@pytest.mark.parametrize("text", ["built-in", "real"])
@pytest.mark.parametrize("seed", [3, 4])
def test_the_planted_campaign_is_found_and_nobody_else_is_named(tmp_path: Path, text: str, seed: int) -> None:
    if text == "real" and not SHARED.is_dir():
        pytest.skip("../shared/data, the real prompts and timings, is not here")
    prompts, traces = (SHARED / "prompts", SHARED / "traces") if text == "real" else (None, None)
    start = datetime(2026, 1, 5, 12, tzinfo=UTC)
    simulation = plan("demo", seed=seed, start=start, prompts=prompts, traces=traces)
    messages = [message for chunk in simulation.chunks(10_000) for message in chunk.messages()]
    store = tmp_path / "s.duckdb"
    settings, clock = Settings(), ManualClock(start + timedelta(hours=1))
    with Store.open(store, settings.store, clock=clock) as opened, opened.transaction() as tx:
        apply_accounts(tx, simulation.accounts)
    result = analyze(files(tmp_path, messages, 1), store, settings, clock=clock, metrics=Metrics())
    truth = simulation.truth
    assert (result.events, result.duplicates, result.dead_letters) == (truth.events, truth.duplicates, truth.broken)
    assert len(named(store) & truth.planted) >= 0.95 * len(truth.planted)
    assert named(store) - truth.planted == set()


def test_how_the_input_is_cut_into_files_changes_nothing(tmp_path: Path) -> None:
    start = datetime(2026, 1, 5, 12, tzinfo=UTC)
    simulation = plan("demo", seed=5, start=start)
    messages = [message for chunk in simulation.chunks(10_000) for message in chunk.messages()]
    found = []
    for parts in (1, 7):
        directory = tmp_path / str(parts)
        directory.mkdir()
        store, settings = directory / "s.duckdb", Settings()
        clock = ManualClock(start + timedelta(hours=1))
        with Store.open(store, settings.store, clock=clock) as opened, opened.transaction() as tx:
            apply_accounts(tx, simulation.accounts)
        result = analyze(files(directory, messages, parts), store, settings, clock=clock, metrics=Metrics())
        found.append((result.events, result.duplicates, result.dead_letters, named(store)))
    assert found[0] == found[1]


def test_a_file_that_is_missing_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        analyze([tmp_path / "none"], tmp_path / "s", Settings(), clock=SystemClock(), metrics=Metrics())


def test_a_store_that_belongs_to_a_broker_is_left_alone(tmp_path: Path) -> None:
    file, store, settings = tmp_path / "a.ndjson", tmp_path / "s.duckdb", Settings()
    file.write_text("{}\n")
    with Store.open(store, settings.store, clock=SystemClock()) as opened, opened.transaction() as tx:
        set_offset(tx, settings.topics.fingerprints, 0, 7, "epoch")
    with pytest.raises(UsageError, match="belongs to a pipeline with a broker"):
        analyze([file], store, settings, clock=SystemClock(), metrics=Metrics())
