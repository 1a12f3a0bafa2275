"""Run every row of WaltzRL's table (arXiv 2510.08240, table 1, and its reward ablation); print it.

    python scripts/reproduce_table.py --size=tiny --seeds=0,1,2 --workdir=runs/table

Each seed trains, from one base: stage 1, then stage 2 (WaltzRL), a single model with the same steps
and reward, and stage 1 under the two other rewards of the ablation; then every row is played on the
same validation prompts. What is done stays: the same command goes on where it was stopped. Leaves
``table.json`` (row -> measure -> mean, interval, seeds), ``table.md`` and ``table.html``. With one
seed the intervals are those over the prompts or their frames (``interval_units``), with several the
wider, at either end, of these (their mean) and of the seeds' own (Student's t).
Likelihoods are in per cent of the base's; KL is that of trained agents from the base, nats a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from waltzjax.config import check
from waltzjax.config.key import EMBEDDED
from waltzjax.dataset.dataset import read_prompts
from waltzjax.dataset.splits import of_each_category
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.recipes import readers, validate
from waltzjax.report.seeds_table import MEASURES, cell, markdown, summarise, write_rows
from waltzjax.report.trust import note, warnings
from waltzjax.run import cli
from waltzjax.run.runtime import prompt_files
from waltzjax.run.trainable import model_directory
from waltzjax.support.console import say, table
from waltzjax.support.files import write_json, write_text
from waltzjax.train import train
from waltzjax.types import CONVERSATION, FEEDBACK
from waltzjax.waltz.baselines import BASE, ROWS, Row, runs
from waltzjax.waltz.benign import read_benign
from waltzjax.waltz.evaluate import evaluate_saved
from waltzjax.waltz.results import add_likelihood
from waltzjax.waltz.runtime import check_room, game_runtime

SIZES = {"tiny": "coded", "8b": "", "8b-lora": "lora"}
OWN_KEYS = (
    "stages", "seed", "rollout.variant", "reward.conditioned", "train.steps.single",
    "rl.beta.single",
)  # fmt: skip


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
            raise ValueError(f"--set: got {text!r}: {error} (keys: waltzjax/config/)") from error
    config.seed, config.stages = seed, ("stage1", "stage2")
    validate(config, training=True)
    if (config.train.steps.stage1 == 0) != (config.train.steps.stage2 == 0):
        raise ValueError("--set: train.steps.stage1 and stage2: both 0, for whole epochs, or none")
    return config


def _value(text: str) -> Any:
    """JSON, or else plain text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def one_seed(config: ConfigDict, directory: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Train what the wanted rows need, play them; result by row."""
    made = runs(config, directory)
    needed = {p.split("/")[0] for name in wanted for p in ROWS[name][1:3]}
    if config.model.base == EMBEDDED:
        needed |= {"waltzrl"}  # which builds it
    for name, of_run in made.items():
        if name in needed:
            say(f"\n== seed {config.seed}: {name}")
            train(check.only_read(of_run, readers(of_run)), directory / name)
    base = hf_config.resolve(made["single"].model.base)
    played = ConfigDict({**made["single"].to_dict(), "eval": config.eval.to_dict()})
    texts = [path.read_text(encoding="utf-8") for path in prompt_files(played)]
    results = {}
    for name in wanted:
        path, row = directory / "rows" / f"{name}.json", ROWS[name]
        settings = _as_json({**played.to_dict(), **row.overrides, "prompt_texts": texts})
        if not path.exists():
            say(f"\n== seed {config.seed}: playing {row.label}")
            agents = {
                role: base if where == BASE else hf_config.resolve(str(directory / where / role))
                for role, where in ((CONVERSATION, row.conversation), (FEEDBACK, row.feedback))
            }
            played_row = play(played, row, agents, base, directory, path)
            write_json(path, {"settings": settings, "result": played_row})
        record = json.loads(path.read_text())
        if record["settings"] != settings:
            raise ValueError(f"{path}: played with other settings; name another --workdir")
        results[name] = record["result"]
    add_likelihood(results, config.seed)
    return results


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def play(
    config: ConfigDict,
    row: Row,
    agents: Mapping[str, Path],
    base: Path,
    directory: Path,
    path: Path,
) -> dict[str, Any]:
    """Evaluate one row; its transcripts are written beside ``path``."""
    c = ConfigDict(config.to_dict())
    c.update_from_flattened_dict(dict(row.overrides))
    data = directory / "waltzrl/data"
    data = data if data.exists() else Path(c.data.directory)
    prompts = of_each_category(read_prompts(data / "validation.jsonl"), c.eval.prompts)
    mesh = sharding.make_mesh(c.mesh)
    runtime = game_runtime(c, model_directory(agents[CONVERSATION]), mesh)
    benign = read_benign(data, c, runtime)
    check_room(runtime, c, [*prompts, *(benign.prompts if benign else ())])
    path.parent.mkdir(parents=True, exist_ok=True)
    trained = [role for role, where in agents.items() if where != base]
    return evaluate_saved(
        c, runtime, {**agents, BASE: base}, prompts, benign, row.label, directory, path, trained
    )[0]


def main() -> None:
    f = flags.FLAGS
    wanted = f.rows or list(ROWS)
    if unknown := [name for name in wanted if name not in ROWS]:
        cli.usage(f"--rows: got {', '.join(unknown)}, allowed are {', '.join(ROWS)}")
    if not all(s.isdigit() for s in f.seeds) or not 0 < len({*f.seeds}) == len(f.seeds):
        cli.usage(f"--seeds: got {','.join(f.seeds)!r}, wanted are different numbers")
    workdir, seeds = Path(f.workdir), [int(s) for s in f.seeds]
    results = [
        one_seed(variant(f.size, seed, f.set), workdir / f"seed{seed}", wanted) for seed in seeds
    ]
    summary, over = summarise(results), results[0][wanted[0]].get("interval_units", "prompts")
    header = ["row", *MEASURES]
    rows = [
        [ROWS[name].label, *(cell(summary[name][m], decimals) for m, decimals in MEASURES.items())]
        for name in wanted
    ]
    warned = [
        f"{ROWS[name].label}, seed {seed}: {text}"
        for seed, of_seed in zip(seeds, results, strict=True)
        for name in wanted
        for text in warnings(of_seed[name])
    ]
    judged = note(results[0][wanted[0]])
    write_json(workdir / "table.json", summary)
    write_text(workdir / "table.md", markdown(header, rows))
    write_rows(
        workdir / "table.html",
        title="Every row of WaltzRL's table",
        seeds=seeds,
        over=over,
        rows={ROWS[name].label: summary[name] for name in wanted},
        warnings=warned,
        note=judged,
    )
    say(table(f"seeds {', '.join(f.seeds)}; intervals over {over}", header, rows))
    for line in (*warned, judged):
        say(line)
    say(f"open {workdir / 'table.html'}")


if __name__ == "__main__":
    flags.DEFINE_enum("size", "tiny", list(SIZES), "Of the models.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds, each trained anew.")
    flags.DEFINE_string("workdir", None, "Directory of all runs; the same one again goes on.")
    flags.DEFINE_list(
        "rows",
        [],
        f"Some of {', '.join(ROWS)}; default: all. Likelihoods need the row base.",
    )
    flags.DEFINE_multi_string("set", [], "KEY=VALUE of the config, for all runs.")
    flags.mark_flags_as_required(["workdir"])
    cli.run(main)
