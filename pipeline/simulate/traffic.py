"""The requests of one cohort, or of the campaign, as native events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from pipeline.simulate.cohorts import Cohort
from pipeline.simulate.frame import CHARS_PER_TOKEN, MODELS, NATIVE, latencies, outcomes, with_outcome
from pipeline.simulate.population import CLIENTS, NETWORKS, Group
from pipeline.simulate.seeds import hex_ids
from pipeline.simulate.texts import Texts
from pipeline.simulate.timing import Floats, Ints, Timing, closed_loop

MAX_RESPONSE_CHARS: Final = 1200
_RESPONSE: Final = "Here is what I found. " * 55


@dataclass(frozen=True, slots=True)
class Stage:
    """What all traffic of one simulation has in common: where text and timing come from, and the time to cover."""

    texts: Texts
    timing: Timing
    start: datetime
    duration_s: float


@dataclass(frozen=True, slots=True)
class Sent:
    """Requests before they have a sender: arrays run parallel."""

    times_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    latency_ms: Ints
    ttft_ms: Ints
    prompts: list[str]


def cohort_events(rng: np.random.Generator, cohort: Cohort, group: Group, stage: Stage, *, rate: float) -> pl.DataFrame:
    """What the accounts of a benign cohort send while the stage lasts, in no particular order."""
    duration_s = stage.duration_s
    count = len(group.accounts)
    if cohort.pace == "workers":
        requests = np.full(count, _enough(rng, cohort, stage))
    else:
        requests = draw_requests(rng, cohort, count, cohort.per_minute * rate * duration_s / 60)
    who = np.repeat(np.arange(count), requests)
    inputs, outputs, whole, first = draw_sizes(rng, cohort, stage, len(who))
    if cohort.pace == "workers":
        # A loop over accounts, of which such cohorts have a handful.
        parts = [closed_loop(rng, whole[who == i] / 1000.0, cohort.workers) for i in range(count)]
        times = np.concatenate(parts)
    elif cohort.pace == "bursts":
        times = np.concatenate([stage.timing.arrivals(rng, cohort.profile, int(n), duration_s) for n in requests])
    else:
        times = stage.timing.arrivals(rng, cohort.profile, len(who), duration_s)
        rng.shuffle(who)
    inside = times < duration_s
    who, times = who[inside], times[inside]
    inputs, outputs, whole, first = inputs[inside], outputs[inside], whole[inside], first[inside]
    prompts = draw_prompts(rng, cohort, who, stage.texts)
    return make_events(
        rng,
        group,
        who,
        Sent(times, inputs, outputs, whole, first, prompts),
        start=stage.start,
        system=cohort.systems[0] if cohort.systems else None,
        subnets=cohort.subnets,
        models=cohort.models,
        tools=cohort.tools,
        end_users=cohort.end_users,
        client=cohort.own_client,
    )


def campaign_events(
    rng: np.random.Generator,
    group: Group,
    requests: Ints,
    stage: Stage,
    *,
    template: str,
    client: tuple[str, str, str | None],
    client_share: float,
) -> pl.DataFrame:
    """What a pool of workers sends through ``group``: the next request as the last ends, the accounts in rotation.

    About ``client_share`` of the accounts are used through ``client``, the others through what everybody has.
    """
    duration_s = stage.duration_s
    who = np.repeat(np.arange(len(requests)), requests)
    rng.shuffle(who)
    questions = stage.texts.draw(rng, "math", len(who))
    outputs = np.clip(rng.lognormal(5.9, 0.35, len(who)), 80, 1500).astype(np.int64)
    prompts = [template + question for question in questions]
    inputs = np.array([len(prompt) // CHARS_PER_TOKEN + 8 for prompt in prompts], dtype=np.int64)
    whole, first = latencies(rng, inputs, outputs)
    workers = max(1, round(float((whole.sum() / 1000 + 0.14 * len(who)) / (duration_s - 4))))
    times = np.minimum(closed_loop(rng, whole / 1000.0, workers), duration_s - 0.001)
    frame = make_events(
        rng, group, who, Sent(times, inputs, outputs, whole, first, prompts), start=stage.start, subnets=3
    )
    own = pl.Series(rng.random(len(group.accounts))[who] < client_share)
    return frame.with_columns(
        pl.when(own).then(pl.lit(value, pl.String)).otherwise(name).alias(name)
        for name, value in zip(("user_agent", "ja4", "sdk"), client, strict=True)
    )


def draw_requests(rng: np.random.Generator, cohort: Cohort, accounts: int, mean: float) -> Ints:
    """How many requests each account sends, ``mean`` on average."""
    weights = rng.lognormal(0, cohort.spread, accounts)
    return np.asarray(rng.poisson(mean * weights / weights.mean()))


def draw_sizes(rng: np.random.Generator, cohort: Cohort, stage: Stage, count: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Input and output tokens, whole and first-token latency in ms."""
    inputs, drawn = stage.timing.sizes(rng, cohort.profile, count)
    outputs = np.maximum(1, (drawn * cohort.output_share).astype(np.int64))
    return inputs, outputs, *latencies(rng, inputs, outputs)


def _enough(rng: np.random.Generator, cohort: Cohort, stage: Stage) -> int:
    """Requests that keep the workers of one account busy for longer than the stage lasts."""
    whole = draw_sizes(rng, cohort, stage, 1000)[2]
    return int(2 * cohort.workers * stage.duration_s / (whole.mean() / 1000)) + 2 * cohort.workers


def draw_prompts(rng: np.random.Generator, cohort: Cohort, who: Ints, texts: Texts) -> list[str]:
    """A prompt for each request."""
    kinds = rng.integers(0, len(cohort.kinds), len(who))
    prompts: list[str] = [""] * len(who)
    for index, kind in enumerate(cohort.kinds):
        at = np.flatnonzero(kinds == index)
        for place, text in zip(at.tolist(), texts.draw(rng, kind, len(at)), strict=True):
            prompts[place] = cohort.prefix + text
    if cohort.repeats:
        # The same few prompts an account, whatever else was drawn.
        pool = texts.pools[cohort.kinds[0]]
        turn = rng.integers(0, cohort.repeats, len(who))
        prompts = [pool[(int(i) * 31 + int(k) * 7) % len(pool)] for i, k in zip(who, turn, strict=True)]
    return prompts


def make_events(
    rng: np.random.Generator,
    group: Group,
    who: Ints,
    sent: Sent,
    *,
    start: datetime,
    system: str | None = None,
    subnets: int = 1,
    models: Sequence[int] = (0,),
    tools: int = 0,
    end_users: int = 0,
    client: tuple[str, str, str | None] | None = None,
) -> pl.DataFrame:
    """Native events of the requests that ``group.accounts[who]`` sent."""
    count = len(who)
    network = group.network[who]
    if subnets > 1:
        hop = rng.integers(0, subnets, count)
        network = (network + hop) % len(NETWORKS)
    subnet = (group.subnet[who] + (rng.integers(0, subnets, count) if subnets > 1 else 0)) % 256
    host = rng.integers(1, 255, count) if subnets > 1 else 1 + (group.subnet[who] * 7 + who) % 250
    clients = [client] * count if client else [CLIENTS[i][:3] for i in group.client[who]]
    turns = 1 + 2 * rng.geometric(0.6, count)
    status, split = outcomes(rng, count)
    columns: dict[str, Any] = {
        "event_id": hex_ids(rng, count, "req_", 20),
        "timestamp": pl.Series((sent.times_s * 1e6).astype(np.int64)).cast(pl.Duration("us")) + pl.lit(start),
        "account_id": [group.accounts[i] for i in who],
        "model": [MODELS[models[i]] for i in rng.integers(0, len(models), count)],
        "api_key_id": [group.keys[i] for i in who],
        "user_id": [f"u{i:05d}" for i in rng.integers(0, end_users, count)] if end_users else [None] * count,
        "conversation_id": hex_ids(rng, count, "conv_", 14),
        "provider": ["aurora"] * count,
        "operation": ["chat"] * count,
        "endpoint": ["/v1/chat/completions"] * count,
        "status": status,
        "error_type": [None] * count,
        "finish_reason": [None] * count,
        "latency_ms": sent.latency_ms,
        "ttft_ms": sent.ttft_ms,
        "input_tokens": sent.input_tokens,
        "output_tokens": sent.output_tokens,
        "cached_tokens": np.where(rng.random(count) < 0.25, sent.input_tokens // 2, 0),
        "temperature": rng.choice([0.0, 0.2, 0.7, 1.0], count),
        "max_tokens": rng.choice([1024, 2048, 4096, 8192], count),
        "stream": rng.random(count) < 0.6,
        "message_count": turns,
        "tool_count": np.full(count, tools),
        "ip": [f"{NETWORKS[n][2]}.{s}.{h}" for n, s, h in zip(network, subnet, host, strict=True)],
        "asn": [NETWORKS[n][0] for n in network],
        "country": [NETWORKS[n][1] for n in network],
        "user_agent": [one[0] for one in clients],
        "ja4": [one[1] for one in clients],
        "sdk": [one[2] for one in clients],
        "system": [system] * count,
        "prompt": sent.prompts,
        "response": [_RESPONSE[: min(n * CHARS_PER_TOKEN, MAX_RESPONSE_CHARS)] for n in sent.output_tokens],
    }
    columns["timestamp"] = pl.select(columns["timestamp"]).to_series()
    return with_outcome(pl.DataFrame(columns, schema=NATIVE), status, split)
