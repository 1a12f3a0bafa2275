"""What a run leaves of an agent, whole or an adapter, has all that a server needs."""

import json

import pytest
from support import sharded_params, tiny_runtime
from transformers import AutoTokenizer

from waltzjax.config.defaults import default
from waltzjax.run.runtime import load_tokenizer
from waltzjax.run.trainable import make_trainable

SETTINGS = {"temperature": 0.7, "top_k": 20, "presence_penalty": 1.5, "do_sample": True}


@pytest.mark.parametrize("rank", [0, 2], ids=["whole", "adapter"])
@pytest.mark.parametrize("settings", [None, SETTINGS], ids=["none", "settings"])
def test_an_agents_directory_is_served_by_itself(rank, settings, tmp_path):
    runtime, c = tiny_runtime(), default()
    c.lora.rank = rank
    base, agent = tmp_path / "base", tmp_path / "agent"
    base.mkdir()
    if settings:
        (base / "generation_config.json").write_text(json.dumps(settings))
    trainable = make_trainable(c, runtime, base)
    (base / "generation_config.json").unlink(missing_ok=True)  # a run may outlive its base's files
    trainable.save(agent, trainable.start(sharded_params(runtime.cfg, runtime.mesh), 0))
    found = json.loads((agent / "generation_config.json").read_text())
    want = {"do_sample": True, **(settings or {}), "eos_token_id": list(runtime.engine.stop_ids)}
    assert want.items() <= found.items()
    mine = runtime.chat.tokenizer
    text = "<|user|>is 12345 safe?<|end|>"
    for kept in (load_tokenizer(agent), AutoTokenizer.from_pretrained(agent)):
        assert kept(text)["input_ids"] == mine(text)["input_ids"]
        assert kept.chat_template == mine.chat_template
        assert kept.special_tokens_map == mine.special_tokens_map
    trainable.load(agent)
