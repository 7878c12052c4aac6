from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipeline.analyze import AnalyzeResult, analyze
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Settings
from pipeline.errors import InputNotFoundError, UsageError
from pipeline.metrics import Metrics
from pipeline.serve.facts import import_facts
from pipeline.simulate import Simulation, plan
from pipeline.store import Store, set_offset

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
SHARED = Path(__file__).parents[2] / "shared" / "data"


def named(store: Path) -> set[str]:
    with duckdb.connect(str(store), read_only=True) as connection:
        return {row[0] for row in connection.execute("select account_id from suspicious_accounts").fetchall()}


def findings(store: Path) -> list[tuple[object, ...]]:
    """Everything that was concluded, to the last digit; not when it was written."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(
            "select entity_id, score, named, campaign_id, reasons, first_seen, last_seen from findings order by all"
        ).fetchall()


def campaigns(store: Path) -> list[list[tuple[object, ...]]]:
    """What stands of campaigns; not what looks saw on the way, nor when."""
    with duckdb.connect(str(store), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        return [
            connection.execute(f"select * exclude ({left_out}) from {view} order by all").fetchall()
            for view, left_out in (
                ("campaigns", "created_at, updated_at"),
                ("campaign_members", "joined_at"),
                ("campaign_keys", "campaign_id"),
                ("campaign_things", "campaign_id"),
                ("campaign_successions", "campaign_id"),
            )
        ]


def sums(store: Path) -> list[tuple[object, ...]]:
    """What each account asked in each hour, as sums."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(
            "select account_id, hour, events, prompt_sum from prompt_distributions order by account_id, hour"
        ).fetchall()


def passages(store: Path) -> list[tuple[object, ...]]:
    """What each account was told and sent in each hour, as sampled passages."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(
            """
            select account_id, hour, output, passage, sum(events) as events, min(first_seen) as first_seen
            from (
                select * from loop_hour
                union all by name
                select * exclude (source_partition, from_offset) from loop_delta
            ) as both_kinds
            group by account_id, hour, output, passage
            qualify row_number() over (partition by account_id, hour, output order by passage) <= 64
            order by all
            """
        ).fetchall()


def files(directory: Path, messages: list[bytes], parts: int) -> list[Path]:
    """The messages in order, over ``parts`` files."""
    size = -(-len(messages) // parts)
    paths = []
    for number in range(parts):
        path = directory / f"part-{number}.ndjson"
        path.write_bytes(b"\n".join(messages[number * size : (number + 1) * size]) + b"\n")
        paths.append(path)
    return paths


def run(store: Path, simulation: Simulation, settings: Settings | None = None, *, parts: int = 1) -> AnalyzeResult:
    """Analyze a simulation's traffic with its facts, an hour after it began."""
    messages = [message for chunk in simulation.chunks(10_000) for message in chunk.messages()]
    return analyze(
        files(store.parent, messages, parts),
        store,
        settings or Settings(),
        clock=ManualClock(START + timedelta(hours=1)),
        metrics=Metrics(),
        accounts=simulation.accounts.to_dicts(),
    )


@pytest.mark.parametrize("text", ["built-in", "real"])
@pytest.mark.parametrize("seed", [3, 4])
def test_the_planted_campaign_is_found_and_nobody_else_is_named(tmp_path: Path, text: str, seed: int) -> None:
    if text == "real" and not SHARED.is_dir():
        pytest.skip("../shared/data, the real prompts and timings, is not here")
    prompts, traces = (SHARED / "prompts", SHARED / "traces") if text == "real" else (None, None)
    simulation = plan("demo", seed=seed, start=START, prompts=prompts, traces=traces)
    store = tmp_path / "s.duckdb"
    result = run(store, simulation)
    truth = simulation.truth
    assert (result.events, result.duplicates, result.dead_letters) == (truth.events, truth.duplicates, truth.broken)
    assert len(named(store) & truth.planted) >= 0.95 * len(truth.planted)
    assert named(store) - truth.planted == set()


def test_facts_that_are_told_afterwards_make_rules_look_again(tmp_path: Path) -> None:
    simulation = plan("campaign", seed=3, start=START, accounts=300, campaign_accounts=80)
    before, after = tmp_path / "before.duckdb", tmp_path / "after.duckdb"
    run(before, simulation)
    run(after, replace(simulation, accounts=simulation.accounts.clear()))
    assert findings(after) != findings(before)
    assert named(after) <= simulation.truth.planted
    clock = ManualClock(START + timedelta(hours=2))
    import_facts(after, simulation.accounts.to_dicts(), Settings(), clock=clock)
    assert findings(after) == findings(before)
    assert named(after) == simulation.truth.planted
    one = min(simulation.truth.planted)
    import_facts(after, [{"account_id": one, "cleared_reason": "a known tester"}], Settings(), clock=clock)
    assert named(after) == simulation.truth.planted - {one}
    with duckdb.connect(str(after), read_only=True) as connection:
        assert connection.execute("select named_accounts from campaigns").fetchall() == [(79,)]


def test_facts_are_known_under_the_pseudonyms_of_their_accounts(tmp_path: Path) -> None:
    simulation = plan("campaign", seed=3, start=START, accounts=300, campaign_accounts=80)
    privacy = {"pseudonymise": ["account_id", "api_key_id", "user_id", "ip"], "key": "0123456789abcdef"}
    store = tmp_path / "s.duckdb"
    settings = Settings.model_validate({"privacy": privacy})
    run(store, simulation, settings)
    found = named(store)
    assert len(found) == len(simulation.truth.planted)
    assert all(account.startswith("acct~") for account in found)
    with duckdb.connect(str(store), read_only=True) as connection:
        plain = connection.execute("select count(*) from accounts where account_id not like 'acct~%'").fetchall()
    assert plain == [(0,)]
    # Who works with pseudonyms says it of a pseudonym.
    one = min(found)
    clock = ManualClock(START + timedelta(hours=2))
    import_facts(store, [{"account_id": one, "cleared_reason": "a known tester"}], settings, clock=clock)
    assert named(store) == found - {one}


def test_how_the_input_is_cut_into_files_changes_nothing(tmp_path: Path) -> None:
    simulation = plan("demo", seed=5, start=START)
    found = []
    for parts in (1, 7):
        directory = tmp_path / str(parts)
        directory.mkdir()
        result = run(directory / "s.duckdb", simulation, parts=parts)
        store = directory / "s.duckdb"
        found.append((result, findings(store), sums(store), campaigns(store), passages(store)))
    assert found[0] == found[1]
    assert found[0][2]
    assert found[0][4]
    assert all(found[0][3][:4])


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
