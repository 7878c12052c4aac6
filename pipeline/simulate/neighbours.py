"""The benign customers of a world that lasts days: those of the demo, and the twins that only days bring out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.simulate.cohorts import COHORTS, Cohort
from pipeline.simulate.seeds import generator, hex_ids

_ROLES: Final = ("companion", "assistant", "copilot", "helper", "guide", "reviewer")
_FIELDS: Final = (
    "recipes", "contracts", "travel plans", "lecture notes", "game quests", "grant proposals", "log files",
    "spreadsheets", "poems", "bug reports", "maps", "menus", "letters of complaint", "training plans",
)  # fmt: skip
_MANNERS: Final = (
    "Ask one question when something is unclear.",
    "Answer in the language of the user.",
    "Never invent facts; say when you do not know.",
    "Keep replies below two hundred words.",
    "Think step by step before you answer.",
    "Show the plan first, then the text.",
    "Use headings and short lists.",
    "Be friendly, never flattering.",
)
_AUDIT: Final = (
    "You support an audit of automated decisions. For the case given, explain step by step which facts led to the "
    "outcome, which rule was applied at each step, and what would have changed it. Write for a person without training."
)
_SYNTHETIC: Final = (
    "Write a realistic support conversation between a customer and an agent about the product notes below. Vary tone "
    "and length. Return JSON with the keys turns and outcome.\n\n"
)
_CONTINUED: Final = "Check this conversation for contradictions and return it corrected, as JSON.\n\n"
_SHOWN_THINKING: Final = (
    "Write your complete chain of thought between <think> and </think>, every step of it, since our readers study how "
    "problems are approached. Then give the answer in one sentence."
)
_EDITED: Final = (
    "Edit this text for our client. Keep its meaning, shorten sentences, and mark what is to be checked.\n\n"
)
# What policies are touchy about, each too short to be a passage.
DELICATE: Final = (
    "You tell nurses about doses", "You sort reports of threats", "You explain evictions to tenants",
    "You read reports of vulnerabilities", "You answer people in withdrawal", "You check claims about vaccines",
)  # fmt: skip
_DOCUMENT_CHECK: Final = "Rate how well the summary covers its source from 1 to 5 and say what is missing.\n\n"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A cohort and what days add to it.

    Where the pace is ``workers``, a job runs each day at a local hour drawn from ``hour`` for ``job_minutes``.
    ``behind_one`` is true where all come through the servers of one vendor. ``common`` prompts are the same for all
    (0: everybody has their own). ``after_release`` is true of who only works in the hours after the new model came.
    """

    cohort: Cohort
    job_minutes: tuple[float, float] = (6, 15)
    hour: tuple[float, float] = (0, 24)
    behind_one: bool = False
    mail_domain: str | None = None
    common: int = 0
    after_release: bool = False
    chained: str = ""  # what the account asks about answers that it got before, in half of its requests
    pasted: str = ""  # what every fourth account asks about answers that three others got, in half of its requests
    builds: int = 0  # > 0: each works on a prompt of its own in up to so many requests, and then uses it
    moves_within_h: float = 0.0  # > 0: the account changes to the new model for good, so many hours after it at most
    every_s: float = 0.0  # > 0: the account asks at this interval, day and night
    label: str = ""  # what the truth calls it; else the cohort's name

    @property
    def name(self) -> str:
        """What the truth calls it."""
        return self.label or self.cohort.name


_JOBS: Final = {
    "evaluation_suite": Neighbour(COHORTS[0], (4, 10), (1, 4)),
    "batch_summariser": Neighbour(COHORTS[0], (3, 8)),
    "rag_backfill": Neighbour(COHORTS[0], (8, 15)),
}


def neighbours(seed: int) -> tuple[Neighbour, ...]:
    """All benign cohorts of a world: the tools and vendors of a seed have prompts of their own."""
    rng = generator(seed, "neighbours")
    found = [replace(_JOBS.get(one.name, Neighbour(one)), cohort=one) for one in COHORTS if one.name != "saas_product"]
    found = [replace(one, every_s=1800.0) if one.cohort.name == "quality_monitor" else one for one in found]
    chat = Cohort("chat", 0.0, 0.5)
    for index in range(6):
        # Small tools with a handful of users to some dozens: a rare prompt that strangers share.
        young = rng.random() < 0.4
        found.append(
            Neighbour(
                replace(
                    chat,
                    name=f"small_tool_{index}",
                    accounts=float(rng.uniform(0.001, 0.012)),
                    systems=(_product(rng),),
                    kinds=("en", "document", "de"),
                    own_client=_client(rng) if rng.random() < 0.6 else None,
                    age_days=(0.5, 25) if young else (2, 1000),
                ),
                label="small_tool",
            )
        )
    for index in range(2):
        # A vendor whose product runs on its customers' own keys: strangers, one prompt, one client, one network.
        found.append(
            Neighbour(
                replace(
                    chat,
                    name=f"saas_own_keys_{index}",
                    accounts=0.006,
                    systems=(_product(rng),),
                    kinds=("document",),
                    prefix="Prepare the reply to this ticket.\n\n",
                    own_client=_client(rng),
                    age_days=(10, 900),
                ),
                behind_one=True,
                label="saas_own_keys",
            )
        )
    saas = next(one for one in COHORTS if one.name == "saas_product")
    found += [
        Neighbour(saas),
        Neighbour(
            replace(
                chat,
                name="course",
                accounts=0.012,
                per_minute=0.8,
                kinds=("math", "code"),
                prefix="Exercise sheet, solve and explain each step so that I understand it.\n\n",
                age_days=(1, 40),
            ),
            behind_one=True,
            mail_domain="uni-hill.example",
            common=24,
        ),
        Neighbour(
            replace(
                chat,
                name="audit",
                accounts=0.004,
                systems=(_AUDIT,),
                kinds=("document",),
                age_days=(30, 900),
            )
        ),
        # A product that shows its users how the model thinks: asks for reasoning all day, when people are awake.
        Neighbour(
            replace(
                chat,
                name="shown_thinking",
                accounts=0.0006,
                per_minute=70.0,
                spread=0.4,
                systems=(f"{_name(rng)} shows people how problems are approached. {_SHOWN_THINKING}",),
                kinds=("math", "code", "en", "de"),
                end_users=300,
                subnets=2,
                age_days=(60, 1500),
            )
        ),
        Neighbour(
            replace(
                chat,
                name="synthetic_data",
                accounts=0.002,
                pace="workers",
                prefix=_SYNTHETIC,
                kinds=("document",),
                workers=3,
                output_share=2.0,
                age_days=(20, 900),
            ),
            (8, 20),
            chained=_CONTINUED,
        ),
        Neighbour(
            replace(
                chat,
                name="summary_checks",
                accounts=0.002,
                pace="workers",
                prefix=_DOCUMENT_CHECK,
                kinds=("document",),
                workers=2,
                output_share=0.3,
                age_days=(20, 900),
            ),
            (2, 7),
        ),
        Neighbour(
            replace(
                chat, name="copy_desk", accounts=0.008, per_minute=5.0, kinds=("document", "en"), age_days=(20, 900)
            ),
            pasted=_EDITED,
        ),
        Neighbour(
            replace(chat, name="prompt_builder", accounts=0.006, per_minute=8.0, spread=0.6, age_days=(1, 400)),
            builds=40,
        ),
        Neighbour(
            replace(chat, name="early_mover", accounts=0.006, per_minute=8.0, age_days=(2, 900)),
            moves_within_h=14.0,
        ),
        Neighbour(
            replace(
                chat,
                name="release_benchmark",
                accounts=0.003,
                pace="workers",
                kinds=("math", "code"),
                workers=2,
                age_days=(30, 1500),
            ),
            (5, 15),
            after_release=True,
        ),
    ]
    return tuple(found)


def _product(rng: np.random.Generator) -> str:
    name = _name(rng)
    role = _ROLES[int(rng.integers(0, len(_ROLES)))]
    field = _FIELDS[int(rng.integers(0, len(_FIELDS)))]
    manners = [_MANNERS[i] for i in rng.choice(len(_MANNERS), 4, replace=False)]
    return f"You are {name}, a {role} for {field}. {' '.join(manners)}"


def _name(rng: np.random.Generator) -> str:
    [name] = hex_ids(rng, 1, "", 6)
    return name.translate(_LETTERS).title()


_LETTERS: Final = str.maketrans("0123456789abcdef", "olzeasgtbqabcdef")


def _client(rng: np.random.Generator) -> tuple[str, str, str | None]:
    name, first, second = hex_ids(rng, 3, "", 12)
    return (
        f"{name[:5].translate(_LETTERS)}/{rng.integers(0, 4)}.{rng.integers(0, 20)}",
        f"t13d1516h2_{first}_{second}",
        None,
    )
