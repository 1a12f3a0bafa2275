"""A card states figures of the very agents that are exported."""

import json
import os
import shutil

import pytest

from waltzjax.export.facts import checks_of
from waltzjax.export.measured import check_measured
from waltzjax.export.pair import export_run
from waltzjax.export.source import read_run
from waltzjax.run.agent_sums import record_sums

WEIGHTS = "feedback/model.safetensors"
DAY = 86_400


@pytest.fixture
def staged(run, tmp_path):
    """A run of two stages: evaluated after each, at times of its own."""
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "stages": ["stage1", "stage2"]}))
    shutil.copytree(copy / "base", copy / "stage1/feedback")
    (copy / "evaluations").mkdir()
    (copy / "evaluations/stage2.json").write_text("{}")
    return copy


def age(path, seconds):
    os.utime(path, (path.stat().st_mtime + seconds,) * 2)


def refused(run, tmp_path, says):
    with pytest.raises(ValueError, match=says):
        export_run(read_run(run), tmp_path / "out", "", merges=False)
    assert not (tmp_path / "out").exists()


def test_agents_that_were_evaluated_are_no_problem(staged):
    check_measured(read_run(staged))
    age(staged / WEIGHTS, 3)  # a copy writes in another order
    check_measured(read_run(staged))


@pytest.mark.parametrize("measured", ["evaluations/stage2.json", "final_validation_results.json"])
def test_weights_that_are_newer_than_their_figures_are_refused(measured, staged, tmp_path):
    """Another command may renew the file of results, which measures nothing again."""
    if "final" in measured:
        shutil.rmtree(staged / "evaluations")
    else:
        age(staged / "final_validation_results.json", DAY)
    age(staged / WEIGHTS, 60)
    says = rf"{WEIGHTS} is \d+ s newer than .*{measured}(.|\n)*same train command(.|\n)*--agent=DIR"
    refused(staged, tmp_path, says)


def test_an_earlier_stages_weights_are_refused_whatever_their_time(staged, tmp_path):
    shutil.copy2(staged / "stage1" / WEIGHTS, staged / WEIGHTS)
    age(staged / WEIGHTS, -DAY)
    refused(
        staged, tmp_path, "feedback has the weights of stage1/feedback, which stage2 went on from"
    )


def test_sums_that_the_run_recorded_decide_whatever_the_times(staged, tmp_path):
    record_sums(staged, ("conversation", "feedback"))
    age(staged / WEIGHTS, DAY)
    check_measured(read_run(staged))
    shutil.copy2(staged / "conversation/model.safetensors", staged / WEIGHTS)
    age(staged / WEIGHTS, -2 * DAY)
    refused(staged, tmp_path, r"feedback has other files than were evaluated .*agent_sums.json")


def with_checks(run, **about):
    path = run / "final_validation_results.json"
    results = {**json.loads(path.read_text()), "checks": [{"name": "asr"}], "validation": about}
    path.write_text(json.dumps(results))
    return read_run(run)


def test_checks_that_are_older_than_the_weights_are_refused(staged):
    check_measured(with_checks(staged, date="2999-01-01T00:00:00+00:00"))
    with pytest.raises(ValueError, match="newer than the checks of the validation suite"):
        check_measured(with_checks(staged, date="2020-01-01T00:00:00+00:00"))


def test_checks_have_their_date_and_what_they_were_of(staged):
    date = "2026-12-01T04:30:00+00:00"
    own = with_checks(staged, date=date, subject=f"the run {staged}", evaluation="/a/stage2.json")
    assert checks_of(own) == f"{date}, of the agents of a run; evaluation: stage2.json"
    others = with_checks(staged, date=date, subject="/home/alice/a and b", evaluation="played now")
    assert checks_of(others) == f"{date}, of (a path); evaluation: played now"
    assert "not recorded" in checks_of(with_checks(staged))
