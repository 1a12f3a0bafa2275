"""The embedded default's data and base model, built from nothing into the run's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.core.losses import nll
from waltzjax.data import world
from waltzjax.data.chat import Chat
from waltzjax.data.chat_examples import Shown, ordinary_chats
from waltzjax.data.curriculum import curriculum, tokenizer_texts
from waltzjax.data.dataset import verify, write_dataset
from waltzjax.data.splits import expected_counts
from waltzjax.data.tokenizer import train_tokenizer
from waltzjax.model import hf, sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.transformer import init_params
from waltzjax.processes import wait, writes
from waltzjax.runtime import over_mesh, prompt_files
from waltzjax.training.learner import device_batch, init_state
from waltzjax.training.optim import make_optimizer
from waltzjax.training.step import make_update, shardings
from waltzjax.types import Sample

# Demonstrations by turns, one kind a batch: rows of like length waste little padding.
TURNS = ("review", "first", "review", "first", "revision")
REHEARSE = 10  # every so many demonstration batches, one of cards
ORDINARY_SHARE = 0.15  # everyday prompts among what the base is taught, for each of the game's
ORDINARY_CHATS = 400  # beside the dataset, on frames unseen in training
SHOW_EVERY = 20  # updates whose mean loss is shown
TOKENIZER_PROMPTS = 4000  # prompts whose texts the tokenizer is trained on: every word is there


def embedded_data(config: ConfigDict, directory: Path) -> None:
    """Write and verify the 20,020-prompt dataset, unless it is there already."""
    with console.phase("building the 20,020-prompt dataset"):
        if writes() and not directory.exists():
            e = config.embedded
            train, validation, _ = world.build(e.data_seed, e.held_out, e.coded)
            everyday = world.ordinary(e.data_seed + 1, e.held_out, ORDINARY_CHATS)
            shown = Shown.read(*prompt_files(config))
            write_dataset(directory, train, validation, ordinary_chats(shown, everyday))
        wait("dataset")
        verify(directory, expected=expected_counts())


def embedded_base(config: ConfigDict, mesh: Mesh, directory: Path) -> None:
    """Train the base model and save it as a Hugging Face directory, unless it is there already."""
    if directory.exists():
        return
    e = config.embedded
    train, _, scenes = world.build(e.data_seed, e.held_out, e.coded)
    with console.phase("training the tokenizer, writing demonstrations"):
        used = e.batch * (e.card_steps + e.demo_steps)  # of each kind, at most
        examples = [(prompt, scenes[prompt.id]) for prompt in train[:used]]
        examples += world.ordinary(e.data_seed, "train", round(ORDINARY_SHARE * len(examples)))
        some = examples[:: max(1, len(examples) // TOKENIZER_PROMPTS)]
        tokenizer = train_tokenizer(tokenizer_texts(some, e.data_seed), e.vocab_size)
        chat = Chat.from_files(tokenizer, *prompt_files(config))
        lessons = curriculum(chat, examples, config.seed)
    cfg = ModelConfig(
        vocab_size=len(tokenizer),
        width=e.width,
        mlp_width=e.mlp_width,
        layers=e.layers,
        heads=e.heads,
        kv_heads=e.kv_heads,
        head_dim=e.width // e.heads,
        max_positions=e.max_positions,
        init_scale=e.init_scale,
    )
    params = _supervise(config, over_mesh(cfg, mesh), mesh, lessons)
    with console.phase("saving the base model"):
        hf.save(directory, cfg, params, tokenizer, generation={"do_sample": True})


def _supervise(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, lessons: dict[str, list[Sample]]
) -> Any:
    """Cards until they are learned, then the demonstrations in turn, now and then a card."""
    e = config.embedded
    shape = jax.eval_shape(lambda: init_params(cfg, jax.random.key(config.seed)))
    where = sharding.params_sharding(mesh, shape)
    params = jax.jit(lambda key: init_params(cfg, key), out_shardings=where)(
        jax.random.key(config.seed)
    )
    rng = np.random.default_rng(config.seed)
    plan = ["cards"] * e.card_steps
    params, loss = _fit(config, cfg, mesh, params, lessons, plan, rng, until=e.card_loss)
    if loss > e.card_loss:
        console.say(
            f"the cards were not learned (loss {loss:.3f} > {e.card_loss}): the base model may "
            "understand little; give it more config.embedded.card_steps"
        )
    plan = [TURNS[i % len(TURNS)] for i in range(e.demo_steps)]
    plan[REHEARSE - 1 :: REHEARSE] = ["cards"] * (e.demo_steps // REHEARSE)
    return _fit(config, cfg, mesh, params, lessons, plan, rng)[0]


def _fit(
    config: ConfigDict, cfg: ModelConfig, mesh: Mesh, params: Any,
    lessons: dict[str, list[Sample]], plan: list[str], rng: np.random.Generator,
    until: float | None = None,
) -> tuple[Any, float]:  # fmt: skip
    """One update for each kind of lesson in ``plan``, loss on the replies alone.

    Returns the parameters and the last shown mean loss. With ``until`` the learning rate stays
    constant and the end comes when that loss is reached; otherwise it decays over the plan.
    """
    e = config.embedded
    optimizer = make_optimizer(
        lr=e.card_lr if until else e.lr, decay_steps=0 if until else len(plan),
        warmup_steps=30, b1=0.9, b2=0.95, weight_decay=0.01, grad_clip=1.0,
    )  # fmt: skip
    state = init_state(params, optimizer, mesh)
    update = make_update(
        cfg, nll, optimizer, temperature=1.0, block=config.model.vocab_block,
        state_sharding=shardings(state),
    )  # fmt: skip
    losses: list[jax.Array] = []
    mean = float("inf")
    label = "base model, cards" if until else "base model, demonstrations"
    with console.Progress(len(plan), label) as bar:
        for step, kind in enumerate(plan, start=1):
            samples = lessons[kind]
            batch = device_batch(
                [samples[i] for i in rng.integers(len(samples), size=e.batch)],
                mesh, microbatches=1, multiple=16, weights="token", max_length=cfg.max_positions,
            )  # fmt: skip
            state, metrics = update(state, batch)
            losses.append(metrics["loss"])
            if step % SHOW_EVERY == 0 or step == len(plan):
                mean = float(np.mean(jax.device_get(losses)))
                losses = []
                bar.update(step, loss=mean)
                if until and mean < until:
                    break
    return state.params, mean
