"""Rules are taken anew when their files change; what is broken keeps its last good version, and says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.config import RuleSettings
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet, load_rules
from pipeline.rules.watch import LOOK_EVERY_S, RuleWatch
from pipeline.testing import START
from tests.rules.test_load import SQL, YAML, write


@dataclass
class World:
    """A directory of rules, settings that a test changes, and the watch over both."""

    directory: Path
    settings: RuleSettings
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    metrics: Metrics = field(default_factory=Metrics)
    wrong: str = ""

    def __post_init__(self) -> None:
        self.file = self.directory.parent / "stillwatch.toml"
        self.file.write_text("first")
        self.watch = RuleWatch(
            self.settings, load_rules(self.settings), self.clock, self.metrics, self.file, self.reread
        )

    def reread(self) -> RuleSettings:
        if self.wrong:
            raise ConfigError(self.wrong)
        return self.settings

    def look(self) -> RuleSet | None:
        """What comes of two looks, as far apart as they are."""
        found = None
        for _ in range(2):
            self.clock.advance(LOOK_EVERY_S)
            found = self.watch.changed() or found
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    directory = write(tmp_path / "mine")
    write(directory, "other")
    return World(directory, RuleSettings(directory=directory))


def test_nothing_new_is_no_change(world: World) -> None:
    assert world.look() is None
    world.directory.joinpath("mine.yml").write_text(YAML)  # saved again, the same
    assert world.look() is None
    assert world.metrics.value("rules_reloaded") == 0


def test_a_new_a_changed_and_a_removed_rule_are_taken(world: World) -> None:
    write(world.directory, "third")
    world.directory.joinpath("mine.yml").write_text(YAML.replace("default: 3", "default: 5"))
    for suffix in (".sql", ".yml"):
        world.directory.joinpath(f"other{suffix}").unlink()
    rules = world.look()
    assert rules is not None
    assert {"mine", "third", "shared_prompt"} <= rules.rules.keys()
    assert "other" not in rules.rules
    assert rules.rules["mine"].parameters == {"least": 5}
    assert world.metrics.value("rules_reloaded") == 1


def test_a_file_that_is_still_being_written_is_not_read(world: World) -> None:
    world.directory.joinpath("mine.yml").write_text("title: half")
    world.clock.advance(LOOK_EVERY_S)
    assert world.watch.changed() is None
    world.directory.joinpath("mine.yml").write_text(YAML.replace("default: 3", "default: 5"))
    rules = world.look()
    assert rules is not None
    assert rules.rules["mine"].parameters == {"least": 5}
    assert world.watch.problems == ()


def test_a_broken_file_keeps_the_last_good_version_and_says_so(world: World) -> None:
    world.directory.joinpath("mine.sql").write_text("select 1; drop table signal")
    write(world.directory, "third")
    rules = world.look()
    assert rules is not None
    assert rules.rules["mine"].sql == SQL
    assert "third" in rules.rules  # the others are not held up
    assert "exactly one SELECT" in "; ".join(world.watch.problems)
    assert world.metrics.value("rules_broken") == 1
    world.directory.joinpath("mine.sql").write_text(SQL + "-- mended\n")
    rules = world.look()
    assert rules is not None
    assert rules.rules["mine"].sql.endswith("mended\n")
    assert (world.watch.problems, world.metrics.value("rules_broken")) == ((), 0)


def test_a_directory_that_goes_away_keeps_all_rules(world: World) -> None:
    world.directory.rename(world.directory.with_name("away"))
    assert world.look() is None
    assert {"mine", "other"} <= world.watch.current.rules.keys()
    assert "no such directory" in world.watch.problems[0]


def test_settings_are_read_again_with_their_file(world: World) -> None:
    world.settings = RuleSettings(
        directory=world.directory, disabled=("shared_client",), parameters={"mine": {"least": 9}}
    )
    world.file.write_text("second one")
    rules = world.look()
    assert rules is not None
    assert "shared_client" not in rules.rules
    assert rules.rules["mine"].parameters == {"least": 9}
    world.wrong = "the settings cannot be used: rules.nonsense"
    world.file.write_text("third one..")
    assert world.look() is None
    assert world.watch.problems == (world.wrong,)


def test_a_parameter_out_of_range_keeps_the_rule_as_it_was(world: World) -> None:
    world.settings = RuleSettings(directory=world.directory, parameters={"mine": {"least": 90}})
    world.file.write_text("second one")
    assert world.look() is None
    assert world.watch.current.rules["mine"].parameters == {"least": 3}
    assert "outside 1…10" in world.watch.problems[0]
