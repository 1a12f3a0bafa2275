"""The model card of an agent: its metadata for the hub, and what a stranger needs to use it."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from waltzjax.config.key import EMBEDDED, WALTZ
from waltzjax.data.chat import AgentPrompt, Chat, fill, opening
from waltzjax.export import facts
from waltzjax.export.agent import ADAPTER, Written
from waltzjax.export.base import Base
from waltzjax.export.contents import CARD
from waltzjax.export.probes import ADVICE, COUNTED, HELD, REFUSED
from waltzjax.export.source import Run
from waltzjax.model.hf.tokenizer import misread
from waltzjax.recipes import STAGES, readers
from waltzjax.rlvr.problem_files import with_instruction
from waltzjax.run.workdir import code_version
from waltzjax.stages.stage import PREFER, REINFORCE, SUPERVISE
from waltzjax.types import CONVERSATION, FEEDBACK

PAPER = "2510.08240"  # arXiv, WaltzRL
TAGS = {REINFORCE: "reinforcement-learning", SUPERVISE: "sft", PREFER: "preference-optimization"}
FENCE = re.compile(r"`{3,}")


class Shown(NamedTuple):
    """How an agent is prompted.

    system, message: of its file of prompts.
    use: what the message shows, in words.
    messages: of an example; text: the same as the chat template writes them.
    """

    system: str
    message: str
    use: str
    messages: list[dict[str, str]]
    text: str


def write_card(
    directory: Path, role: str, run: Run, base: Base, chat: Chat, written: Written
) -> None:
    """Write the card of the agent in ``directory``."""
    data = _metadata(role, run, base, written)
    body = _template().render(
        role=role,
        run=run,
        base=base,
        facts=facts,
        shown=how_shown(role, run, chat),
        adapter=written.kind == ADAPTER,
        written=written,
        game=WALTZ in readers(run.config),
        toy=EMBEDDED in (run.config.data.directory, run.config.problems.train),
        tokenizer="PreTrainedTokenizerFast" if misread(directory) else "AutoTokenizer",
        version=code_version(),
        paper=PAPER,
    )
    (directory / CARD).write_text(f"---\n{data}\n---\n\n{body}", encoding="utf-8")


def _metadata(role: str, run: Run, base: Base, written: Written) -> str:
    """The hub's metadata, as YAML; only what is known."""
    from huggingface_hub import ModelCardData  # slow to import

    reads, adapter = readers(run.config), written.kind == ADAPTER
    game = WALTZ in reads
    kinds = {STAGES[name].kind for name in run.config.stages}
    tags = ["waltzjax", "jax", *(["waltzrl", "safety", "ai-alignment"] if game else ["maths"])]
    more: dict[str, Any] = {**base.licence}
    if run.hub_base:
        more["base_model_relation"] = "adapter" if adapter else "finetune"
    data = ModelCardData(
        base_model=run.hub_base or None,
        language=list(base.languages) or None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=[*tags, f"{role}-agent" if game else role, *sorted(TAGS[k] for k in kinds)]
        + [f"arxiv:{PAPER}"] * game,
        **more,
    )
    return data.to_yaml()


def how_shown(role: str, run: Run, chat: Chat) -> Shown:
    """An agent's prompts, and an example of them."""
    if role == CONVERSATION:
        prompt = chat.conversation
        use = "the feedback, where its labels ask for another answer"
        messages = [
            *opening(prompt.system, HELD),
            {"role": "assistant", "content": REFUSED},
            {"role": "user", "content": fill(prompt.message, feedback=ADVICE)},
        ]
    elif role == FEEDBACK:
        prompt, use = chat.feedback, "the user's prompt and the answer to it"
        messages = opening(prompt.system, fill(prompt.message, prompt=HELD, answer=REFUSED))
    else:
        problems = run.config.problems
        words = "" if problems.train == EMBEDDED else problems.instruction  # made ones have none
        prompt = chat.maths
        use = f"the problem, which ends in {words!r}" if words else "the problem"
        messages = chat.problem_messages(with_instruction(COUNTED, words))
    return _shown(chat, prompt, use, messages)


def _shown(chat: Chat, prompt: AgentPrompt, use: str, messages: list[dict[str, str]]) -> Shown:
    return Shown(prompt.system, prompt.message, use, messages, chat.render(messages))


def _template() -> jinja2.Template:
    pages = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    pages.filters |= {"block": _block, "cells": _cells, "literal": _literal}
    source = files("waltzjax").joinpath("templates", "model_card.md").read_text(encoding="utf-8")
    return pages.from_string(source)


def _block(text: str) -> str:
    """A text as a block of its own, whatever fences it holds."""
    longest = max((len(fence) for fence in FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _cells(row: list[str]) -> str:
    """A row of a table."""
    escaped = (" ".join(str(cell).split()).replace("|", "\\|") for cell in row)
    return f"| {' | '.join(escaped)} |"


def _literal(value: Any) -> str:
    return json.dumps(value, indent=4, ensure_ascii=False)
