"""The embedded maths world's base model as a run makes it."""

from pathlib import Path

import numpy as np
import pytest

from waltzjax.config import defaults
from waltzjax.config.key import COLLECT_READS, EMBEDDED
from waltzjax.data.chat import PROMPTS, Chat, read_agent_prompt
from waltzjax.model import sharding
from waltzjax.model.hf import weights
from waltzjax.recipes import validate
from waltzjax.run.runtime import load_tokenizer, read_model_config
from waltzjax.toy.maths import embedded_maths_base, lessons
from waltzjax.toy.maths_world import Sum
from waltzjax.training.learner import device_batch
from waltzjax.training.step import make_logp

UNTAUGHT = np.log(300)  # nats a token: more, where the letters of 512 tokens are as likely as any


def small():
    c = defaults.default()
    c.model.dtype, c.model.remat, c.model.base = "float32", "none", EMBEDDED
    c.rollout.max_new_tokens, c.problems.max_tokens = 44, 52
    e = c.embedded_maths
    e.width, e.mlp_width, e.layers, e.batch = 32, 64, 1, 16
    e.card_steps, e.demo_steps, e.card_lr = 150, 10, 3e-3
    return c


def nats(c, mesh, directory: Path) -> float:
    """Mean loss on a card, nats a token."""
    tokenizer, cfg = load_tokenizer(directory), read_model_config(c, directory)
    prompt = read_agent_prompt(PROMPTS / "tiny/maths.txt", ["problem"])
    rows = lessons(Chat(tokenizer, prompt, prompt, prompt), [], {}, [Sum(45, "+", 2)], 0)["cards"]
    batch = device_batch(
        rows, mesh, microbatches=1, multiple=16, weights="token", max_length=cfg.max_positions
    )
    params = weights.load_params(directory, cfg, mesh)
    logp = make_logp(cfg, temperature=1.0, block=512)(params, batch)
    return -float((logp * batch.weight_BT).sum())


def test_the_base_is_taught_once_and_kept(tmp_path):
    c, mesh, base = small(), sharding.make_mesh((1, 1, 1)), tmp_path / "base"
    validate(c, reads=COLLECT_READS)
    embedded_maths_base(c, mesh, base)
    files = {p: p.read_bytes() for p in base.iterdir()}
    assert nats(c, mesh, base) < UNTAUGHT / 2
    c.seed = 1  # what is there stays
    embedded_maths_base(c, mesh, base)
    assert files == {p: p.read_bytes() for p in base.iterdir()}
    c.seed, again = 0, tmp_path / "again"
    embedded_maths_base(c, mesh, again)
    assert all((again / p.name).read_bytes() == content for p, content in files.items())


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("heads", 3, "multiple"), ("width", 30, "multiple"), ("vocab_size", 200, ">= 300"),
     ("held_out", "train", "validation, development"), ("demo_steps", 0, ">= 1"),
     ("card_lr", 0.0, "> 0"), ("data_seed", -1, ">= 0")],
)  # fmt: skip
def test_broken_settings_are_named(key, value, allowed):
    c = small()
    c.embedded_maths[key] = value
    with pytest.raises(ValueError, match=rf"config\.embedded_maths\.{key}: got .*{allowed}"):
        validate(c, training=False)
