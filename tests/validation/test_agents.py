"""Whose evaluation a run has: that of the agents that lie in it, byte by byte."""

import os
import shutil

import pytest

from waltzjax.run.agent_sums import SUMS, changed_agents, file_sums, record_sums
from waltzjax.validation.agents import agents_of, played_in

ROLES = ("conversation", "feedback")


@pytest.fixture
def run(tmp_path):
    workdir = tmp_path / "run"
    for role in ROLES:
        (workdir / role / "deep").mkdir(parents=True)
        (workdir / role / "model").write_text(role)
        (workdir / role / "deep/config").write_text("abc")
    (workdir / "evaluations").mkdir()
    (workdir / "config.json").write_text("{}")
    record_sums(workdir, ROLES)
    (workdir / "evaluations/last.json").write_text("[]")  # damaged: whoever reads it says so
    return workdir


def test_sums_are_those_of_the_standard(run):
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    sums = file_sums(run / "feedback")
    assert sums["deep/config"] == abc and list(sums) == ["deep/config", "model"]


def test_a_copy_has_the_same_agents_whatever_its_dates(run, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(run, copied, copy_function=shutil.copyfile)
    assert changed_agents(copied, ROLES) == []
    with pytest.raises(ValueError, match="--fresh plays the agents again"):
        played_in(copied, "last", agents_of(copied))  # it is read


@pytest.mark.parametrize("change", ["bytes", "more", "less", "renamed", "exchanged"])
def test_other_files_are_another_agent_whatever_their_dates(change, run, capsys):
    model = run / "feedback/model"
    if change == "bytes":
        model.write_text("feedbacK")
    elif change == "more":
        (run / "feedback/adapter").write_text("")
    elif change == "less":
        (run / "feedback/deep/config").unlink()
    elif change == "renamed":
        model.rename(run / "feedback/model2")
    else:
        model.write_text((run / "conversation/model").read_text())
    for path in run.rglob("*"):
        os.utime(path, (1, 1))
    assert played_in(run, "last", agents_of(run)) is None
    assert "the feedback agent has other files" in capsys.readouterr().out


def test_an_older_run_goes_by_dates_and_says_so(run, capsys):
    (run / SUMS).unlink()
    assert changed_agents(run, ROLES) is None
    os.utime(run / "feedback/model", (2**31, 2**31))
    assert played_in(run, "last", agents_of(run)) is None
    shown = capsys.readouterr().out
    assert "by dates alone" in shown and "the feedback agent is newer" in shown


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_record_is_named(content, run):
    (run / SUMS).write_text(content)
    with pytest.raises(ValueError, match=r"agent_sums.json is not .*; --fresh plays"):
        played_in(run, "last", agents_of(run))


def test_agents_without_files_are_named(run):
    (run / "feedback/link").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="feedback/link is a link to nothing"):
        agents_of(run)
    shutil.rmtree(run / "conversation")
    (run / "conversation").mkdir()
    with pytest.raises(FileNotFoundError, match=r"--workdir: .*/conversation has no files"):
        agents_of(run)
