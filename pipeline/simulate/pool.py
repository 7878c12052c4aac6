"""From a shape to a campaign's accounts and requests, over days."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulate.answers import answers
from pipeline.simulate.cohorts import Cohort
from pipeline.simulate.days import NEW_MODEL, Days, in_conversations, offsets_h, with_release
from pipeline.simulate.frame import CHARS_PER_TOKEN, latencies
from pipeline.simulate.passages import Task, lead, passage, reworded, wrap
from pipeline.simulate.population import DATACENTRES, Group, make_group
from pipeline.simulate.rhythm import HOUR_S, awake, conversations
from pipeline.simulate.seeds import generator, hex_ids
from pipeline.simulate.shapes import Range, Shape
from pipeline.simulate.timing import Floats, Ints, closed_loop
from pipeline.simulate.traffic import MAX_RESPONSE_CHARS, Sent, draw_sizes, make_events

_OUTSIDE: Final = Cohort("unrelated", 0.0, kinds=("en", "en", "code", "document", "es", "de"))
_ANSWERED: Final = 100  # requests later an answer has come, at any number of workers that a shape has
_WORK_H: Final = (3.0, 14.0)  # how long a pool of workers takes, at most what its span has


@dataclass(frozen=True, slots=True)
class _Campaign:
    """One campaign: its shape, what is drawn for it, and where its randomness goes on."""

    rng: np.random.Generator
    answering: np.random.Generator  # a stream of its own, so that all else is drawn as without it
    shape: Shape
    days: Days
    passages: tuple[tuple[Task, str], ...]
    place: str
    word: str
    client: tuple[str, str, str | None]
    cards: float
    mail: float
    own_client: float
    domains: tuple[str, ...]


def pool_events(seed: int, shape: Shape, accounts: int, days: Days) -> tuple[list[Group], pl.DataFrame]:
    """The groups of accounts (a second where the first is banned) and everything they send."""
    run = _drawn(generator(seed, "shape", shape.name), generator(seed, "answers", shape.name), shape, days)
    if not shape.second_pool:
        group = _accounts(run, accounts)
        return [group], _sent_by(run, group, shape.span)
    half = max(1, accounts // 2)
    first = _accounts(run, half)
    second = _accounts(run, accounts - half, age_days=(0.05, 2))
    middle = (shape.span[0] + shape.span[1]) / 2
    before = _sent_by(run, first, (shape.span[0], middle))
    after = _sent_by(run, second, (middle + 0.05, shape.span[1]))
    return [first, second], pl.concat([before, after])


def _between(rng: np.random.Generator, bounds: Range) -> float:
    return float(rng.uniform(*bounds))


def _drawn(rng: np.random.Generator, answering: np.random.Generator, shape: Shape, days: Days) -> _Campaign:
    name, first, second, mail = hex_ids(rng, 4, "", 12)
    libraries = ("aiohttp", "httpx", "python-requests", "axios", "undici", "curl")
    agent = f"{libraries[int(rng.integers(0, len(libraries)))]}/{name[:1]}.{int(rng.integers(0, 30))}.{name[1:3]}"
    return _Campaign(
        rng=rng,
        answering=answering,
        shape=shape,
        days=days,
        passages=tuple((task, passage(rng, task)) for task in shape.tasks),
        place=str(rng.choice(shape.places)),
        word=lead(rng),
        client=(agent, f"t13d1{int(rng.integers(100, 999))}h1_{first}_{second}", None),
        cards=_between(rng, shape.cards),
        mail=_between(rng, shape.mail),
        own_client=_between(rng, shape.own_client),
        domains=tuple(f"{mail[i : i + 5]}-mail.example" for i in range(3)),
    )


def _accounts(run: _Campaign, count: int, age_days: Range | None = None) -> Group:
    rng, shape, days = run.rng, run.shape, run.days
    group = make_group(rng, count, days.stage.start, age_days=age_days or shape.age_days, company_share=0.0)
    cards = hex_ids(rng, max(1, count // 8), "pay_", 16)
    paid, mailed = rng.random(count) < run.cards, rng.random(count) < run.mail
    card, domain = rng.integers(0, len(cards), count), rng.integers(0, len(run.domains), count)
    facts = group.facts.with_columns(
        pl.when(pl.Series(paid))
        .then(pl.Series([cards[i] for i in card]))
        .otherwise("payment_hash")
        .alias("payment_hash"),
        pl.when(pl.Series(mailed))
        .then(pl.Series([run.domains[i] for i in domain]))
        .otherwise("email_domain")
        .alias("email_domain"),
    )
    # Proxies rent in data centres; residential ones are anywhere.
    hosted = rng.random(count) < 0.5
    centre = rng.integers(DATACENTRES.start, DATACENTRES.stop, count)
    return replace(group, facts=facts, network=np.where(hosted, centre, group.network))


def _sent_by(run: _Campaign, group: Group, span: Range) -> pl.DataFrame:
    rng, shape, days = run.rng, run.shape, run.days
    count = len(group.accounts)
    requests = rng.integers(int(shape.per_account[0]), int(shape.per_account[1]) + 1, count)
    who = np.repeat(np.arange(count), requests)
    if not shape.shard:
        rng.shuffle(who)
    outputs = np.clip(rng.lognormal(5.9, 0.4, len(who)), 40, 2000).astype(np.int64)
    lengths = np.minimum(outputs * CHARS_PER_TOKEN, MAX_RESPONSE_CHARS).tolist()
    said = answers(run.answering, lengths) if shape.feeds_back else []
    systems, prompts, refused = _texts(run, who, said)
    inputs = np.array([len(prompt) // CHARS_PER_TOKEN + 8 for prompt in prompts], dtype=np.int64)
    whole, first = latencies(rng, inputs, outputs)
    times = _times(run, group, who, whole, span)
    frame = make_events(
        rng,
        group,
        who,
        Sent(times, inputs, outputs, whole, first, prompts),
        start=days.stage.start,
        subnets=shape.networks,
        end_users=shape.end_users,
    )
    own = pl.Series(rng.random(count)[who] < run.own_client)
    frame = frame.with_columns(
        pl.when(own).then(pl.lit(value, pl.String)).otherwise(name).alias(name)
        for name, value in zip(("user_agent", "ja4", "sdk"), run.client, strict=True)
    ).with_columns(
        pl.when(pl.col("response").is_not_null()).then(pl.Series("said", said)).alias("response")
        if shape.feeds_back
        else pl.col("response"),
        pl.Series("system", systems, dtype=pl.String),
        pl.Series("refused", refused),
        pl.lit(1, pl.Int64).alias("message_count"),
        pl.Series("reasoning_blobs", _blobs(run, who), dtype=pl.List(pl.String)),
    )
    frame = _pivot(run, frame) if shape.pivot else with_release(rng, frame, days, always=False)
    if shape.unrelated:
        frame = pl.concat([frame, _unrelated(run, group, requests)], how="diagonal")
    return frame


def _texts(run: _Campaign, who: Ints, said: list[str]) -> tuple[list[str | None], list[str], list[bool]]:
    """System and user prompt of each request, and whether it was refused; ``said``: what each is answered."""
    rng, shape = run.rng, run.shape
    texts, total = run.days.stage.texts, len(who)
    if shape.shard:
        pool = list(dict.fromkeys(text for kind in shape.payload for text in texts.pools[kind]))
        order = rng.permutation(len(pool))
        payload = [pool[order[i % len(pool)]] for i in range(total)]
    else:
        kind = rng.integers(0, len(shape.payload), total)
        drawn = [iter(texts.draw(rng, name, total)) for name in shape.payload]
        payload = [next(drawn[i]) for i in kind]
    if shape.feeds_back:
        payload = _fed_back(run, who, payload, said)
    if shape.shard:
        return [None] * total, payload, [False] * total
    task = rng.integers(0, len(run.passages), total)
    accounts = int(who.max()) + 1 if total else 0
    own = [
        [reworded(rng, kind, text, shape.rewording) if shape.rewording else text for kind, text in run.passages]
        for _ in range(accounts)
    ]
    asked = [own[i][k] for i, k in zip(who, task, strict=True)]
    trying = int(shape.sweep * total)
    refused = (rng.random(total) < 0.6) & (np.arange(total) < trying)
    for index in range(trying):
        name, text = run.passages[task[index]]
        asked[index] = reworded(rng, name, text, 0.6)
    pairs = [wrap(text, item, run.place, run.word) for text, item in zip(asked, payload, strict=True)]  # type: ignore[arg-type]
    return [system for system, _ in pairs], [prompt for _, prompt in pairs], refused.tolist()


def _fed_back(run: _Campaign, who: Ints, payload: list[str], said: list[str]) -> list[str]:
    """Payloads of which some are answers to earlier requests of other accounts, far enough back to have been given."""
    rng, total = run.answering, len(who)
    place = np.arange(total)
    back = np.minimum(place, rng.integers(_ANSWERED, 15 * _ANSWERED, total))
    source = place - back
    fed = (rng.random(total) < run.shape.feeds_back) & (back >= _ANSWERED) & (who[source] != who)
    return [said[source[i]] if fed[i] else payload[i] for i in range(total)]


def _times(run: _Campaign, group: Group, who: Ints, whole_ms: Ints, span: Range) -> Floats:
    """A moment for each request; ascending where workers send, so that a sweep comes first."""
    rng, shape, days = run.rng, run.shape, run.days
    duration_s = days.stage.duration_s
    begin, end = span[0] * duration_s, span[1] * duration_s
    if shape.pivot:
        begin, end = max(begin, days.release_s - 3 * HOUR_S), min(end, days.release_s + 16 * HOUR_S)
    if shape.pace == "workers":
        most_s = 0.9 * (end - begin)
        length_s = most_s if shape.pivot else min(_between(rng, _WORK_H) * HOUR_S, most_s)
        start_s = begin if shape.pivot else begin + float(rng.uniform(0, end - begin - length_s))
        work_s = float(whole_ms.sum()) / 1000 + 0.14 * len(who)
        workers = max(1, round(work_s / length_s))
        return np.minimum(start_s + closed_loop(rng, whole_ms / 1000.0, workers), duration_s - 0.001)
    if shape.pace == "office":
        zone = np.full(len(who), float(rng.choice(offsets_h(group))))
        moments = awake(rng, zone, start=days.stage.start, duration_s=duration_s, office=True)
    else:
        moments = rng.uniform(begin, end, len(who))
    return np.sort(moments)


def _pivot(run: _Campaign, frame: pl.DataFrame) -> pl.DataFrame:
    rng, days = run.rng, run.days
    after_s = (frame["timestamp"] - days.stage.start).dt.total_seconds().to_numpy() - days.release_s
    moved = pl.Series((after_s > 1800) & (rng.random(frame.height) < 0.7))
    return frame.with_columns(pl.when(moved).then(pl.lit(NEW_MODEL)).otherwise("model").alias("model"))


def _blobs(run: _Campaign, who: Ints) -> list[list[str] | None]:
    """Blocks of a stock that the pool hands round; each was made in one conversation of one account."""
    rng, shape = run.rng, run.shape
    if not shape.replay:
        return [None] * len(who)
    stock = hex_ids(rng, max(4, len(np.unique(who)) // 2), "rs_", 24)
    sent = rng.random(len(who)) < shape.replay
    picks = rng.integers(0, len(stock), (len(who), 2))
    return [[stock[a], stock[b]] if one else None for one, (a, b) in zip(sent, picks, strict=True)]


def _unrelated(run: _Campaign, group: Group, requests: Ints) -> pl.DataFrame:
    """What the same accounts send besides: a proxy's customers, or traffic to hide in."""
    rng, shape, days = run.rng, run.shape, run.days
    more = np.round(requests * shape.unrelated / (1 - shape.unrelated)).astype(np.int64)
    who = np.repeat(np.arange(len(group.accounts)), more)
    number, turn, passed = conversations(rng, who, new_share=0.3, gap_s=55.0)
    first = np.flatnonzero(turn == 0)
    stage = days.stage
    begins = awake(rng, offsets_h(group)[who[first]], start=stage.start, duration_s=stage.duration_s)
    times = np.minimum(begins[number] + passed, stage.duration_s - 0.001)
    inputs, outputs, whole, ttft = draw_sizes(rng, _OUTSIDE, stage, len(who))
    kinds = rng.integers(0, len(_OUTSIDE.kinds), len(who))
    drawn = [iter(stage.texts.draw(rng, kind, len(who))) for kind in _OUTSIDE.kinds]
    prompts = [next(drawn[i]) for i in kinds]
    frame = make_events(
        rng,
        group,
        who,
        Sent(times, inputs, outputs, whole, ttft, prompts),
        start=stage.start,
        subnets=shape.networks,
        models=(0, 1, 2),
    )
    return with_release(rng, in_conversations(rng, frame, number, turn), days, always=False)
