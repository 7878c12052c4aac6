"""Traffic to a file, with the truth and the accounts' facts beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.simulate.generate import DEFAULT_START, plan


@dataclass(frozen=True, slots=True)
class Written:
    """What stands where."""

    out: Path
    truth: Path
    accounts: Path
    messages: int

    def __str__(self) -> str:
        return f"{self.messages} messages in {self.out}; truth: {self.truth}; account facts: {self.accounts}"


def write_simulation(
    scenario: str,
    *,
    seed: int,
    out: Path,
    start: datetime = DEFAULT_START,
    duration: timedelta | None = None,
    accounts: int | None = None,
    prompts: Path | None = None,
    traces: Path | None = None,
) -> Written:
    """Write ``out`` (NDJSON), its truth.json and its accounts.ndjson, replacing what is there.

    ``accounts`` is the size of the planted campaign. Raises what ``plan`` raises, and OSError from the disk.
    """
    planned = plan(
        scenario,
        seed=seed,
        start=start,
        duration=duration,
        campaign_accounts=accounts,
        prompts=prompts,
        traces=traces,
    )
    written = Written(
        out,
        out.with_name(out.stem + ".truth.json"),
        out.with_name(out.stem + ".accounts.ndjson"),
        planned.truth.messages,
    )
    with out.open("wb") as file:
        for chunk in planned.chunks():
            file.write(chunk.ndjson())
    planned.truth.write(written.truth)
    written.accounts.write_bytes(planned.facts_ndjson())
    return written
