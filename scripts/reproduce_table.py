"""Run every row of WaltzRL's table (arXiv 2510.08240, table 1, and its reward ablation); print it.

    python scripts/reproduce_table.py --size=tiny --seeds=0,1,2 --workdir=runs/table

Each seed trains, from one base: stage 1, then stage 2 (WaltzRL), a single model with the same steps
and reward, and stage 1 under the two other rewards of the ablation; then every row is played on the
same validation prompts. What is done stays: the same command goes on where it was stopped. Leaves
``table.json`` (row -> measure -> mean, interval, seeds) and ``table.md`` in the directory. With one
seed the intervals are those of the prompts, with several those of the seeds' means (Student's t).
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from waltzjax import commands, config_check
from waltzjax.config import EMBEDDED
from waltzjax.console import say, table
from waltzjax.data.dataset import read_prompts
from waltzjax.evaluate import evaluate, guard, result, stratified
from waltzjax.files import write_json
from waltzjax.judging import open_judge
from waltzjax.model import hf_config, sharding
from waltzjax.ordinary import read_ordinary
from waltzjax.rewards.guards import likelihood
from waltzjax.runtime import check_room, make_runtime
from waltzjax.train import train
from waltzjax.transcripts import write_transcripts
from waltzjax.tuning import load_agents, model_directory

SIZES = {"tiny": "tiny", "8b": "", "8b-lora": "lora"}
MEASURES = (
    "asr", "orr", "f1", "label_accuracy", "ftr", "ordinary_ftr", "ordinary_likelihood",
)  # fmt: skip
IN_PASSING = 120  # prompts that a run is evaluated on while it trains: the rows are played anew
# Student's t, two-sided 95 %, of 2 to 10 seeds.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
OWN_KEYS = ("stages", "seed", "rollout.variant", "reward.conditioned")


class Row(NamedTuple):
    """conversation, feedback: whose agents are played, of ``base`` or of the run of that name."""

    label: str
    conversation: str
    feedback: str
    overrides: Mapping[str, Any] = {}


ALONE = {"rollout.t_max": 0}
GUARD, ORACLE = ({"rollout.variant": name} for name in ("safeguard", "oracle"))
ROWS = {
    "base": Row("base", "base", "base", ALONE),
    "base_safeguard": Row("base + safeguard", "base", "base", GUARD),
    "single": Row("single-model RL", "single", "base", ALONE),
    "single_safeguard": Row("single-model RL + safeguard", "single", "base", GUARD),
    "untrained": Row("collaboration, untrained", "base", "base"),
    "oracle": Row(
        "oracle labels, template feedback", "base", "base", {"rollout.variant": "oracle"}
    ),
    "frozen": Row("frozen conversation agent (ablation A)", "base", "waltzrl/stage1"),
    "waltzrl": Row("WaltzRL", "waltzrl", "waltzrl"),
    "ablation_b": Row("ablation B: no label reward", "base", "ablation_b"),
    "ablation_c": Row("ablation C: nor condition", "base", "ablation_c"),
}


def variant(size: str, seed: int, overrides: Sequence[str]) -> ConfigDict:
    """The config of WaltzRL at this size; ``overrides`` are KEY=VALUE of all runs."""
    config = run_path(str(Path(__file__).parent.parent / "configs/stage2.py"))["get_config"](
        SIZES[size]
    )
    for text in overrides:
        key, _, value = text.partition("=")
        if key in OWN_KEYS:
            raise ValueError(f"--set: {key} is this script's to set")
        try:
            config.update_from_flattened_dict({key: _value(value)})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"--set: got {text!r}: {error} (keys: waltzjax/config.py)") from error
    config.seed, config.stages = seed, ("stage1", "stage2")
    config_check.validate(config, training=True)
    if (config.train.steps.stage1 == 0) != (config.train.steps.stage2 == 0):
        raise ValueError("--set: train.steps.stage1 and stage2: both 0, for whole epochs, or none")
    return config


def _value(text: str) -> Any:
    """JSON, or else plain text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def runs(config: ConfigDict, directory: Path) -> dict[str, ConfigDict]:
    """What is trained for one seed, in this order; all but the first from its base."""

    def of(**changes: Any) -> ConfigDict:
        c = ConfigDict(config.to_dict())
        if changes and c.model.base == EMBEDDED:
            c.model.base = str(directory / "waltzrl/base")
        c.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
        c.eval.prompts = IN_PASSING
        return c

    steps = config.train.steps.stage1 + config.train.steps.stage2
    alone = {"train__steps__single": steps} if steps else {"train__epochs": 2 * config.train.epochs}
    ablated = {"stages": ("stage1",), "reward__lam__stage1": 0.0}
    return {
        "waltzrl": of(),
        "single": of(stages=("single",), **alone),
        "ablation_b": of(**ablated),
        "ablation_c": of(**ablated, reward__conditioned=False),
    }


def one_seed(config: ConfigDict, directory: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Train what the wanted rows need, play them; result by row."""
    made = runs(config, directory)
    needed = {p.split("/")[0] for name in wanted for p in ROWS[name][1:3]}
    if config.model.base == EMBEDDED:
        needed |= {"waltzrl"}  # which builds it
    for name, of_run in made.items():
        if name in needed:
            say(f"\n== seed {config.seed}: {name}")
            train(of_run, directory / name)
    base = Path(made["single"].model.base)
    played = ConfigDict({**made["single"].to_dict(), "eval": config.eval.to_dict()})

    def agent(where: str, role: str) -> Path:
        return base if where == "base" else directory / where / role

    found = {}
    for name in wanted:
        path, row = directory / "rows" / f"{name}.json", ROWS[name]
        settings = _as_json({**played.to_dict(), **row.overrides})
        if not path.exists():
            say(f"\n== seed {config.seed}: playing {row.label}")
            agents = {
                "conversation": agent(row.conversation, "conversation"),
                "feedback": agent(row.feedback, "feedback"),
            }
            played_row = play(played, row, agents, directory, path)
            write_json(path, {"settings": settings, "result": played_row})
        record = json.loads(path.read_text())
        if record["settings"] != settings:
            raise ValueError(f"{path}: played with other settings; name another --workdir")
        found[name] = record["result"]
    before = found.get("base", {}).get("ordinary")
    for of in found.values() if before else ():
        share, *edges = likelihood(before, of["ordinary"], config.seed)
        of["ordinary_likelihood"], of["intervals"]["ordinary_likelihood"] = share, edges
    return found


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def play(
    config: ConfigDict, row: Row, agents: Mapping[str, Path], directory: Path, path: Path
) -> dict[str, Any]:
    """Evaluate one row; its transcripts are written beside ``path``."""
    c = ConfigDict(config.to_dict())
    c.update_from_flattened_dict(dict(row.overrides))
    data = directory / "waltzrl/data"
    data = data if data.exists() else Path(c.data.directory)
    prompts = stratified(read_prompts(data / "validation.jsonl"), c.eval.prompts)
    mesh = sharding.make_mesh(c.mesh)
    resolved = {role: hf_config.resolve(str(where)) for role, where in agents.items()}
    runtime = make_runtime(c, model_directory(resolved["conversation"]), mesh)
    ordinary = read_ordinary(data, c, runtime)
    check_room(runtime, c, [*prompts, *(ordinary.prompts if ordinary else ())])
    with open_judge(c, mesh, directory) as judge:
        params = load_agents(resolved, runtime)
        episodes = evaluate(c, runtime, params, prompts, judge, row.label)
        found = result(c, episodes, guard(c, runtime, params, ordinary, judge, row.label))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_transcripts(path.with_suffix(".transcripts.jsonl"), episodes)
    return found


def summarise(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Row -> measure -> mean, interval, and each seed's value; of results by row, a seed each."""
    out: dict[str, dict[str, Any]] = {}
    for name in found[0]:
        out[name] = {"label": ROWS[name].label}
        for measure in MEASURES:
            values = [of_seed[name].get(measure) for of_seed in found]
            known = [v for v in values if v is not None]
            mean = statistics.fmean(known) if known else None
            if len(found) == 1:
                interval = found[0][name]["intervals"].get(measure, [None, None])
            elif mean is None or len(known) < 2:
                interval = [None, None]
            else:
                half = T_975[len(known) - 2] * statistics.stdev(known) / math.sqrt(len(known))
                interval = [mean - half, mean + half]
            out[name][measure] = {"mean": mean, "interval": interval, "seeds": values}
    return out


def cell(figure: Mapping[str, Any]) -> str:
    if figure["mean"] is None:
        return "-"
    low, high = figure["interval"]
    span = "" if low is None else f" ({low:.1f} to {high:.1f})"
    return f"{figure['mean']:.1f}{span}"


def main() -> None:
    f = flags.FLAGS
    wanted = f.rows or list(ROWS)
    if unknown := [name for name in wanted if name not in ROWS]:
        commands.usage(f"--rows: got {', '.join(unknown)}, allowed are {', '.join(ROWS)}")
    if not all(s.isdigit() for s in f.seeds) or not 0 < len({*f.seeds}) == len(f.seeds) < 11:
        commands.usage(f"--seeds: got {','.join(f.seeds)!r}, wanted are 1 to 10 different numbers")
    workdir, seeds = Path(f.workdir), [int(s) for s in f.seeds]
    found = [
        one_seed(variant(f.size, seed, f.set), workdir / f"seed{seed}", wanted) for seed in seeds
    ]
    summary = summarise(found)
    header = ["row", *MEASURES]
    rows = [
        [summary[name]["label"], *(cell(summary[name][m]) for m in MEASURES)] for name in wanted
    ]
    write_json(workdir / "table.json", summary)
    lines = [header, ["---"] * len(header), *rows]
    text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    whole = workdir / ".table.md.tmp"
    whole.write_text(text)
    whole.replace(workdir / "table.md")
    say(table(f"seeds {', '.join(f.seeds)}", header, rows))


if __name__ == "__main__":
    flags.DEFINE_enum("size", "tiny", list(SIZES), "Of the models.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, each trained anew.")
    flags.DEFINE_string("workdir", None, "Directory of all runs; the same one again goes on.")
    flags.DEFINE_list(
        "rows",
        [],
        f"Some of {', '.join(ROWS)}; default: all. Likelihoods are in per cent of the row base's.",
    )
    flags.DEFINE_multi_string("set", [], "KEY=VALUE of the config, for all runs.")
    flags.mark_flags_as_required(["workdir"])
    commands.run(main)
