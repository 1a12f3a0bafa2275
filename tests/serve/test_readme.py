"""The programs of the room's README run as they stand there, on a small run."""

import re

import finished
import pytest
from support import REPO

from waltzjax.config.defaults import default
from waltzjax.serve import guard

PROGRAMS = re.findall(
    r"```python\n(.*?)```", (REPO / "waltzjax/serve/README.md").read_text(), re.DOTALL
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished.game_run(tmp_path_factory.mktemp("served") / "run")


def small():
    config = default()
    config.rollout.cache_tokens, config.rollout.max_num_seqs = 4096, 4
    config.serve.warm_up = False
    return config


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_the_programs_run(program, run, monkeypatch, capsys) -> None:
    monkeypatch.setattr(guard, "default", small)
    assert program.count('"runs/demo') >= 1
    exec(program.replace('"runs/demo', f'"{run}'), {})
    printed = capsys.readouterr().out.splitlines()
    if "Routed" in program:
        assert printed[-1] == "Our shop opens at nine."
    else:
        assert " 2 " in printed[-2] or " 1 " in printed[-2]  # a random agent writes no review
        assert re.fullmatch(r"None|Labels\(unsafe=(True|False), .*\)", printed[-1])
