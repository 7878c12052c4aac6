"""Several ingests and workers at one topic: `python -m benchmarks.scale [backlog steady rebalance]`.

``backlog``: what one, two and four processes of a stage need together for the same messages. ``steady``: the same at a
steady rate. ``rebalance``: how long events wait to be seen when a second process of a stage joins, leaves or is killed.
All share the cores of one machine with the broker, so rates do not add up here; CPU-seconds per million tell whether
sharing costs anything. What was sent is counted in the store at the end of each.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.__main__ import DEFAULTS
from benchmarks.bad_days import settled
from benchmarks.fill import fill, wait_shared
from benchmarks.load import load
from benchmarks.results import HERE, record, recorded
from benchmarks.stages import serve_answers, share_committed
from benchmarks.visible import Counted, SteadySender, few_are_busy, follow
from pipeline.bench.steady import finish
from pipeline.bench.steady import steady as measure_steady
from tests.chaos.harness import Pipeline
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 8
STAGES: Final = ("ingest", "worker")
SETTLING_S: Final = 20.0
BETWEEN_S: Final = 15.0  # between two changes of a group: a process starts, joins, and all is as before
SETTLES_WITHIN_S: Final = 300.0
APART: Final = 1_000_000_000  # numbers of what is sent at a rate from those of a backlog
BEFORE_S: Final = 3.0  # what was sent so long before a change may still have been on its way


def main() -> None:
    """Run the parts, each with topics of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all when omitted")
    parser.add_argument("--events", type=int, default=3_000_000, help="of the backlog")
    parser.add_argument("--processes", default="1,2,4", help="of each stage, comma between")
    parser.add_argument("--rate", type=int, default=8_000, help="events a second of the steady parts")
    parser.add_argument("--seconds", type=int, default=40, help="how long each number of processes is measured")
    parser.add_argument("--history", type=int, default=4_000_000, help="events of the hour before a group changes")
    parser.add_argument("--repeats", type=int, default=2, help="of each change of a group")
    parser.add_argument("--logs", type=Path, help="a directory for the logs of the processes whose group changed")
    parser.add_argument("--record", action="store_true", help="keep it in benchmarks/results, for docs/performance.md")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        kafka = KafkaServer(Path(name))
        kafka.start()
        try:
            for part in options.parts or list(PARTS):
                found[part] = PARTS[part](kafka.bootstrap, Path(name), options)
        finally:
            kafka.stop()
    if options.record:
        kept = recorded("scale") if options.parts and (HERE / "scale.json").exists() else {}
        record("scale", {part: said for part, said in {**kept, **found}.items() if part in PARTS})


def backlog(bootstrap: str, place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The same backlog through each number of processes: ingest into topics of that number's own, then worker."""
    rows: list[dict[str, Any]] = []
    raw = "scale.requests"
    for number in _numbers(options):
        extra = DEFAULTS | {"STILLWATCH_TOPICS__REQUESTS": raw}
        pipeline = _pipeline(bootstrap, place, f"backlog{number}", extra)
        try:
            pipeline.spawn("serve")  # makes the topics
            serve_answers(pipeline)
            pipeline.stop("serve")
            if not rows:
                fill(bootstrap, raw, PARTITIONS, load(options.events))
            for stage in STAGES:
                topic = raw if stage == "ingest" else f"{pipeline.prefix}.events"
                rows.append(_through(pipeline, stage, number, topic, options.events))
                print(rows[-1], flush=True)
            pipeline.spawn("serve")
            _all_there(pipeline, options.events)
        finally:
            pipeline.close()
    return {"events": options.events, "rows": rows}


def _through(pipeline: Pipeline, stage: str, number: int, topic: str, events: int) -> dict[str, Any]:
    """So many processes of a stage, measured once each has partitions."""
    group = pipeline.environ()[f"STILLWATCH_{stage.upper()}__GROUP"]
    names = _names(stage, number)
    processes = [psutil.Process(pipeline.spawn(name).pid) for name in names]
    wait_shared(pipeline.bootstrap, group, number)
    done = share_committed(pipeline, group, topic)
    begun = done()
    if begun > 0.6:
        raise SystemExit(f"{stage}: {begun:.0%} done before {number} processes shared it: give more by --events")
    found = measure_steady(stage, processes, events, done)
    finish(done)
    for name in names:
        pipeline.stop(name)
    return {
        "stage": stage,
        "processes": number,
        "events_per_s": found.events_per_s,
        "cpu_s_per_million": found.cpu_s_per_million,
        "each_peak_mb": found.peak_mb / number,
    }


def steady(bootstrap: str, place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Cores of all processes of a stage together at one rate."""
    rows = []
    for number in _numbers(options):
        pipeline = _pipeline(bootstrap, place, f"steady{number}", DEFAULTS)
        try:
            rows.append({"processes": number, **_at_rate(pipeline, number, options.rate, options.seconds)})
        finally:
            pipeline.close()
        print(rows[-1], flush=True)
    return {"rate": options.rate, "seconds": options.seconds, "rows": rows}


def _at_rate(pipeline: Pipeline, number: int, rate: int, seconds: int) -> dict[str, Any]:
    pipeline.spawn("serve")
    client = serve_answers(pipeline)
    names = {stage: _names(stage, number) for stage in STAGES} | {"serve": ["serve"]}
    for name in (*names["ingest"], *names["worker"]):
        pipeline.spawn(name)
    for stage in STAGES:
        wait_shared(pipeline.bootstrap, pipeline.environ()[f"STILLWATCH_{stage.upper()}__GROUP"], number)
    processes = {stage: [psutil.Process(pid) for pid in pipeline.pids(*some)] for stage, some in names.items()}
    counted = Counted()
    sender = SteadySender(pipeline, rate, int(seconds + SETTLING_S) + 5, few_are_busy, counted)
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    time.sleep(SETTLING_S)
    begun, before = time.monotonic(), _cpu_s(processes)
    time.sleep(seconds)
    took_s, after = time.monotonic() - begun, _cpu_s(processes)
    memory = {stage: max(one.memory_info().rss for one in some) / 1e6 for stage, some in processes.items()}
    thread.join()
    stored, dead = settled(client, counted.sent)
    _same(counted.sent, stored + dead)
    return {
        "cores": {stage: (after[stage] - before[stage]) / took_s for stage in processes},
        "each_mb": memory,
        "sent": counted.sent,
    }


def rebalance(bootstrap: str, place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The longest wait for an event to be seen around each change of a group."""
    pipeline = _pipeline(bootstrap, place, "rebalance", DEFAULTS)
    try:
        pipeline.spawn("serve")
        client = serve_answers(pipeline)
        # A worker that takes a partition over remembers the ids of what came before: of an hour, not of seconds.
        fill(bootstrap, pipeline.requests, PARTITIONS, load(options.history, span=timedelta(hours=1)))
        for stage in STAGES:
            pipeline.spawn(stage)
        settled(client, options.history, within_s=SETTLES_WITHIN_S)
        changes = _changes(pipeline, options.repeats)
        counted = Counted()
        seconds = int(SETTLING_S + BETWEEN_S * (len(changes) + 2))
        sender = SteadySender(pipeline, options.rate, seconds, few_are_busy, counted, first=APART)
        told: list[tuple[str, str, float]] = []
        begun = time.monotonic()
        thread = threading.Thread(target=_change, args=(changes, begun + SETTLING_S, told), daemon=True)
        thread.start()
        waited = follow(sender, client, lambda: None)
        thread.join()
        sent = options.history + counted.sent
        stored, dead = settled(client, sent)
        _same(sent, stored + dead)
    finally:
        pipeline.close()
    if options.logs:
        for one in pipeline.directory.glob("*.log"):
            shutil.copy(one, options.logs)
    rows = longest(sender.sent_s, waited, told, begun + seconds)
    for row in rows:
        print(row, flush=True)
    return {"rate": options.rate, "history": options.history, "sent": sent, "dead_letters": dead, "rows": rows}


def _changes(pipeline: Pipeline, repeats: int) -> list[tuple[str, str, Callable[[], object]]]:
    """What happens, in turn; after each the group is what it was two before."""
    made: list[tuple[str, str, Callable[[], object]]] = [("", "nothing", lambda: None)]
    for stage in ("worker", "ingest"):
        second = f"{stage}2"
        made += [
            (stage, "joins", partial(pipeline.spawn, second)),
            (stage, "leaves by SIGTERM", partial(pipeline.stop, second)),
            (stage, "joins", partial(pipeline.spawn, second)),
            (stage, "is killed", partial(pipeline.kill, second)),
        ] * repeats
    return made


def _change(
    changes: Sequence[tuple[str, str, Callable[[], object]]], first_s: float, told: list[tuple[str, str, float]]
) -> None:
    for number, (stage, what, do) in enumerate(changes):
        time.sleep(max(0.0, first_s + number * BETWEEN_S - time.monotonic()))
        told.append((stage, what, time.monotonic()))
        do()


def longest(
    sent_s: Mapping[str, float], waited: Mapping[str, float], told: Sequence[tuple[str, str, float]], end_s: float
) -> list[dict[str, Any]]:
    """By stage and change, the longest wait of an event that was sent from just before it until the next one."""
    found: dict[tuple[str, str], list[float]] = {}
    for (stage, what, at_s), (_, _, next_s) in zip(told, [*told[1:], ("", "", end_s)], strict=True):
        near = [waited[name] for name, sent in sent_s.items() if at_s - BEFORE_S <= sent < next_s - BEFORE_S]
        found.setdefault((stage, what), []).append(max(near))
    return [{"stage": stage, "what": what, "longest_s": longest} for (stage, what), longest in found.items()]


def _pipeline(bootstrap: str, place: Path, name: str, extra: dict[str, str]) -> Pipeline:
    directory = place / name
    directory.mkdir()
    return Pipeline(bootstrap, directory, name, PARTITIONS, extra)


def _names(stage: str, number: int) -> list[str]:
    return [f"{stage}{one}" for one in range(number)]


def _numbers(options: argparse.Namespace) -> list[int]:
    return [int(one) for one in options.processes.split(",")]


def _cpu_s(processes: Mapping[str, Sequence[psutil.Process]]) -> dict[str, float]:
    return {stage: sum(sum(one.cpu_times()[:2]) for one in some) for stage, some in processes.items()}


def _all_there(pipeline: Pipeline, sent: int) -> None:
    stored, dead = settled(serve_answers(pipeline), sent)
    _same(sent, stored + dead)


def _same(sent: int, found: int) -> None:
    if sent != found:
        raise SystemExit(f"{sent:,} were sent, {found:,} are in the store or among the dead letters")


Part = Callable[[str, Path, argparse.Namespace], dict[str, Any]]
PARTS: Final[dict[str, Part]] = {"backlog": backlog, "steady": steady, "rebalance": rebalance}


if __name__ == "__main__":
    main()
