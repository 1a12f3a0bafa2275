"""A small model and its tokenizer from nothing: cards until they are learned, then the rest.

What is taught comes from the worlds (``toy.safety``, ``toy.maths``), which have each a section of
the config with the same keys. The tokenizer is byte-level BPE trained on the world's own texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from waltzjax.core.losses import nll
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import weights
from waltzjax.model.transformer import init_params
from waltzjax.run.runtime import over_mesh
from waltzjax.support import console, memory
from waltzjax.training.learner import device_batch, init_state
from waltzjax.training.optimizer import make_optimizer
from waltzjax.training.step import make_update, shardings
from waltzjax.types import Sample

REHEARSE = 10  # every so many demonstration batches, one of cards
SHOW_EVERY = 20  # updates whose mean loss is shown

Lessons = Mapping[str, Sequence[Sample]]


def embedded_model(config: ConfigDict, section: str, vocab_size: int = 0) -> ModelConfig:
    """The architecture of the base model that ``config``'s ``section`` describes, in float32;
    ``vocab_size`` 0: the section's own, which a tokenizer trained on few texts may not reach."""
    e = config[section]
    return ModelConfig(
        vocab_size=vocab_size or e.vocab_size,
        width=e.width,
        mlp_width=e.mlp_width,
        layers=e.layers,
        heads=e.heads,
        kv_heads=e.kv_heads,
        head_dim=e.width // e.heads,
        max_positions=e.max_positions,
        init_scale=e.init_scale,
    )


def train_base(
    config: ConfigDict,
    section: str,
    mesh: Mesh,
    directory: Path,
    tokenizer: Any,
    lessons: Lessons,
    turns: Sequence[str],
) -> None:
    """Train as ``config``'s ``section`` says and save a Hugging Face directory.

    The "cards" of ``lessons`` come first, then the others by ``turns``, one kind a batch.
    """
    cfg = embedded_model(config, section, len(tokenizer))
    params = _supervise(config, section, over_mesh(cfg, mesh), mesh, lessons, turns)
    with console.phase("saving the base model"):
        weights.save(directory, cfg, params, tokenizer, generation={"do_sample": True})


def _supervise(
    config: ConfigDict,
    section: str,
    cfg: ModelConfig,
    mesh: Mesh,
    lessons: Lessons,
    turns: Sequence[str],
) -> Any:
    """Cards until they are learned, then the demonstrations in turn, now and then a card."""
    e = config[section]
    shape = jax.eval_shape(lambda: init_params(cfg, jax.random.key(config.seed)))
    where = sharding.params_sharding(mesh, shape)
    params = jax.jit(lambda key: init_params(cfg, key), out_shardings=where)(
        jax.random.key(config.seed)
    )
    rng = np.random.default_rng(config.seed)
    plan = ["cards"] * e.card_steps
    params, loss = _fit(config, e, cfg, mesh, params, lessons, plan, rng, until=e.card_loss)
    if loss > e.card_loss:
        console.say(
            f"the cards were not learned (loss {loss:.3f} > {e.card_loss}): the base model may "
            f"understand little; give it more config.{section}.card_steps"
        )
    plan = [turns[i % len(turns)] for i in range(e.demo_steps)]
    plan[REHEARSE - 1 :: REHEARSE] = ["cards"] * (e.demo_steps // REHEARSE)
    return _fit(config, e, cfg, mesh, params, lessons, plan, rng)[0]


def _fit(
    config: ConfigDict,
    e: ConfigDict,
    cfg: ModelConfig,
    mesh: Mesh,
    params: Any,
    lessons: Lessons,
    plan: Sequence[str],
    rng: np.random.Generator,
    until: float | None = None,
) -> tuple[Any, float]:
    """One update for each kind of lesson in ``plan``, loss on the replies alone.

    Returns the parameters and the last shown mean loss. With ``until`` the learning rate stays
    constant and the end comes when that loss is reached; otherwise it decays over the plan.
    """
    optimizer = make_optimizer(
        lr=e.card_lr if until else e.lr,
        decay_steps=0 if until else len(plan),
        warmup_steps=30,
        b1=0.9,
        b2=0.95,
        weight_decay=0.01,
        grad_clip=1.0,
    )
    state = init_state(params, optimizer, mesh)
    update = make_update(
        cfg,
        nll,
        optimizer,
        temperature=1.0,
        block=config.model.logit_chunk,
        state_sharding=shardings(state),
    )
    losses: list[jax.Array] = []
    mean = float("inf")
    label = "base model, cards" if until else "base model, demonstrations"
    with memory.reuse_freed(), console.Progress(len(plan), label) as bar:
        for step, kind in enumerate(plan, start=1):
            samples = lessons[kind]
            batch = device_batch(
                [samples[i] for i in rng.integers(len(samples), size=e.batch)],
                mesh,
                microbatches=1,
                multiple=16,
                weights="token",
                max_length=cfg.max_positions,
            )
            state, metrics = update(state, batch)
            losses.append(metrics["loss"])
            if step % SHOW_EVERY == 0 or step == len(plan):
                mean = float(np.mean(jax.device_get(losses)))
                losses = []
                bar.update(step, loss=mean)
                if until and mean < until:
                    break
    return state.params, mean


END, PAD = "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, single_digits: bool = False) -> Any:
    """A fast Hugging Face tokenizer with a chat template; deterministic in its texts.

    ``single_digits``: each digit is a token, so that numbers never seen are written like any other.
    """
    from transformers import PreTrainedTokenizerFast  # late: see run.cli._quiet_libraries

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([digits, byte_level]) if single_digits else byte_level
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    fast.add_special_tokens({"additional_special_tokens": list(ROLES)})
    fast.chat_template = CHAT_TEMPLATE
    return fast
