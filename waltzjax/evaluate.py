"""Evaluate two agents on a dataset's validation prompts: rates, transcripts, report.

    python -m waltzjax.evaluate --config=configs/stage2.py:tiny --data=runs/demo/data \\
        --conversation=runs/demo/conversation --feedback=runs/demo/feedback --output=result.json

``--split=train`` plays the training prompts instead: for transcripts that become chats to fine-tune
on (``scripts/make_sft_data.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console, resume
from waltzjax.data.dataset import read_prompts
from waltzjax.data.splits import SPLITS, of_each_category
from waltzjax.drift import drift
from waltzjax.files import write_json
from waltzjax.judging import open_judge
from waltzjax.model import hf_config, sharding
from waltzjax.ordinary import Ordinary, ordinary_result, read_ordinary
from waltzjax.processes import writes
from waltzjax.report.evaluation import write_evaluation
from waltzjax.report.trust import note, warnings
from waltzjax.rewards.judges import Judge, Scorer
from waltzjax.rewards.kinds import by_kind
from waltzjax.rewards.rates import by_category, confusion, interval_units, intervals, summary
from waltzjax.rollout.agents import Agents
from waltzjax.rollout.episodes import play
from waltzjax.runtime import (
    Runtime,
    check_room,
    check_same_shape,
    make_runtime,
    sampling,
    template_settings,
)
from waltzjax.transcripts import ORDINARY_SUFFIX, SUFFIX, transcript, write_transcripts
from waltzjax.tuning import load_agents, model_directory
from waltzjax.types import Episode, Prompt
from waltzjax.variants import make_variant

BASE = "base"  # its parameters, beside the agents'
EVAL_STREAM = 3  # apart from the training stages' random streams


def evaluate(
    config: ConfigDict, runtime: Runtime, params: Mapping[str, Any], prompts: Sequence[Prompt],
    judge: Judge, label: str,
) -> list[Episode]:  # fmt: skip
    """Play every prompt, and have the judge score what was said."""
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
        for index, episode in play(
            prompts, runtime.chat, agents, t_max=config.rollout.t_max,
            variant=make_variant(config, judge),
        ):  # fmt: skip
            scorer.add(episode)
            found[index] = episode
        bar.update(len(found), **session.stats().shown())
        session.close()  # the judge may be a model that needs the room
        scorer.finish()
    return [found[index] for index in range(len(prompts))]


def guard(
    config: ConfigDict, runtime: Runtime, params: Mapping[str, Any], ordinary: Ordinary | None,
    judge: Judge, label: str,
) -> tuple[dict[str, Any], list[Episode]]:  # fmt: skip
    """The measures of a dataset's ordinary chats, for ``result``, and how their prompts were
    played: up to ``config.eval.prompts`` of them; the likelihood is that of all chats. Nothing
    without such chats."""
    if ordinary is None:
        return {}, []
    asked = ordinary.prompts[: config.eval.prompts or None]
    episodes = evaluate(config, runtime, params, asked, judge, f"{label}, ordinary prompts")
    return ordinary_result(config, runtime, params, ordinary.chats, episodes), episodes


def result(
    config: ConfigDict, episodes: Sequence[Episode], *more: Mapping[str, Any]
) -> dict[str, Any]:
    """What stands in ``final_validation_results.json``: see ``rewards.rates.summary``. Rates of the
    last answers, those of the first ones under ``initial``, of each category under ``categories``,
    all with 95 % ``intervals``, which are over ``interval_units``; the feedback's labels against
    the judge's; and ``more``, as of ``guard`` and ``drift``."""
    groups = by_category(episodes)
    parts = [_measured(episodes, config.seed), *more]
    return {
        **{key: value for part in parts for key, value in part.items()},
        "intervals": {k: v for part in parts for k, v in part.get("intervals", {}).items()},
        "interval_units": interval_units(episodes),
        "seed": config.seed,
        "settings": settings(config),
        "categories": {name: _measured(of, config.seed) for name, of in groups.items()},
        "confusion": confusion(episodes),
    }


def settings(config: ConfigDict) -> dict[str, Any]:
    """What else than the agents and the prompts a result depends on."""
    return {
        "judge.name": config.judge.name,
        "judge.model": config.judge.model,
        "eval.temperature": config.eval.temperature,
        "rollout.t_max": config.rollout.t_max,
        "rollout.variant": config.rollout.variant,
        "rollout.max_new_tokens": config.rollout.max_new_tokens,
        **template_settings(config),
    }


def _measured(episodes: Sequence[Episode], seed: int) -> dict[str, Any]:
    rates, ranges = summary(episodes), intervals(episodes, seed=seed)

    def part(first: bool) -> dict[str, Any]:
        keys = {k.removeprefix("initial/"): k for k in rates if k.startswith("initial/") == first}
        edges = {name: list(ranges[key]) for name, key in keys.items()}
        return {**{name: rates[key] for name, key in keys.items()}, "intervals": edges}

    return {**part(False), "n": len(episodes), "initial": part(True)}


def main() -> None:
    config, f = flags.FLAGS.config, flags.FLAGS
    config_check.validate(config, training=False)
    output = Path(f.output)
    transcripts, page = output.with_suffix(SUFFIX), output.with_suffix(".html")
    beside = output.with_suffix(ORDINARY_SUFFIX)
    if page == output:
        raise ValueError(
            f"--output: got {output}, wanted is the JSON file; the report lies beside it"
        )
    for path in (output, transcripts, beside, page):
        if path.exists():
            raise FileExistsError(f"--output: {path} is there already; name another file")
    mesh = sharding.make_mesh(config.mesh)
    prompts = of_each_category(read_prompts(Path(f.data) / f"{f.split}.jsonl"), config.eval.prompts)
    roles = {"conversation": f.conversation, "feedback": f.feedback}
    directories = {role: hf_config.resolve(name) for role, name in roles.items()}
    models = {role: model_directory(d) for role, d in directories.items()}
    config = resume.dated(config, base=models["conversation"])
    runtime = make_runtime(config, models["conversation"], mesh)
    check_same_shape(runtime, config, models["feedback"])
    if f.base:
        directories[BASE] = hf_config.resolve(f.base)
        check_same_shape(runtime, config, model_directory(directories[BASE]))
    ordinary = read_ordinary(Path(f.data), config, runtime)
    check_room(runtime, config, [*prompts, *(ordinary.prompts if ordinary else ())])
    output.parent.mkdir(parents=True, exist_ok=True)
    with console.phase("loading both agents"):
        params = load_agents(directories, runtime)
    base = params.pop(BASE, None)
    with open_judge(config, mesh, output.parent) as judge:
        episodes = evaluate(config, runtime, params, prompts, judge, "both agents")
        more, others = guard(config, runtime, params, ordinary, judge, "both agents")
    moved = drift(config, runtime, params, base, episodes) if f.base else {}
    found = result(config, episodes, more, moved)
    if writes():
        write_transcripts(transcripts, episodes)
        if others:
            write_transcripts(beside, others)
        write_json(output, found)
        write_evaluation(
            page, title=f"Evaluation, {output.stem}", agents=roles, config_text=config.to_yaml(),
            result=found,
            kinds={k: [transcript(e) for e in of] for k, of in by_kind(episodes).items()},
        )  # fmt: skip
    rows = [
        [f"{prefix}{key}", f"{part[key]:.2f}", " to ".join(f"{edge:.2f}" for edge in edges)]
        for prefix, part in (("", found), ("initial/", found["initial"]))
        for key, edges in part["intervals"].items()
    ]
    over = f"95 % interval, over {found['interval_units']}"
    console.say(console.table(str(output), ["measure", "value", over], rows))
    for line in (*warnings(found), note(found)):
        console.say(line)
    console.say(f"open {page}")


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with :tiny or overrides.")
    flags.DEFINE_string("data", None, "Directory that holds validation.jsonl, train.jsonl.")
    flags.DEFINE_enum("split", "validation", SPLITS, "Which of the two is played.")
    flags.DEFINE_string("conversation", None, "Hugging Face directory of the conversation agent.")
    flags.DEFINE_string("feedback", None, "Hugging Face directory of the feedback agent.")
    flags.DEFINE_string(
        "base", None, "Of the model both began at: adds their KL divergence from it."
    )
    flags.DEFINE_string(
        "output", None, "JSON file to write, transcripts and report beside it; none exists."
    )
    flags.mark_flags_as_required(["config", "data", "conversation", "feedback", "output"])
    commands.define_processes()
    flags.adopt_module_key_flags(commands)  # --help shows them
    commands.run(main)
