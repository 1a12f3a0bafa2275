"""An exported pair stands in a run's place: it is served, with the prompts of its own."""

from runpy import run_path

import finished
import pytest
from support import REPO, slow

from waltzjax.export.pair import export_run
from waltzjax.export.source import read_run
from waltzjax.run.recorded import recorded_keys
from waltzjax.run.runtime import prompt_files
from waltzjax.serve.run_directory import served_config


def serving():
    """At full size: nothing of the tiny prompts and lengths is in it."""
    return run_path(str(REPO / "configs/serve.py"))["get_config"]("")


@pytest.mark.parametrize("rank", [slow(0), 4])
def test_it_is_served_as_the_run_is(rank, tmp_path):
    run = finished.game_run(tmp_path / "run", rank=rank, **{"rollout.t_max": 3})
    output = tmp_path / "moved/out"
    export_run(read_run(run), output, "", merges=False)
    (of_run, of_pair) = (served_config(serving(), where, ()) for where in (run, output))
    assert of_pair.serve.conversation == str(output / "conversation")
    assert of_pair.serve.base == (str(output / "base") if rank else "")
    texts = [path.read_text() for path in prompt_files(of_pair)]
    assert texts == [finished.PROMPT_TEXTS[role] for role in ("conversation", "feedback")]
    for name in ("serve", "prompts"):  # whose directories differ
        of_pair[name] = of_run[name]
    assert of_pair.to_dict() == of_run.to_dict() and of_pair.rollout.t_max == 3


def test_prompts_are_looked_for_in_the_directory_alone_if_they_are_there(tmp_path):
    run = finished.game_run(tmp_path / "run", **{"prompts.feedback": "mine.txt"})
    assert recorded_keys(run, "")["prompts.feedback"] == "mine.txt"
    (run / "mine.txt").write_text("---\n{prompt}{answer}")
    assert recorded_keys(run, "")["prompts.feedback"] == str(run / "mine.txt")
    assert recorded_keys(run, "")["prompts.conversation"] == "tiny/conversation.txt"
