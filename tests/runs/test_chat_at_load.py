"""What of a chat is found wrong as a model is chosen, and what a run's record keeps of it."""

import datetime
import json

import pytest
from chat_models import CHATML, GEMMA, QWEN3, write_tokenizer
from ml_collections import ConfigDict
from support import mesh_of

from waltzjax.config import check
from waltzjax.config.defaults import default
from waltzjax.config.key import MATHS
from waltzjax.data.shown import Shown
from waltzjax.evaluation.likelihood import packed_rows
from waltzjax.preference.pairs import pair_tokens
from waltzjax.recipes import STAGES, readers, validate
from waltzjax.rlvr import evaluate as rlvr_evaluate
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.run import workdir as run_workdir
from waltzjax.run.cli import EXPECTED
from waltzjax.run.runtime import result_settings
from waltzjax.types import CORRECTNESS, Preference
from waltzjax.waltz import evaluate
from waltzjax.waltz.runtime import game_runtime
from waltzjax.waltz.sft_data import check_unseen

MODEL = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip
DATED = "{{ strftime_now('%d %b') }} " + CHATML
FIRST = "2020-01-02"


def write_model(directory, template=CHATML, *, rows=400, **tokens):
    tokenizer = write_tokenizer(directory, template, **tokens)
    (directory / "config.json").write_text(json.dumps({**MODEL, "vocab_size": rows}))
    return tokenizer


def config_of(base, *stages):
    c = default()
    c.model.base, c.model.dtype = str(base), "float32"
    c.rollout.max_num_seqs, c.rollout.cache_tokens = 2, 512
    c.sft.length, c.dpo.max_tokens, c.problems.instruction = 64, 64, ""
    if stages:
        c.stages = stages
    return check.only_read(c, readers(c))


def load(base, *stages):
    return runtime_of(config_of(base, *stages), base)


def runtime_of(c, base):
    make = maths_runtime if MATHS in STAGES[c.stages[0]].reads else game_runtime
    return make(c, base, mesh_of(1, 1, 1))


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
@pytest.mark.parametrize("stage", ["stage2", "rlvr"])
def test_the_templates_and_the_stops_have_rows(tmp_path, token, stage):
    order = [t for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>") if t != token]
    special = (*order, token)
    rows = write_tokenizer(tmp_path / "probe", CHATML, special).token_to_id(token)
    write_model(tmp_path, special=special, rows=rows)
    with pytest.raises(ValueError, match=f"the model has {rows} rows") as error:
        load(tmp_path, stage)
    assert str(error.value).startswith(f"{tmp_path}: the token {token!r} has the number {rows}")
    write_model(tmp_path, special=special, rows=rows + 1)
    assert load(tmp_path, stage).engine.stop_ids


@pytest.mark.parametrize("token", ["<draw>", "<img>", "→→"])
def test_texts_to_train_on_have_rows(tmp_path, token):
    special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    tokenizer = write_model(tmp_path, special=special, rows=400)
    rows = tokenizer.get_vocab_size()
    tokenizer.add_tokens([token])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({**MODEL, "vocab_size": rows}))
    runtime = load(tmp_path, "dpo")
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": f"b {token}"}]
    with pytest.raises(ValueError, match=f"chats.jsonl: .*{token!r} has the number {rows}"):
        packed_rows("chats.jsonl", [said], runtime, 64)
    for question, chosen, rejected in (("a", token, "b"), ("a", "b", token), (token, "a", "b")):
        pair = Preference(question, chosen, rejected, CORRECTNESS)
        with pytest.raises(ValueError, match=f"{token!r} has the number {rows}"):
            pair_tokens(config_of(tmp_path, "dpo"), runtime, [pair])


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (GEMMA, "System role not supported"),
        (CHATML.replace("m.content", "m.parts[0]"), "UndefinedError"),
        (CHATML.replace("m.role", "roles[m.role]"), "UndefinedError"),
        (CHATML.replace("'\n' + m.content + '<|im_end|>\n'", "m.content | length"), "TypeError"),
        (CHATML.replace("endfor", "end"), "TemplateSyntaxError"),
    ],
)
def test_a_chat_is_written_at_load(tmp_path, template, says):
    signs = ("<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>")
    write_model(tmp_path, template, special=signs)
    with pytest.raises(EXPECTED, match=says) as error:
        load(tmp_path, "stage2")
    assert str(error.value).startswith(f"{tmp_path}: the chat template")


def test_maths_asks_without_a_system_message_and_the_game_may(tmp_path):
    special = ("<start_of_turn>", "<end_of_turn>", "<bos>")
    write_model(tmp_path, GEMMA, special=special, bos_token="<bos>")
    assert load(tmp_path, "rlvr").chat.problem_text("a").startswith("<bos><start_of_turn>user\na")
    prompts = {"conversation": "{feedback}", "feedback": "{prompt}\n{answer}"}
    c = config_of(tmp_path, "stage2")
    for name, message in prompts.items():
        (tmp_path / f"{name}.txt").write_text(f"---\n{message}")
        c.prompts[name] = str(tmp_path / f"{name}.txt")
    assert "system" not in runtime_of(c, tmp_path).chat.feedback_text("a", "b")


def test_examples_of_prompts_without_a_system_message_have_none(tmp_path, capsys):
    for name, message in {"conversation": "{feedback}", "feedback": "{prompt} {answer}"}.items():
        (tmp_path / f"{name}.txt").write_text(f"---\n{message}")
    shown = Shown.read(tmp_path / "conversation.txt", tmp_path / "feedback.txt")
    chat = shown.answer("hello", "hello you", "helped").messages
    assert [m["role"] for m in chat] == ["user", "assistant"]
    c = config_of(tmp_path, "sft")
    c.sft.role = "conversation"
    c.prompts.conversation, c.prompts.feedback = (str(tmp_path / f"{n}.txt") for n in
                                                  ("conversation", "feedback"))  # fmt: skip
    check_unseen(c, [chat], [])
    assert "another system prompt" not in capsys.readouterr().out
    check_unseen(c, [[{"role": "system", "content": "S"}, *chat]], [])
    assert "1 of the 1 chats" in capsys.readouterr().out


def test_what_a_template_reads_is_of_the_config(tmp_path):
    write_model(tmp_path, QWEN3, plain=("<think>", "</think>"))
    c = config_of(tmp_path, "rlvr")
    c.model.template_kwargs = ConfigDict({"enable_thinking": False})
    validate(c, training=False)
    runtime = runtime_of(c, tmp_path)
    assert runtime.chat.problem_text("a").endswith("<think>\n\n</think>\n\n")
    kept = {"model.template_kwargs.enable_thinking": False}
    for keys in (evaluate.SETTINGS, rlvr_evaluate.SETTINGS):
        settings = result_settings(c, keys)
        assert {*settings} == {*keys, *kept} and kept.items() <= settings.items()
        assert settings["eval.temperature"] == c.eval.temperature
        assert not any("template" in key for key in result_settings(default(), keys))
    c.model.template_kwargs = ConfigDict({"thinking_budget": 3})
    with pytest.raises(ValueError, match="template_kwargs: got 'thinking_budget'"):
        runtime_of(c, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("template_kwargs", ConfigDict({"a": None}), r"template_kwargs\.a: got None"),
        ("template_kwargs", ConfigDict({"a": (1, 2)}), r"template_kwargs\.a: got \(1, 2\)"),
        ("template_kwargs", ConfigDict({"a": {"b": 1}}), r"template_kwargs\.a: got"),
        ("template_kwargs", "enable_thinking", "template_kwargs: got 'enable_thinking'"),
        ("template_date", "2 March", "template_date: got '2 March'"),
        ("template_date", "2026-02-30", "template_date: got '2026-02-30'"),
        ("template_date", "20260302", "template_date: got '20260302'"),
    ],
)
def test_what_no_template_can_be_given_is_refused(key, value, says):
    c = default()
    with c.model.ignore_type():
        c.model[key] = value
    with pytest.raises(ValueError, match=says):
        validate(c, training=False)


def record(workdir, date):
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps({"model": {"template_date": date}}))
    return workdir


def test_a_run_keeps_the_day_of_its_first_launch(tmp_path):
    write_model(tmp_path / "model", DATED)
    c, today = config_of(tmp_path / "model", "rlvr"), datetime.date.today().isoformat()
    assert run_workdir.dated(c, tmp_path / "new").model.template_date == today
    assert c.model.template_date == ""  # the caller's is left alone
    again = run_workdir.dated(c, record(tmp_path / "run", FIRST))
    assert again.model.template_date == FIRST
    runtime = runtime_of(again, tmp_path / "model")
    assert runtime.chat.problem_text("a").startswith("02 Jan ")
    c.train.resume = str(tmp_path / "run")
    assert run_workdir.dated(c, tmp_path / "new").model.template_date == FIRST
    c.model.template_date = "2021-03-04"
    assert run_workdir.dated(c, tmp_path / "run").model.template_date == "2021-03-04"


def test_evaluations_say_which_day_it_was(tmp_path):
    write_model(tmp_path, DATED)
    c = run_workdir.dated(config_of("elsewhere", "rlvr"), base=tmp_path)
    today = datetime.date.today().isoformat()
    assert result_settings(c, evaluate.SETTINGS)["model.template_date"] == today


@pytest.mark.parametrize("template", [CHATML, QWEN3])
def test_a_template_without_a_date_leaves_none_in_the_record(tmp_path, template):
    write_model(tmp_path, template)
    assert (
        run_workdir.dated(config_of(tmp_path, "rlvr"), tmp_path / "run").model.template_date == ""
    )
    assert run_workdir.dated(config_of("embedded", "rlvr")).model.template_date == ""
