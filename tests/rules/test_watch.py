"""Rules are taken anew when their files change; what is broken keeps its last good version, and says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeline.clock import ManualClock
from pipeline.config import RuleSettings
from pipeline.errors import ConfigError
from pipeline.metrics import Metrics
from pipeline.rules.load import RuleSet, installed
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
            self.settings, installed(self.settings), self.clock, self.metrics, self.file, self.reread
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


def test_rules_about_the_pipeline_follow_the_settings_too(world: World) -> None:
    world.settings = RuleSettings(
        directory=world.directory,
        disabled=("pipeline.rule_off",),
        parameters={"pipeline.source_silent": {"silent_minutes": 30}},
    )
    world.file.write_text("second one")
    rules = world.look()
    assert rules is not None
    assert "pipeline.rule_off" not in rules.pipeline
    assert rules.pipeline["pipeline.source_silent"].parameters["silent_minutes"] == 30
    world.settings = RuleSettings(
        directory=world.directory, parameters={"pipeline.source_silent": {"silent_minutes": 300}}
    )
    world.file.write_text("the third one")
    rules = world.look()
    assert rules is not None
    assert "pipeline.rule_off" in rules.pipeline
    assert rules.pipeline["pipeline.source_silent"].parameters["silent_minutes"] == 30  # as it last was
    assert list(world.watch.broken) == ["rule:pipeline.source_silent"]


def test_what_is_broken_at_the_start_is_said_and_taken_in_when_it_is_mended(tmp_path: Path) -> None:
    directory = write(tmp_path / "mine")
    write(directory, "bad", sql="select 1")
    with capture_logs() as logged:
        world = World(directory, RuleSettings(directory=directory, disabled=("gone",)))
    assert [one["event"] for one in logged] == ["rules_broken"]
    assert "mine" in world.watch.current.rules
    assert world.watch.current.missing == {"bad"}
    assert list(world.watch.broken) == ["rule:bad", "settings"]
    assert world.metrics.value("rules_broken") == len(world.watch.problems) > 1
    assert world.look() is None  # nothing changed
    (directory / "bad.sql").write_text(SQL)
    rules = world.look()
    assert rules is not None
    assert ("bad" in rules.rules, rules.missing, list(world.watch.broken)) == (True, frozenset(), ["settings"])


def test_a_rule_that_is_taken_away_instead_of_mended_is_no_longer_missing(tmp_path: Path) -> None:
    directory = write(tmp_path / "mine")
    write(directory, "bad", sql="select 1")
    world = World(directory, RuleSettings(directory=directory))
    for suffix in (".sql", ".yml"):
        (directory / f"bad{suffix}").unlink()
    rules = world.look()
    assert rules is not None
    assert (rules.missing, world.watch.problems) == (frozenset(), ())
