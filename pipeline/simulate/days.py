"""The requests of benign customers over days: conversations by daylight, nightly jobs, monitors on the half hour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from pipeline.simulate.answers import chained
from pipeline.simulate.neighbours import DELICATE, Neighbour
from pipeline.simulate.population import NETWORKS, Group, make_group
from pipeline.simulate.rhythm import DAY_S, HOUR_S, OFFSET_H, awake, conversations, job_starts
from pipeline.simulate.seeds import generator, hex_ids
from pipeline.simulate.timing import Floats, Ints, closed_loop
from pipeline.simulate.traffic import Sent, Stage, draw_prompts, draw_requests, draw_sizes, make_events
from pipeline.simulate.twins import built, moved, pasted, refused_now_and_then

NEW_MODEL: Final = "aurora-5"
# What native events have besides the columns of every simulation.
EXTRA: Final = pl.Schema({"refused": pl.Boolean(), "reasoning_blobs": pl.List(pl.String)})
_PICKED_UP: Final = 0.2  # of ordinary requests go to the new model a day after its release


@dataclass(frozen=True, slots=True)
class Days:
    """A stage that lasts days, with the moment at which a new model is released."""

    stage: Stage
    release_s: float


def neighbour_events(
    seed: int, neighbour: Neighbour, accounts: int, days: Days, *, rate: float
) -> tuple[Group, pl.DataFrame]:
    """The accounts of one cohort and what they send, in no particular order."""
    cohort, stage = neighbour.cohort, days.stage
    rng = generator(seed, "neighbour", cohort.name)
    count = max(2 if neighbour.behind_one else 1, round(cohort.accounts * accounts))
    organisation = cohort.name.replace("_", "-") if cohort.one_organisation else None
    share = 0.0 if neighbour.mail_domain else 0.3
    group = make_group(
        rng, count, stage.start, age_days=cohort.age_days, organisation=organisation, company_share=share
    )
    group = _placed(rng, group, neighbour)
    if cohort.pace == "workers":
        who, sent, turn, number = _jobs(rng, neighbour, group, days)
    elif neighbour.every_s:
        who, sent, turn, number = _monitors(rng, neighbour, group, stage)
    else:
        who, sent, turn, number = _people(rng, neighbour, group, stage, rate)
    frame = make_events(
        rng,
        group,
        who,
        sent,
        start=stage.start,
        system=cohort.systems[0] if cohort.systems else None,
        subnets=cohort.subnets,
        models=cohort.models,
        tools=cohort.tools,
        end_users=cohort.end_users,
        client=cohort.own_client,
    )
    frame = in_conversations(rng, frame, number, turn)
    if neighbour.chained:
        answering = generator(seed, "answers", cohort.name)
        frame = chained(answering, frame, neighbour.chained, share=0.5, behind=2 * cohort.workers)
    # Streams of their own, so that all else is drawn as without them.
    if neighbour.pasted:
        frame = pasted(generator(seed, "answers", cohort.name), frame, neighbour.pasted, share=0.5)
    frame = refused_now_and_then(generator(seed, "refused", cohort.name), frame)
    if neighbour.builds:
        building = generator(seed, "building", cohort.name)
        frame = built(building, frame, DELICATE, tries=neighbour.builds)
    frame = with_release(rng, frame, days, always=neighbour.after_release)
    if neighbour.moves_within_h:
        moving = generator(seed, "moving", cohort.name)
        frame = moved(moving, frame, NEW_MODEL, _after_s(frame, days), within_s=neighbour.moves_within_h * HOUR_S)
    return group, frame


def in_conversations(rng: np.random.Generator, frame: pl.DataFrame, number: Ints, turn: Ints) -> pl.DataFrame:
    """Conversation ids and lengths; a tenth of the conversations hand the reasoning of their last turn back."""
    total = int(number.max()) + 1 if len(number) else 0
    ids = pl.Series(hex_ids(rng, total, "conv_", 14), dtype=pl.String)
    thinking = rng.random(total) < 0.1
    held = pl.Series(turn > 0) & pl.Series(thinking[number])
    return (
        frame.with_columns(
            ids.gather(number).alias("conversation_id"),
            pl.Series("message_count", 1 + 2 * turn),
            pl.Series("_turn", turn),
            refused=pl.lit(None, pl.Boolean),
        )
        .with_columns(
            pl.when(held)
            .then(pl.concat_list(pl.format("rs_{}_{}", "conversation_id", pl.col("_turn") - 1)))
            .alias("reasoning_blobs")
        )
        .drop("_turn")
    )


def with_release(rng: np.random.Generator, frame: pl.DataFrame, days: Days, *, always: bool) -> pl.DataFrame:
    """Some requests, ever more in the day after the release, go to the new model."""
    after_s = _after_s(frame, days)
    share = np.clip(after_s / DAY_S, 0, 1) * _PICKED_UP
    moved = (after_s > 0) & (always | (rng.random(frame.height) < share))
    return frame.with_columns(pl.when(pl.Series(moved)).then(pl.lit(NEW_MODEL)).otherwise("model").alias("model"))


def _after_s(frame: pl.DataFrame, days: Days) -> Floats:
    """Seconds since the release of the new model."""
    passed_s: Floats = (frame["timestamp"] - days.stage.start).dt.total_seconds().to_numpy().astype(np.float64)
    return passed_s - days.release_s


def offsets_h(group: Group) -> Floats:
    """Hours ahead of UTC of each account, by its network's country."""
    return np.array([OFFSET_H.get(NETWORKS[n][1], 0.0) for n in group.network], dtype=np.float64)


def _placed(rng: np.random.Generator, group: Group, neighbour: Neighbour) -> Group:
    count = len(group.accounts)
    if neighbour.behind_one:
        home = int(rng.integers(0, len(NETWORKS)))
        subnet = int(rng.integers(0, 254))
        group = replace(
            group,
            network=np.full(count, home),
            subnet=subnet + rng.integers(0, 2, count),
        )
    if neighbour.mail_domain:
        mail = pl.lit(neighbour.mail_domain).alias("email_domain")
        group = replace(group, facts=group.facts.with_columns(mail))
    return group


def _people(
    rng: np.random.Generator, neighbour: Neighbour, group: Group, stage: Stage, rate: float
) -> tuple[Ints, Sent, Ints, Ints]:
    cohort = neighbour.cohort
    count = len(group.accounts)
    requests = draw_requests(rng, cohort, count, cohort.per_minute * rate * stage.duration_s / 60)
    who = np.repeat(np.arange(count), requests)
    quick = cohort.pace == "bursts"
    number, turn, passed = conversations(rng, who, new_share=0.08 if quick else 0.3, gap_s=9.0 if quick else 55.0)
    first = np.flatnonzero(turn == 0)
    begins = awake(rng, offsets_h(group)[who[first]], start=stage.start, duration_s=stage.duration_s)
    times = np.minimum(begins[number] + passed, stage.duration_s - 0.001) if len(who) else passed
    return who, _sent(rng, neighbour, who, times, stage), turn, number


def _monitors(
    rng: np.random.Generator, neighbour: Neighbour, group: Group, stage: Stage
) -> tuple[Ints, Sent, Ints, Ints]:
    rounds = int(stage.duration_s // neighbour.every_s)
    who = np.repeat(np.arange(len(group.accounts)), rounds)
    phase = rng.uniform(0, neighbour.every_s, len(group.accounts))
    times = np.tile(np.arange(rounds) * neighbour.every_s, len(group.accounts)) + phase[who]
    times = np.minimum(times + rng.uniform(0, 4, len(who)), stage.duration_s - 0.001)
    return who, _sent(rng, neighbour, who, times, stage), np.zeros(len(who), dtype=np.int64), np.arange(len(who))


def _jobs(rng: np.random.Generator, neighbour: Neighbour, group: Group, days: Days) -> tuple[Ints, Sent, Ints, Ints]:
    stage, cohort = days.stage, neighbour.cohort
    owners, times = [], []
    # A loop over accounts and their nights, of which such cohorts have a handful.
    for index, offset in enumerate(offsets_h(group).tolist()):
        length_s = 60 * float(rng.uniform(*neighbour.job_minutes))
        if neighbour.after_release:
            begins = np.array([days.release_s + float(rng.uniform(0, 4 * HOUR_S))])
        else:
            begins = job_starts(
                rng,
                hour=float(rng.uniform(*neighbour.hour)),
                offset_h=offset,
                start=stage.start,
                duration_s=stage.duration_s,
                jitter_s=300.0,
            )
            if cohort.name == "rag_backfill":
                begins = begins[:1]
        for begin in begins.tolist():
            whole = draw_sizes(rng, cohort, stage, max(8, int(cohort.workers * length_s)))[2]
            run = closed_loop(rng, whole / 1000.0, cohort.workers)
            run = run[(run < length_s) & (begin + run < stage.duration_s)]
            times.append(begin + run)
            owners.append(np.full(len(run), index))
    who = np.concatenate([np.empty(0, dtype=np.int64), *owners]).astype(np.int64)
    moments = np.concatenate([np.empty(0), *times])
    return who, _sent(rng, neighbour, who, moments, stage), np.zeros(len(who), dtype=np.int64), np.arange(len(who))


def _sent(rng: np.random.Generator, neighbour: Neighbour, who: Ints, times: Floats, stage: Stage) -> Sent:
    cohort = neighbour.cohort
    inputs, outputs, whole, first = draw_sizes(rng, cohort, stage, len(who))
    prompts = draw_prompts(rng, cohort, who, stage.texts)
    if neighbour.common:
        sheet = [cohort.prefix + text for text in stage.texts.draw(rng, cohort.kinds[0], neighbour.common)]
        prompts = [sheet[i] for i in rng.integers(0, len(sheet), len(who))]
    return Sent(times, inputs, outputs, whole, first, prompts)
