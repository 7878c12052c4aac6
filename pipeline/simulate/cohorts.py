"""The benign customers: a dozen kinds, each an innocent twin of something that a distiller does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Pace = Literal["people", "bursts", "workers"]

_CODER = (
    "You are a coding agent working in the user's repository. Read files before you change them, keep changes small, "
    "run the tests, and answer with a unified diff only. Never touch files outside the workspace."
)
_TOOL = (
    "You are Marginalia, an open-source writing companion. Answer in the language of the user. Quote the passage you "
    "talk about, suggest at most three changes, and say why each helps the reader."
)
_SAAS = (
    "You are the assistant inside Ledgerly. Use only the figures of the customer's own books. Round to cents, name the "
    "account each figure comes from, and never give legal advice."
)
_JUDGE = "You grade answers. Reply with a JSON object with the keys score (1 to 5) and reason, and nothing else."


@dataclass(frozen=True, slots=True)
class Cohort:
    """One kind of customer.

    ``accounts`` is its share of all benign accounts (1 at least), ``per_minute`` requests a minute of an average
    account; ``spread`` the sigma of the log-normal that makes some accounts busier. Where the pace is ``workers`` these
    two say nothing: ``workers`` are kept busy from the beginning to the end. ``subnets``: from how many networks an
    account comes.
    """

    name: str
    accounts: float
    per_minute: float = 0.0
    pace: Pace = "people"
    profile: Literal["chat", "code"] = "chat"
    kinds: tuple[str, ...] = ("en",)
    systems: tuple[str, ...] = ()
    prefix: str = ""
    spread: float = 1.0
    workers: int = 1
    subnets: int = 1
    end_users: int = 0
    tools: int = 0
    repeats: int = 0  # > 0: the account sends the same few prompts again and again
    output_share: float = 1.0
    age_days: tuple[float, float] = (2, 1500)
    one_organisation: bool = False
    own_client: tuple[str, str, str | None] | None = None
    models: tuple[int, ...] = (0, 1, 2)


COHORTS: Final = (
    Cohort("chat", 0.66, 0.55, kinds=("en", "en", "en", "en", "es", "de", "fr", "zh", "ru", "ar"), spread=1.1),
    Cohort("coding_agent", 0.07, 2.2, "bursts", "code", ("code",), (_CODER,), tools=9, models=(3, 0)),
    Cohort(
        "batch_summariser",
        0.006,
        pace="workers",
        kinds=("document",),
        prefix="Summarise the following document.\n\n",
        workers=2,
        output_share=2.0,
        age_days=(60, 1500),
    ),
    Cohort(
        "evaluation_suite",
        0.002,
        pace="workers",
        kinds=("math", "code"),
        systems=(_JUDGE,),
        workers=3,
        output_share=0.8,
        age_days=(120, 1500),
    ),
    Cohort("ci_agent", 0.005, 3.0, "bursts", "code", ("code",), (_CODER,), subnets=40, tools=4, models=(3,)),
    Cohort(
        "rag_backfill",
        0.001,
        pace="workers",
        kinds=("document",),
        prefix="Write a one-sentence context for this chunk.\n\n",
        workers=3,
        output_share=0.3,
        age_days=(0.3, 2),
        models=(1,),
    ),
    Cohort(
        "gateway",
        0.002,
        45.0,
        kinds=("en", "es", "de", "fr", "zh", "ru", "ar", "code"),
        end_users=400,
        subnets=2,
        age_days=(200, 1500),
    ),
    Cohort(
        "failover_router",
        0.004,
        6.0,
        kinds=("en", "code"),
        end_users=30,
        own_client=("router-proxy/1.14.2", "t13d1312h2_f57a46bbacb6_9f2c4d7be101", None),
    ),
    Cohort("quality_monitor", 0.006, 0.6, kinds=("en",), repeats=3, spread=0.1, age_days=(30, 900)),
    Cohort(
        "university_lab",
        0.02,
        0.7,
        kinds=("math",),
        prefix="Solve the exercise and show every step.\n\n",
        spread=0.7,
        age_days=(3, 60),
        one_organisation=True,
    ),
    Cohort(
        "open_source_tool",
        0.11,
        0.5,
        kinds=("en", "es", "de", "fr", "document"),
        systems=(_TOOL,),
        spread=1.1,
        own_client=("marginalia/0.9.3", "t13d1517h2_8daaf6152771_b0da82dd1658", "marginalia/0.9.3"),
    ),
    Cohort(
        "saas_product",
        0.05,
        0.6,
        kinds=("document", "en"),
        systems=(_SAAS,),
        spread=1.0,
        one_organisation=True,
        own_client=("Ledgerly/4.2", "t13d1611h2_46e7e9700bed_71c52d8e0a4f", None),
    ),
)
