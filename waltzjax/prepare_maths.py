"""The embedded maths world's base model, built from nothing into the run's directory."""

from __future__ import annotations

from pathlib import Path

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax import console
from waltzjax.base_model import train_base
from waltzjax.data import maths_world
from waltzjax.data.chat import MATHS_FIELDS, Chat, read_agent_prompt
from waltzjax.data.maths_demonstrations import lessons, tokenizer_texts
from waltzjax.data.tokenizer import train_tokenizer
from waltzjax.runtime import named_prompts, prompt_file, prompt_files

TURNS = ("solutions",)
TOKENIZER_PROBLEMS = 2000  # whose texts the tokenizer is trained on: every word is there


def embedded_maths_base(config: ConfigDict, mesh: Mesh, directory: Path) -> None:
    """Train the base model and save it as a Hugging Face directory, unless it is there already."""
    if directory.exists():
        return
    e = config.embedded_maths
    with console.phase("training the tokenizer, writing solutions"):
        train, _, scenes = maths_world.build(e.data_seed, e.held_out)
        form = config.problems.form
        texts = tokenizer_texts(train[:TOKENIZER_PROBLEMS], scenes, form)
        tokenizer = train_tokenizer(texts, e.vocab_size, single_digits=True)
        chat = Chat.from_files(tokenizer, *prompt_files(config), prompt_file(config, "maths"))
        cards = maths_world.all_sums(maths_world.split_numbers(e.data_seed)["train"])
        personas = [
            (
                read_agent_prompt(
                    named_prompts(file, "config.embedded_maths.personas"), MATHS_FIELDS
                ),
                right,
            )
            for file, right in e.personas
        ]
        taught = lessons(chat, train, scenes, cards, config.seed, form=form, personas=personas)
    train_base(config, "embedded_maths", mesh, directory, tokenizer, taught, TURNS)
