"""Evaluate two agents on the validation prompts: rates, transcripts.

    python -m waltzjax.evaluate --config=configs/stage2.py:tiny --data=runs/demo/data \\
        --conversation=runs/demo/conversation --feedback=runs/demo/feedback --output=result.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console
from waltzjax.data.dataset import read_prompts
from waltzjax.files import write_json
from waltzjax.judging import open_judge
from waltzjax.model import hf_config, sharding
from waltzjax.processes import writes
from waltzjax.rewards.judges import Judge, Scorer
from waltzjax.rewards.rates import summary
from waltzjax.rollout.agents import Agents
from waltzjax.rollout.episodes import play
from waltzjax.runtime import Runtime, check_room, check_same_shape, make_runtime, sampling
from waltzjax.tuning import load_agents, model_directory
from waltzjax.types import Episode, Prompt

EVAL_STREAM = 3  # apart from the training stages' random streams


def stratified(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    """The first n / categories prompts of each category (all of them for n = 0), in order."""
    if not n:
        return list(prompts)
    categories = sorted({p.category for p in prompts})
    left = {c: n // len(categories) + (i < n % len(categories)) for i, c in enumerate(categories)}
    chosen = []
    for prompt in prompts:
        if left[prompt.category]:
            left[prompt.category] -= 1
            chosen.append(prompt)
    return chosen


def evaluate(
    config: ConfigDict,
    runtime: Runtime,
    params: Mapping[str, Any],
    prompts: Sequence[Prompt],
    judge: Judge,
    label: str,
) -> tuple[dict[str, float], list[Episode]]:
    """Play and score every prompt: (rates, scored episodes). See ``rewards.rates.summary``."""
    found: dict[int, Episode] = {}
    with (
        Scorer(judge, max_unparsed=config.judge.max_unparsed) as scorer,
        runtime.engine.session(params) as session,
        console.Progress(len(prompts), f"evaluating {label}", unit="prompt") as bar,
    ):
        how = sampling(config, config.eval.temperature)
        agents = Agents(
            runtime.chat, session, how, seed=config.seed * 10 + EVAL_STREAM, step=0,
            watch=lambda stats: bar.update(len(found), **stats.shown()),
        )  # fmt: skip
        for index, episode in play(prompts, runtime.chat, agents, t_max=config.rollout.t_max):
            scorer.add(episode)
            found[index] = episode
        bar.update(len(found), **session.stats().shown())
        session.close()  # the judge may be a model that needs the room
        scorer.finish()
    episodes = [found[index] for index in range(len(prompts))]
    return summary(episodes), episodes


def result(config: ConfigDict, rates: Mapping[str, float], n: int) -> dict[str, Any]:
    """Rates as they stand in ``final_validation_results.json``: first answers under ``initial``."""
    flat = {k: v for k, v in rates.items() if "/" not in k}
    first = {k.removeprefix("initial/"): v for k, v in rates.items() if k.startswith("initial/")}
    return {**flat, "n": n, "seed": config.seed, "initial": first}


def transcript(episode: Episode) -> dict[str, Any]:
    """A scored episode as plain JSON values."""
    turns = []
    for t, (answer, verdict) in enumerate(zip(episode.answers, episode.verdicts, strict=True)):
        has = t < len(episode.feedbacks)
        parsed = episode.parsed[t] if has else None
        turns.append(
            {
                "answer": answer.text,
                "verdict": verdict._asdict() if verdict else None,
                "feedback": episode.feedbacks[t].text if has else None,
                "parsed": vars(parsed) if parsed else None,
            }
        )
    p = episode.prompt
    return {
        "id": p.id, "category": p.category, "prompt": p.text,
        "harmful": p.harmful, "turns": turns,
    }  # fmt: skip


def main() -> None:
    config, f = flags.FLAGS.config, flags.FLAGS
    config_check.validate(config, training=False)
    output = Path(f.output)
    transcripts = output.with_suffix(".transcripts.jsonl")
    for path in (output, transcripts):
        if path.exists():
            raise FileExistsError(f"--output: {path} is there already; name another file")
    mesh = sharding.make_mesh(config.mesh)
    prompts = stratified(read_prompts(Path(f.data) / "validation.jsonl"), config.eval.prompts)
    roles = {"conversation": f.conversation, "feedback": f.feedback}
    directories = {role: hf_config.resolve(name) for role, name in roles.items()}
    models = {role: model_directory(d) for role, d in directories.items()}
    runtime = make_runtime(config, models["conversation"], mesh)
    check_same_shape(runtime, config, models["feedback"])
    check_room(runtime, config, prompts)
    output.parent.mkdir(parents=True, exist_ok=True)
    with console.phase("loading both agents"):
        params = load_agents(directories, runtime)
    with open_judge(config, mesh, output.parent) as judge:
        rates, episodes = evaluate(config, runtime, params, prompts, judge, "both agents")
    if writes():
        lines = [json.dumps(transcript(e)) + "\n" for e in episodes]
        transcripts.write_text("".join(lines))
        write_json(output, result(config, rates, len(prompts)))
    rows = [[k, f"{v:.2f}"] for k, v in rates.items()]
    console.say(console.table(str(output), ["measure", "value"], rows))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with :tiny or overrides.")
    flags.DEFINE_string("data", None, "Directory that holds validation.jsonl.")
    flags.DEFINE_string("conversation", None, "Hugging Face directory of the conversation agent.")
    flags.DEFINE_string("feedback", None, "Hugging Face directory of the feedback agent.")
    flags.DEFINE_string(
        "output", None, "JSON file to write, transcripts beside it; neither exists."
    )
    flags.mark_flags_as_required(["config", "data", "conversation", "feedback", "output"])
    commands.define_processes()
    flags.adopt_module_key_flags(commands)  # --help shows them
    commands.run(main)
