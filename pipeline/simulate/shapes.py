"""The shapes of campaigns that evaluation plants, each after one that a provider reported.

A shape is a record of knobs; ``pool.py`` makes traffic of it. What a campaign says, where its passage stands, how much
its accounts have in common and how old they are is drawn anew for each seed within the bounds given here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from pipeline.simulate.passages import Place, Task

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of campaign.

    ``per_account``: distilling requests an account over the whole time. ``unrelated``: share of an account's traffic
    that has nothing to do with it. ``rewording``: how far each account's passage differs from the campaign's (0: not).
    ``cards``, ``mail``, ``own_client``: shares of accounts that have a payment, a mail domain, a client in common with
    others of the pool, drawn between two bounds.
    """

    name: str
    number: int
    about: str
    accounts: int
    per_account: Range
    tasks: tuple[Task, ...] = ("elicitation",)
    places: tuple[Place, ...] = ("system", "before", "after", "around")
    payload: tuple[str, ...] = ("math", "code", "en")
    pace: Literal["workers", "office", "spread"] = "workers"
    span: Range = (0.0, 1.0)  # part of the simulated time in which it runs
    unrelated: float = 0.0
    rewording: float = 0.0
    shard: bool = False  # no two requests have a payload in common
    feeds_back: float = 0.0  # share of requests about answers that other accounts of the pool got
    replay: float = 0.0  # share of requests that carry reasoning blocks made elsewhere in the pool
    sweep: float = 0.0  # share of requests that try variants of the passage before one is frozen
    pivot: bool = False  # moves to the new model within hours of its release
    second_pool: bool = False  # the first is banned half-way, another takes over
    end_users: int = 0
    cards: Range = (0.15, 0.5)
    mail: Range = (0.15, 0.5)
    own_client: Range = (0.3, 0.9)
    networks: int = 3
    age_days: Range = (0.5, 30)


SHAPES: Final = (
    Shape("fixed_prompt", 1, "one fixed prompt injected into every request", 100, (20, 60)),
    Shape(
        "proxy_network",
        2,
        "a network of proxies: a tenth of its traffic distils, the rest is its customers'",
        100,
        (8, 12),
        unrelated=0.9,
        pace="spread",
        own_client=(0.0, 0.3),
        age_days=(5, 200),
    ),
    Shape(
        "many_users",
        3,
        "very many accounts with about four requests each",
        400,
        (2, 7),
        pace="spread",
        own_client=(0.2, 0.6),
    ),
    Shape(
        "grading",
        4,
        "rubric grading and cleaning of traces over some hundred accounts",
        100,
        (15, 50),
        ("grading", "cleaning"),
        payload=("document", "math"),
        feeds_back=0.6,
    ),
    Shape(
        "replay",
        5,
        "opaque reasoning blocks of one conversation sent again in others, under other accounts",
        60,
        (10, 30),
        ("plain",),
        replay=0.5,
        pace="spread",
    ),
    Shape("sweep", 6, "variants are tried, most are refused, then one is frozen and scaled", 80, (20, 60), sweep=0.2),
    Shape("pivot", 7, "moves to a new model within a day of its release", 80, (20, 60), pivot=True),
    Shape("second_pool", 8, "a second pool takes over after the first was banned", 120, (20, 50), second_pool=True),
    Shape(
        "shards",
        9,
        "one data set, each account works on a part of its own; no passage",
        80,
        (25, 60),
        ("plain",),
        payload=("math", "code"),
        shard=True,
    ),
    Shape(
        "relay",
        10,
        "one account behind which many end users in many languages send one campaign's requests",
        1,
        (2500, 4000),
        payload=("en", "es", "de", "fr", "zh", "ru", "math", "code"),
        end_users=300,
        cards=(0, 0),
        mail=(0, 0),
        own_client=(1, 1),
        networks=40,
    ),
    Shape(
        "adaptive",
        11,
        "rewords for each account, keeps office hours, dilutes, rotates networks, shares little",
        100,
        (15, 40),
        pace="office",
        unrelated=0.5,
        rewording=0.4,
        cards=(0.0, 0.1),
        mail=(0.0, 0.1),
        own_client=(0, 0),
        networks=12,
        age_days=(10, 200),
    ),
    Shape(
        "one_account",
        12,
        "one large account",
        1,
        (3000, 5000),
        cards=(0, 0),
        mail=(0, 0),
        own_client=(1, 1),
    ),
)


def adaptive(cost: int) -> Shape:
    """Campaign (11) at a cost from 0 (nothing is hidden) to 4 (all of it), each step one precaution more."""
    [base] = [shape for shape in SHAPES if shape.name == "adaptive"]
    open_ = replace(
        base,
        name=f"adaptive_{cost}",
        pace="workers",
        unrelated=0.0,
        rewording=0.0,
        cards=(0.15, 0.5),
        mail=(0.15, 0.5),
        own_client=(0.3, 0.9),
        networks=3,
        age_days=(0.5, 30),
    )
    steps: tuple[dict[str, object], ...] = (
        {"own_client": (0, 0), "networks": 12},
        {"pace": "office", "age_days": (10, 200)},
        {"unrelated": 0.5, "cards": (0, 0.1), "mail": (0, 0.1)},
        {"rewording": 0.4},
    )
    for step in steps[:cost]:
        open_ = replace(open_, **step)  # type: ignore[arg-type]
    return open_


def find_shape(name: str) -> Shape:
    """The shape of that name; KeyError where there is none."""
    found = {shape.name: shape for shape in (*SHAPES, *(adaptive(cost) for cost in range(5)))}
    return found[name]
