"""Facts about accounts into a store that no serve has open: rules look again, as they would there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.clock import Clock
from pipeline.config import Settings
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.intake import Intake
from pipeline.serve.step import Stepper
from pipeline.store import Store, read_words


def import_facts(store_path: Path, rows: Sequence[Mapping[str, object]], settings: Settings, *, clock: Clock) -> None:
    """Store checked facts and bring findings up to date; the store is made where it is missing.

    Alerts that open go to the outbox; the next serve sends them.

    Raises:
        StoreError: the store cannot be used, or is open elsewhere.
    """
    with Store.open(store_path, settings.store, clock=clock) as store:
        partitions = max(1, len(read_words(store.connection)))
        stepper = Stepper(store, load_rules(settings.rules), settings, clock, Metrics(), partitions=partitions)
        stepper.step(Intake(accounts=rows))
