"""The checks are added to a file of results, whole or not at all, and nothing else is changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from waltzjax.run.results import RESULTS
from waltzjax.validation.checks import CHECKS, Figure, decide_all
from waltzjax.validation.command import page_of
from waltzjax.validation.results import add_checks, check_results


def checks(value=1.0):
    return decide_all({bound.name: Figure(value, 1) for bound in CHECKS})


def test_other_keys_stay_as_they_are(tmp_path):
    path = tmp_path / "final_validation_results.json"
    before = {"asr": 1.5, "categories": {"a": {"orr": None}}, "base": {"asr": 35.0}, "n": 600}
    path.write_text(json.dumps(before))
    add_checks(path, checks(), {"subject": "a run"})
    add_checks(path, checks(2.0), {"subject": "the run"})
    now = json.loads(path.read_text())
    assert {k: v for k, v in now.items() if k not in ("checks", "validation")} == before
    assert list(now)[:4] == list(before)
    assert len(now["checks"]) == 11 and {c["value"] for c in now["checks"]} == {2.0}
    assert now["validation"] == {"subject": "the run"}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_new_file_in_a_new_directory(tmp_path):
    path = tmp_path / "new" / "checks.json"
    check_results(path)
    add_checks(path, checks(), {})
    assert {*json.loads(path.read_text())} == {"checks", "validation"}


def test_checks_do_not_make_a_run_look_finished(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / RESULTS
    with pytest.raises(FileNotFoundError, match=r"not come to its end.*by --output"):
        check_results(path)
    path.write_text('{"checks": [], "validation": {}}')  # nor do those of before
    with pytest.raises(FileNotFoundError, match="not come to its end"):
        check_results(path)
    check_results(tmp_path / "checks.json")
    path.write_text('{"asr": 1}')
    check_results(path)


def test_a_place_that_cannot_be_written_to_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    for under in ("file", "file/sub", "link"):
        with pytest.raises(NotADirectoryError, match=f"--output: .*/{under[:4]} is no directory"):
            check_results(tmp_path / under / "checks.json")
    with pytest.raises(IsADirectoryError, match="is a directory; name a file"):
        check_results(tmp_path)


def test_a_new_directory_where_none_may_be_made_is_told_too(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    with pytest.raises(PermissionError, match="may not be written to"):
        check_results(tmp_path / "new" / "deep" / "checks.json")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


def test_each_file_of_results_has_a_page_of_its_own():
    run, other = Path("runs/a"), Path("runs/a/b.json")
    assert page_of(run / RESULTS) == run / "validation.html"
    assert page_of(other) == run / "b.json.html"
    assert page_of(run / "b.txt") != page_of(other)


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"', "[" * 100_000])
def test_a_damaged_file_is_named_before_any_work(content, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"--output: .*results.json is not"):
        check_results(path)
    with pytest.raises(ValueError, match="name another file"):
        add_checks(path, checks(), {})
    assert path.read_text() == content


def test_a_write_that_is_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text('{"asr": 1}')

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        add_checks(path, checks(), {})
    assert path.read_text() == '{"asr": 1}'


WRITER = """
import sys
from pathlib import Path
from waltzjax.validation.checks import CHECKS, Figure, decide_all
from waltzjax.validation.results import add_checks
path, number = Path(sys.argv[1]), int(sys.argv[2])
for _ in range(100):
    figures = {bound.name: Figure(float(number), 1) for bound in CHECKS}
    add_checks(path, decide_all(figures), {"number": number})
"""


def test_two_at_once_leave_the_checks_of_one(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"asr": 1}')
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, number]) for number in ("1", "2")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    now = json.loads(path.read_text())
    assert now["asr"] == 1
    assert {c["value"] for c in now["checks"]} == {float(now["validation"]["number"])}
