"""Tables and charts of docs/performance.md, from what the benchmarks left in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
OWN, OWN_JOB = "stillwatch", "stillwatch_job"
TITLES: Final = {
    "floor": "the floor: librdkafka and Polars, nothing durable",
    "aiokafka_polars": "aiokafka and Polars, nothing durable",
    OWN_JOB: "**Stillwatch, the job alone**: exactly once, into DuckDB",
    OWN: "**Stillwatch, whole**: every entity and feature, exactly once, into DuckDB, rules on",
    "flink_sql": "Apache Flink 2.2 SQL, heap state, a checkpoint each 10 s",
    "kafka_streams": "Kafka Streams 4.3, one thread, cached",
    "pathway": "Pathway 0.33",
    "quix": "Quix Streams 3.28",
    "bytewax": "Bytewax 0.21",
    "faust_events": "Faust 0.15, an event a message",
}
BAD_DAYS: Final = {
    "ordinary": "ordinary events, to compare",
    "broken_tenth": "a tenth of the messages cannot be read",
    "one_account": "nine tenths of all events are of one account",
    "new_accounts": "each event is of another account, some 600,000 in all",
    "one_partition": "all accounts fall into one of four partitions",
    "large_events": "once a second an event with a million bytes of text",
}
# What Stillwatch is to cost of each one's CPU, by what it was measured at when the goal was set.
GOALS: Final = {
    "floor": 1.6,
    "flink_sql": 0.6,
    "pathway": 1 / 3,
    "kafka_streams": 1 / 6,
    "quix": 1 / 9,
    "faust_events": 1 / 80,
}


def peers_table() -> Iterator[str]:
    """Contenders by cost, each beside the floor."""
    found = read("peers")
    costs = _costs(found)
    floor = median(costs["floor"])
    yield measured(found, f"median of {len(costs['floor'])} runs each, in turns")
    yield ""
    yield from (
        "| | CPU-seconds per million (least to most) | of the floor | events/s | memory, MB |",
        "|---|---|---|---|---|",
    )
    for name in sorted(costs, key=lambda name: median(costs[name])):
        mine = [run for run in found["runs"] if run["name"] == name]
        cost, rate = median(costs[name]), median(run["events_per_s"] for run in mine)
        spread = f"{min(costs[name]):.1f} to {max(costs[name]):.1f}"
        memory = max(run["peak_mb"] for run in mine)
        yield f"| {TITLES[name]} | {cost:.1f} ({spread}) | {cost / floor:.1f} | {rate:,.0f} | {memory:,.0f} |"
    names = [name for name in sorted(costs, key=lambda name: median(costs[name])) if name != "faust_events"]
    yield ""
    yield from chart(
        "CPU-seconds per million events", names, [median(costs[name]) for name in names], "bar", "CPU-seconds"
    )


def goals_table() -> Iterator[str]:
    """What was to be reached beside others, and what was."""
    costs = _costs(read("peers"))
    job, whole = median(costs[OWN_JOB]), median(costs[OWN])
    yield from (
        "| Stillwatch, the job alone, beside | goal, of its CPU | measured | | whole |",
        "|---|---|---|---|---|",
    )
    for name, goal in GOALS.items():
        other = median(costs[name])
        said = "reached" if job / other <= goal else "not reached"
        yield f"| {TITLES[name].split(':')[0]} | {goal:.2g} | {job / other:.2g} | {said} | {whole / other:.2g} |"


def stages_table() -> Iterator[str]:
    """Each stage alone at a backlog, and what is seen in SQL at a steady rate."""
    found = read("stages")
    yield measured(found, "2 million events of 480 bytes, 20,000 accounts by Zipf, Apache Kafka beside")
    yield ""
    yield from ("| a backlog | CPU-seconds per million | events/s | memory, MB |", "|---|---|---|---|")
    for row in found["stages"]:
        yield f"| {row['what']} | {row['cpu_s_per_million']:.1f} | {row['events_per_s']:,.0f} | {row['peak_mb']:,.0f} |"
    yield ""
    yield from (
        "| a steady rate | event to SQL, p50 | p99 | cores of the stages | serve, MB |",
        "|---|---|---|---|---|",
    )
    for row in found["visible"]:
        rate, who = row["events_per_s"], row["who"].replace("_", " ")
        yield (
            f"| {rate:,.0f} events/s, {who} | {row['p50_s']:.2f} s | {row['p99_s']:.2f} s "
            f"| {row['stages_cores']:.2f} | {row['serve_peak_mb']:,.0f} |"
        )


def steady_table() -> Iterator[str]:
    """Cores by rate."""
    found = read("steady")
    cores: dict[str, dict[str, float]] = found["cores"]
    yield measured(found, f"{found['seconds']} s each, {found['who'].replace('_', ' ')}")
    yield ""
    yield from ("| events/s | ingest | worker | serve | CPU-seconds per million |", "|---|---|---|---|---|")
    for rate, one in cores.items():
        each = " | ".join(f"{one[stage]:.3f}" for stage in ("ingest", "worker", "serve"))
        yield f"| {int(rate):,} | {each} | {sum(one.values()) / int(rate) * 1e6:,.0f} |"
    yield ""
    yield from chart(
        "Cores by events a second", list(cores), [sum(one.values()) for one in cores.values()], "line", "cores"
    )


def bad_days_table() -> Iterator[str]:
    """How long an ordinary event takes beside others that nobody wishes for."""
    found = read("bad_days")
    yield measured(found, f"{found['rate']:,} events/s for {found['seconds']} s each, all three stages and the broker")
    yield ""
    yield from (
        "| | event to SQL, p50 | p99 | cores of the stages | ingest, worker, serve, MB | dead letters |",
        "|---|---|---|---|---|---|",
    )
    for one in found["loads"]:
        memory = ", ".join(f"{one[f'{stage}_peak_mb']:,.0f}" for stage in ("ingest", "worker", "serve"))
        yield (
            f"| {BAD_DAYS[one['name']]} | {one['p50_s']:.2f} s | {one['p99_s']:.2f} s | {one['stages_cores']:.2f} "
            f"| {memory} | {one['dead_letters']:,} of {one['sent']:,} |"
        )


LAKE: Final = {
    "step_ms": "a step of four partitions, median (ms)",
    "fold_ms": "folding all of it (ms)",
    "upkeep_ms": "one round of upkeep (ms)",
    "longest_pause_ms": "longest piece of either (ms)",
    "questions_ms": "every saved question, once (ms)",
    "rules_ms": "every rule over an hour, once (ms)",
    "size_mb": "on disk (MB)",
}


def lake_table() -> Iterator[str]:
    """A DuckDB file beside DuckLakes, from one run."""
    found = read("lake")
    measured, ratios = found["measured"], found["ratios"]
    yield (
        f"\n{found['steps']} steps of {found['events_a_step']:,} events, by `python -m benchmarks.lake`, "
        f"{found['day']}, on {found['machine']['cores']} shared cores; in brackets, of the file in the same run:\n"
    )
    yield "| | " + " | ".join(measured) + " |"
    yield "|---|" + "---|" * len(measured)
    for what, meaning in LAKE.items():
        cells = [
            f"{one[what]:,.0f}" + (f" ({ratios[name][what]:.1f})" if name in ratios else "")
            for name, one in measured.items()
        ]
        yield f"| {meaning} | " + " | ".join(cells) + " |"
    yield ""


PARTS: Final = {
    "peers": peers_table,
    "goals": goals_table,
    "stages": stages_table,
    "steady": steady_table,
    "bad_days": bad_days_table,
    "lake": lake_table,
}


def read(name: str) -> dict[str, Any]:
    """What a benchmark recorded."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _costs(found: dict[str, Any]) -> dict[str, list[float]]:
    """By contender, CPU-seconds per million; only runs whose result was right."""
    costs: dict[str, list[float]] = {}
    for run in found["runs"]:
        if not run["wrong"]:
            costs.setdefault(run["name"], []).append(run["cpu_s_per_million"])
    return costs


def measured(found: dict[str, Any], how: str) -> str:
    """When, where and how it was measured."""
    machine = found["machine"]
    load = f", load average {machine['load_average']:g}" if "load_average" in machine else ""
    return f"Measured {found['day']} on {machine['cores']} shared cores, {machine['memory_gb']} GB{load}: {how}."


def chart(title: str, names: list[str], values: list[float], kind: str, unit: str) -> Iterator[str]:
    """A chart of values by name."""
    labels = ", ".join(f'"{name}"' for name in names)
    yield "```mermaid"
    yield "xychart-beta"
    yield f'  title "{title}"'
    yield f"  x-axis [{labels}]"
    yield f'  y-axis "{unit}"'
    yield f"  {kind} [{', '.join(f'{value:.3g}' for value in values)}]"
    yield "```"
