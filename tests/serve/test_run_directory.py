"""A finished run fills what is served, but for what the command line sets."""

import re

import pytest
from served_runs import config, run_of

from waltzjax.config.key import SERVE_READS
from waltzjax.recipes import validate
from waltzjax.serve.run_directory import served_config

UPSTREAM = {"serve.upstream.url": "http://h/v1", "serve.upstream.model": "m"}
REVIEWER = {"serve.reviewer.url": "http://h/v1", "serve.reviewer.model": "m"}


def changes(before, after):
    """Dotted path -> value of what differs."""
    flat = {p: v for p, v in _leaves(before.to_dict())}
    return {p: v for p, v in _leaves(after.to_dict()) if flat.get(p, ...) != v}


def _leaves(tree, path=""):
    for name, value in tree.items():
        where = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict):
            yield from _leaves(value, where)
        else:
            yield where, value


def test_a_run_s_agents_prompts_and_sampling_are_served(tmp_path):
    trained = config(
        "stage2", "tiny",
        **{"rollout.t_max": 2, "rollout.top_k": 7, "rollout.top_p": 0.9, "rollout.min_p": 0.01,
           "rollout.max_new_tokens": 40, "model.template_date": "2026-01-02", "seed": 3,
           "rollout.max_num_seqs": 5, "model.attention": "xla", "rl.clip_low": 0.1},
    )  # fmt: skip
    trained.model.template_kwargs.enable_thinking = False
    served = served_config(config(), run_of(tmp_path / "run", trained), ())
    assert changes(config(), served) == {
        "serve.conversation": str(tmp_path / "run/conversation"),
        "serve.feedback": str(tmp_path / "run/feedback"),
        "serve.base": str(tmp_path / "run/base"),
        "model.base": "embedded", "model.dtype": "float32", "model.param_dtype": "float32",
        "model.template_date": "2026-01-02", "model.template_kwargs.enable_thinking": False,
        "prompts.conversation": "tiny/conversation.txt", "prompts.feedback": "tiny/feedback.txt",
        "rollout.t_max": 2, "rollout.top_k": 7, "rollout.top_p": 0.9, "rollout.min_p": 0.01,
        "rollout.max_new_tokens": 40,
    }  # fmt: skip
    validate(served, reads=SERVE_READS)


def test_what_the_command_line_sets_stays(tmp_path):
    own = {
        "serve.conversation": "mine", "serve.base": "", "rollout.t_max": 3,
        "model.param_dtype": "float32", "prompts.feedback": "feedback.txt",
    }  # fmt: skip
    run = run_of(tmp_path / "run", config("stage2", "tiny"), roles=("feedback",))
    served = served_config(config(**own), run, own)
    assert {path: changes(config(), served).get(path, value) for path, value in own.items()} == own
    assert served.serve.feedback == str(run / "feedback") and served.rollout.max_new_tokens == 56


def test_weights_of_a_full_size_run_are_held_as_they_compute(tmp_path):
    trained = config("stage2")
    assert (trained.model.dtype, trained.model.param_dtype) == ("bfloat16", "float32")
    served = served_config(config(), run_of(tmp_path / "run", trained, base=False), ())
    assert (served.model.dtype, served.model.param_dtype) == ("bfloat16", "bfloat16")
    assert served.serve.base == served.model.base == "meta-llama/Llama-3.1-8B-Instruct"


def test_an_embedded_run_without_its_base_has_none_to_fall_back_on(tmp_path):
    run = run_of(tmp_path / "run", config("stage2", "tiny"), base=False)
    assert served_config(config(), run, ()).serve.base == ""


@pytest.mark.parametrize(
    ("endpoint", "roles", "filled"),
    [
        (UPSTREAM, ("feedback",), {"serve.feedback"}),
        (REVIEWER, ("conversation",), {"serve.conversation", "serve.base"}),
        (UPSTREAM | REVIEWER, (), set()),
    ],
)
def test_an_agent_that_is_elsewhere_is_not_taken_of_the_run(tmp_path, endpoint, roles, filled):
    run = run_of(tmp_path / "run", config("stage2", "tiny"), roles=roles)
    own = config(**endpoint)
    served = served_config(own, run, endpoint)
    assert {path for path in changes(own, served) if path.startswith("serve.")} == filled
    validate(served, reads=SERVE_READS)


def test_the_record_of_an_older_run_is_read_by_the_names_of_today(tmp_path, monkeypatch):
    monkeypatch.setitem(served_config.__globals__["renamed"].RENAMED, "rollout.k", "rollout.top_k")
    trained = config("stage2", "tiny").to_dict()
    trained["rollout"] |= {"k": 9, "slots": 5}
    del trained["rollout"]["top_k"], trained["rollout"]["min_p"]
    run = run_of(tmp_path / "run", config("stage2", "tiny"), rollout=trained["rollout"])
    served = served_config(config(), run, ())
    assert (served.rollout.top_k, served.rollout.min_p) == (9, 0.0)
    assert served.rollout.max_num_seqs == config().rollout.max_num_seqs


@pytest.mark.parametrize("roles", [(), ("conversation",), ("feedback",)])
def test_a_run_that_goes_on_is_told_of(capsys, tmp_path, roles):
    run = run_of(tmp_path / "run", config("stage2", "tiny"), roles=roles)
    served = served_config(config(), run, ())
    assert re.search(r"--workdir: .* not there: .* at its end; wait", capsys.readouterr().out)
    assert served.serve.feedback == str(run / "feedback")


@pytest.mark.parametrize(("name", "stage"), [("rlvr_naive", "rlvr"), ("regime_w_collect", "dpo")])
def test_a_run_on_maths_is_refused(tmp_path, name, stage):
    run = run_of(tmp_path / "run", config(name, "tiny"), roles=("policy",))
    with pytest.raises(ValueError, match=rf"a run of {stage}, .*one of sft, stage1, stage2, sing"):
        served_config(config(), run, ())


@pytest.mark.parametrize("stages", [("single",), ("sft",), ("stage1",), ("added",)])
def test_a_run_of_any_stage_of_the_game_is_served(tmp_path, stages):
    run = run_of(tmp_path / "run", config("stage2", "tiny"), stages=stages)
    assert served_config(config(), run, ()).serve.feedback == str(run / "feedback")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "no config.json; name that of a finished run"),
        ("{", "is not JSON"),
        ("[]", "holds list, expected an object"),
        ('{"stages": ["stage2"], "rollout": {"top_k": "x"}}', "rollout.top_k"),
    ],
)
def test_a_directory_without_a_record_is_refused(tmp_path, text, why):
    for role in ("conversation", "feedback"):
        (tmp_path / role).mkdir()
    if text:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises((FileNotFoundError, ValueError), match=why):
        served_config(config(), tmp_path, ())


def test_prompts_that_are_not_those_of_the_training_are_refused(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("Be kind.\n---\n{prompt} {answer}")
    trained = config("stage2", "tiny", **{"prompts.feedback": str(mine)})
    run = run_of(tmp_path / "run", trained)
    assert served_config(config(), run, ()).prompts.feedback == str(mine)
    mine.write_text("Be strict.\n---\n{prompt} {answer}")
    with pytest.raises(
        ValueError, match=r"config\.prompts\.feedback: .*mine.txt is not what .*give"
    ):
        served_config(config(), run, ())
    own = config(**{"prompts.feedback": str(mine)})
    assert served_config(own, run, ["prompts.feedback"]).prompts.feedback == str(mine)
    mine.unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.prompts\.feedback: no file"):
        served_config(config(), run, ())


def test_the_config_given_is_as_it_was(tmp_path):
    own = config()
    served_config(own, run_of(tmp_path / "run", config("stage2", "tiny")), ())
    assert own == config()
