"""A model of a few thousand parameters and everything around it, for tests."""

from __future__ import annotations

import atexit
import dataclasses
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jax
import pytest

from waltzjax.data.chat import PROMPTS, Chat, stop_ids
from waltzjax.dataset.dataset import write_dataset
from waltzjax.dataset.splits import of_each_category
from waltzjax.engine.engine import Engine
from waltzjax.model import sharding
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.transformer import init_params
from waltzjax.run.runtime import Runtime
from waltzjax.toy import safety_world
from waltzjax.toy.base_model import train_tokenizer
from waltzjax.toy.safety import tokenizer_texts
from waltzjax.types import (
    Attempt,
    Completion,
    Episode,
    Feedback,
    Group,
    Problem,
    Prompt,
    Verdict,
)

REPO = Path(__file__).parents[2]


def slow(*values: object, **more: Any):
    """A case of a parametrised test that is left out unless tests of minutes are run too."""
    return pytest.param(*values, marks=pytest.mark.slow, **more)


# Meshes (data, fsdp, tensor) of eight devices: all on one axis, on two axes, on all three.
FACTORISATIONS = [(8, 1, 1), (1, 8, 1), (1, 1, 8), (1, 4, 2), (2, 2, 2)]
ALL_FACTORISATIONS = [  # the others where tests of minutes are run too
    *FACTORISATIONS,
    *(slow(shape) for shape in [(1, 2, 4), (2, 1, 4), (2, 4, 1), (4, 1, 2), (4, 2, 1)]),
]


@cache
def built_world():
    """With coded prompts: these hold all that is in one without them."""
    return safety_world.build(0, coded=0.3)


@cache
def small_data() -> str:
    """A dataset of a few of the world's prompts, and four benign chats: to read all of them takes
    longer than a test's training does."""
    parent = Path(tempfile.mkdtemp(prefix="waltzjax-tests-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    train, validation, _ = built_world()
    benign = [
        [
            {"role": "system", "content": "You answer the user."},
            {"role": "user", "content": f"Is the {thing} clean?"},
            {"role": "assistant", "content": "Yes, it is."},
        ]
        for thing in ("van", "shed", "boat", "bike")
    ]
    write_dataset(parent / "prompts", train[:64], of_each_category(validation, 12), benign)
    return str(parent / "prompts")


@cache
def tiny_chat() -> Chat:
    train, _, scenes = built_world()
    tokenizer = train_tokenizer(tokenizer_texts([(p, scenes[p.id]) for p in train[:200]], 0), 400)
    return Chat.from_files(
        tokenizer, PROMPTS / "tiny/conversation.txt", PROMPTS / "tiny/feedback.txt"
    )


def tiny_config(**changes) -> ModelConfig:
    base = ModelConfig(
        vocab_size=400, width=16, mlp_width=32, layers=2, heads=4, kv_heads=2, head_dim=4,
        max_positions=256, init_scale=0.3,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def mesh_of(*shape: int):
    count = shape[0] * shape[1] * shape[2]
    return sharding.make_mesh(shape, jax.devices()[:count])


def sharded_params(cfg: ModelConfig, mesh, seed: int = 0):
    params = init_params(cfg, jax.random.key(seed))
    return jax.device_put(params, sharding.params_sharding(mesh, params))


def tiny_runtime(mesh=None) -> Runtime:
    mesh = mesh or mesh_of(1, 1, 1)
    chat, cfg = tiny_chat(), tiny_config()
    engine = Engine(
        cfg,
        mesh,
        stop_ids(chat.tokenizer),
        max_num_seqs=4,
        cache_tokens=4096,
        decode=chat.tokenizer.decode,
    )
    return Runtime(mesh, cfg, chat, engine)


def completion(text: str, ids=(1,)) -> Completion:
    return Completion((0,), tuple(ids), (0.0,) * len(ids), text, "stop")


def scored_episode(harmful: bool, bad: list[bool], labels: list[tuple[bool, bool] | None]):
    """An episode whose answers are bad or good as given, with parsed labels (None: unparsed)."""
    prompt = Prompt(0, "p", harmful, "jailbreak_attempt" if harmful else "edge_case")
    return Episode(
        prompt,
        answers=[completion(f"c{t}") for t in range(len(bad))],
        feedbacks=[completion(f"f{t}") for t in range(len(labels))],
        parsed=[None if pair is None else Feedback("r", *pair, "text") for pair in labels],
        verdicts=[Verdict(harmful and b, not harmful and b) for b in bad],
    )


def attempt(
    right: bool, *, parsed: bool = True, timed_out: bool = False, ended: str = "stop",
    tokens: int = 3, text: str = "", **signals: float,
) -> Attempt:  # fmt: skip
    """One answer to a maths problem, by default well-formed and without reflection."""
    said = Completion((), (7,) * tokens, (), text or f"so \\boxed{{{int(right)}}}", ended)
    return Attempt(
        said, {"verify": float(right), "format": 1.0, "reflect": 0.0, **signals}, parsed, timed_out
    )


def answered(
    number: int, *attempts: bool | Attempt, subject: str = "", level: str = "", answer: str = "1"
) -> Group:
    """Problem ``number`` and its samples; True and False stand for right and wrong ones."""
    problem = Problem(number, f"What is {number}?", answer, subject, level)
    return Group(problem, tuple(attempt(a) if isinstance(a, bool) else a for a in attempts))
