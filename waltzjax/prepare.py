"""The embedded default's data and base model, built from nothing into the run's directory."""

from __future__ import annotations

from pathlib import Path

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.base_model import train_base
from waltzjax.data import world
from waltzjax.data.chat import Chat
from waltzjax.data.chat_examples import Shown, ordinary_chats
from waltzjax.data.curriculum import curriculum, tokenizer_texts
from waltzjax.data.dataset import verify, write_dataset
from waltzjax.data.splits import expected_counts
from waltzjax.data.tokenizer import train_tokenizer
from waltzjax.processes import wait, writes
from waltzjax.runtime import prompt_files

# Demonstrations by turns, one kind a batch: rows of like length waste little padding.
TURNS = ("review", "first", "review", "first", "revision")
ORDINARY_SHARE = 0.15  # everyday prompts among what the base is taught, for each of the game's
ORDINARY_CHATS = 400  # beside the dataset, on frames unseen in training
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
    train_base(config, "embedded", mesh, directory, tokenizer, lessons, TURNS)
