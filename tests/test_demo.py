from pipeline.demo.run import Outcome

GOOD = Outcome(
    sent=113,
    counted=100,
    duplicates=8,
    dead_lettered=5,
    planted=20,
    found=20,
    falsely_named=0,
    alerts_sent=2,
    alerts_verified=2,
)


def test_a_run_in_which_all_is_right_has_no_problems() -> None:
    assert GOOD.problems == []


def test_each_thing_that_may_be_wrong_is_named() -> None:
    wrong = Outcome(114, 100, 8, 5, 20, 18, 1, 2, 1)
    assert len(wrong.problems) == 4
    assert Outcome(113, 100, 8, 5, 0, 0, 0, 0, 0).problems
