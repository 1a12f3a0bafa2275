"""Only what belongs to a model leaves with it."""

import json

import pytest

from waltzjax.export.agent import copy_files
from waltzjax.export.contents import of_a_base, of_an_agent

OF_A_MODEL = {
    "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors",
    "model.safetensors.index.json", "adapter_model.safetensors", "adapter_config.json",
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
    "merges.txt", "chat_template.jinja", "chat_template.json", "LICENSE", "license.md", "LICENCE",
    "NOTICE.txt", "USE_POLICY.md", "COPYING",
}  # fmt: skip
OTHERS = {
    ".env", ".netrc", "secrets.json", "notes.txt", "optimizer.safetensors", "model.safetensors.bak",
    "id_rsa", "training_args.bin", "pytorch_model.bin", "my_tokenizer.json", "config.json~",
    "xconfig.json", "run.log", "train.py",
}  # fmt: skip


@pytest.fixture
def directory(tmp_path):
    for name in OF_A_MODEL | OTHERS | {"README.md"}:
        (tmp_path / name).write_text("{}")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "part-a.safetensors"}})
    )
    (tmp_path / "part-a.safetensors").touch()
    return tmp_path


def test_other_files_of_an_agent_stay_and_are_named_in_one_line(directory, capsys):
    assert {path.name for path in of_an_agent(directory)} == OF_A_MODEL
    [line] = capsys.readouterr().out.splitlines()
    left = {*line.partition("left out: ")[2].split(", ")}
    assert left == OTHERS | {"checkpoints", "part-a.safetensors"}


def test_a_base_has_its_card_and_the_weights_that_its_index_names(directory, capsys):
    names = {path.name for path in of_a_base(directory)}
    assert names == OF_A_MODEL | {"README.md", "part-a.safetensors"}
    assert capsys.readouterr().out == ""
    copy_files(of_a_base(directory), directory / "checkpoints")
    assert {path.name for path in (directory / "checkpoints").iterdir()} == names


def test_an_agent_of_nothing_else_has_no_note(run, capsys):
    names = {path.name for path in of_an_agent(run / "feedback")}
    assert names == {path.name for path in (run / "feedback").iterdir()}
    assert capsys.readouterr().out == ""
