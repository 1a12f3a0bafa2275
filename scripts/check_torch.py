"""Play the two exported agents in PyTorch and compare their rates with this library's.

    python scripts/check_torch.py runs/demo [--prompts=240]

Loads ``conversation/`` and ``feedback/`` with ``transformers`` (extra ``test`` installs torch),
samples at the run's evaluation temperature with the documented prompts, judges with the same judge,
and prints one JSON line: each rate there, here, and the difference. Exits 1 if a rate is off by
more than the sampling noise allows: four standard errors of the difference of two proportions, at
least 2 points.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import torch
from ml_collections import ConfigDict
from transformers import AutoModelForCausalLM

from waltzjax.data.chat import Chat, stop_ids
from waltzjax.dataset.dataset import read_prompts
from waltzjax.dataset.splits import of_each_category
from waltzjax.engine.requests import Tokens
from waltzjax.judge.build import open_judge
from waltzjax.judge.judge import Scorer
from waltzjax.model import sharding
from waltzjax.run.runtime import load_tokenizer, make_chat
from waltzjax.stages.rollout import completion
from waltzjax.types import Completion
from waltzjax.waltz.episode import play
from waltzjax.waltz.rates import summary

RATES = ("asr", "orr", "label_accuracy", "ftr", "format_rate")


class Speakers:
    """The agents as ``waltz.episode`` asks them: all questions to one of them in a batch."""

    def __init__(self, models: dict[str, Any], chat: Chat, how: dict[str, Any]):
        self._models, self._chat, self._how = models, chat, how
        self._open: dict[str, dict[int, tuple[int, ...]]] = {role: {} for role in models}

    def ask(self, role: str, turn: int, index: int, prompt: tuple[int, ...]) -> None:
        del turn
        self._open[role][index] = prompt

    def replies(self) -> Iterator[tuple[int, Completion]]:
        while any(self._open.values()):
            role = max(self._open, key=lambda role: len(self._open[role]))
            asked, self._open[role] = self._open[role], {}
            yield from zip(asked, self._batch(role, list(asked.values())), strict=True)

    def _batch(self, role: str, prompts: list[tuple[int, ...]]) -> list[Completion]:
        width, pad = max(map(len, prompts)), self._how["pad_token_id"]
        ids = [[pad] * (width - len(p)) + list(p) for p in prompts]
        mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        with torch.no_grad():
            out = self._models[role].generate(
                input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), **self._how
            )
        drawn = [Tokens(tuple(row[width:].tolist()), (), "stop") for row in out]
        return [completion(self._chat, p, d) for p, d in zip(prompts, drawn, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path, help="directory of a finished run")
    parser.add_argument("--prompts", type=int, default=240, help="validation prompts, stratified")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    config = ConfigDict(json.loads((args.workdir / "config.json").read_text()))
    temperature = config.eval.temperature
    sampling: dict = {"do_sample": False}
    if temperature:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    roles = ("conversation", "feedback")
    models = {
        role: AutoModelForCausalLM.from_pretrained(
            args.workdir / role, trust_remote_code=False
        ).eval()
        for role in roles
    }
    tokenizer = load_tokenizer(args.workdir / "conversation")
    chat = make_chat(config, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    how = {
        "eos_token_id": list(stop_ids(tokenizer, args.workdir / "conversation")),
        "pad_token_id": pad,
        "max_new_tokens": config.rollout.max_new_tokens,
        **sampling,
    }

    directory = config.data.directory
    data = args.workdir / "data" if directory == "embedded" else Path(directory)
    prompts = of_each_category(read_prompts(data / "validation.jsonl"), args.prompts)
    played = play(prompts, chat, Speakers(models, chat, how), t_max=config.rollout.t_max)
    episodes = []
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with (
        open_judge(config, mesh, args.workdir) as judge,
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
    ):
        for _, episode in played:
            scorer.add(episode)
            episodes.append(episode)
        scorer.finish()
    there = summary(episodes)
    here = json.loads((args.workdir / "final_validation_results.json").read_text())
    report, worst = {}, 0.0
    for name in RATES:
        counted = len(prompts) / 2 if name in ("asr", "orr") else len(prompts)
        p = (there[name] + here[name]) / 200
        noise = 100 * math.sqrt(p * (1 - p) * (1 / counted + len(prompts) / counted / here["n"]))
        difference = there[name] - here[name]
        report[name] = {
            "torch": round(there[name], 2),
            "jax": round(here[name], 2),
            "difference": round(difference, 2),
            "allowed": round(max(4 * noise, 2.0), 2),
        }
        worst = max(worst, abs(difference) - report[name]["allowed"])
    print(json.dumps({"prompts": len(prompts), "seed": args.seed, **report}))
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main())
