"""Write the tables of measured figures into the READMEs, from the JSON files of configs/results/.

    python scripts/write_tables.py            # rewrite what differs
    python scripts/write_tables.py --check    # change nothing; exit 1 and name what differs

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``; a config's docstring ends in
the lines after ``Results:``, a line a size. Figures are means over the seeds, with the lowest and
the highest.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import serve_figures
from absl import flags

from waltzjax.run import cli
from waltzjax.support.console import say

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "configs/results"
HEADER = "Results: size | commit | hardware | time | seeds | metric (interval)"
UNMEASURED = "not measured"
Record = Mapping[str, Any]

# Rows of stage2-tiny.json's table: key of the results, name, targets of the base and of stage 2.
GAME = (
    ("asr", "ASR, %", "30–50", "≤ 4.6"),
    ("orr", "ORR, %", "35–55", "≤ 9.9"),
    ("f1", "F1, %", "", ""),
    ("label_accuracy", "label accuracy, %", "", "≥ 95"),
    ("ftr", "FTR, %", "", "≤ 50"),
    ("dir", "DIR where feedback triggered", "", "> 0"),
    ("format_rate", "JSON format, %", "", "≥ 99"),
    ("benign_ftr", "FTR on benign prompts, %", "", "≤ 6.7"),
    ("benign_likelihood", "benign chats, base = 100, %", "", "≥ 98"),
    ("initial.asr", "ASR of first answers, %", "", ""),
    ("initial.orr", "ORR of first answers, %", "", ""),
)


def figure(results: Record, key: str) -> float:
    """The figure at a dotted key; "initial.asr" is that before feedback."""
    value: Any = results
    for name in key.split("."):
        value = value[name]
    return float(value)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``mean (lowest–highest)``."""
    mean, low, high = (f"{f(values):.{digits}f}" for f in (np.mean, np.min, np.max))
    return f"{mean} ({low}–{high})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def minutes(record: Record) -> str:
    """How long a launch took, of the shortest seed to the longest."""
    times = [run["last_launch_s"] / 60 for run in record["runs"]]
    return f"{min(times):.0f} to {max(times):.0f} min" if len(times) > 1 else f"{times[0]:.0f} min"


def seeds(record: Record) -> str:
    return ", ".join(str(run["seed"]) for run in record["runs"])


def game_table(record: Record) -> str:
    """stage2-tiny.json: every measure of the base, after stage 1 and after stage 2."""
    runs = [run["results"] for run in record["runs"]]
    columns = ([r["base"] for r in runs], [r["stage1"] for r in runs], runs)
    rows = [
        [
            name,
            *(spread([figure(r, key) for r in column]) for column in columns),
            of_base,
            of_stage2,
        ]
        for key, name, of_base, of_stage2 in GAME
    ]
    mean = "mean of the seeds (lowest–highest)"
    return markdown([mean, "base", "stage 1", "stage 2", "wanted of the base", "of stage 2"], rows)


def maths_table(record: Record) -> str:
    """rlvr-tiny.json: accuracy before, during and after training, a row a seed."""
    rows = []
    for run in record["runs"]:
        r = run["results"]
        names = ["base", *sorted((n for n in r if n.startswith("rlvr_")), key=_step)]
        low, high = r["intervals"]["accuracy"]
        rows.append(
            [
                f"multi-signal, seed {run['seed']}",
                *(f"{r[n]['accuracy']:.1f}" for n in names),
                f"**{r['accuracy']:.1f}** ({low:.1f}–{high:.1f})",
                f"{r['accuracy'] - r['base']['accuracy']:+.1f}",
                f"{r['format_rate']:.1f}",
                f"{r['reflect']:.2f}",
                f"{r['tokens']:.0f}",
            ]
        )
    steps = [n.removeprefix("rlvr_") for n in names]
    header = [
        "run",
        *steps,
        "trained (95 % interval)",
        "gain",
        "format, %",
        "checks its answer",
        "tokens",
    ]
    return markdown(header, rows)


def _step(name: str) -> int:
    return int(name.rpartition("_")[2])


def preference_table(record: Record) -> str:
    """regime-w-tiny.json: accuracy before and after, a row a seed."""
    rows = []
    for run in record["runs"]:
        r = run["results"]
        low, high = r["interval"]
        named = [100 - result["unparsed"] for result in (r["base"], r)]
        rows.append(
            [
                f"{run['seed']}",
                f"{r['base']['accuracy']:.1f}",
                f"{r['accuracy']:.1f}",
                f"{r['accuracy'] - r['base']['accuracy']:+.1f} ({low:.1f} to {high:.1f})",
                f"{r['pairs']:,} ({r['pair_types']['correctness']:,})",
                ", ".join(f"{loss:.3f}" for loss in r["epoch_losses"]),
                f"{named[0]:.0f} → {named[1]:.0f}",
            ]
        )
    return markdown(
        [
            "seed",
            "base",
            "trained",
            "change",
            "pairs (correctness)",
            "loss by epoch",
            "names its result, %",
        ],
        rows,
    )


def serve_table(record: Record) -> str:
    """serve.json, serve-proxy.json: latency and throughput, a row a load and an arm."""
    return markdown(serve_figures.HEADER, serve_figures.rows(record["records"]))


def kept_table(record: Record) -> str:
    """A table whose rows are kept as they were printed."""
    return markdown(record["header"], record["rows"])


def _accuracy(record: Record) -> str:
    before, after = (
        [result["accuracy"] for result in runs]
        for runs in zip(
            *((r["results"]["base"], r["results"]) for r in record["runs"]), strict=True
        )
    )
    return f"accuracy {np.mean(before):.1f} → {spread(after, 1)} %"


def _rates(record: Record) -> str:
    runs = [run["results"] for run in record["runs"]]
    pairs = (
        f"{name} {np.mean([r['base'][key] for r in runs]):.1f} → "
        f"{np.mean([r[key] for r in runs]):.1f} %"
        for key, name in (("asr", "ASR"), ("orr", "ORR"))
    )
    return ", ".join(pairs)


# Table -> (file with its raw figures, how it is written).
TABLES: dict[str, tuple[str, Callable[[Record], str]]] = {
    "stage2-tiny": ("stage2-tiny.json", game_table),
    "rlvr-tiny": ("rlvr-tiny.json", maths_table),
    "regime-w-tiny": ("regime-w-tiny.json", preference_table),
    "paper-table-coded": ("paper-table-coded.json", kept_table),
    "rollout": ("rollout.json", kept_table),
    "serve": ("serve.json", serve_table),
    "serve-proxy": ("serve-proxy.json", serve_table),
}
# Config -> its sizes, each with the file of its figures and how these are said in a line.
LINES: dict[str, dict[str, tuple[str, Callable[[Record], str]]]] = {
    "stage2": {"tiny": ("stage2-tiny.json", _rates)},
    "rlvr_multisignal": {"tiny": ("rlvr-tiny.json", _accuracy)},
    "regime_w_dpo": {"tiny": ("regime-w-tiny.json", _accuracy)},
}


# Config -> where its table is.
DETAILS = {
    "stage2": "configs/README.md", "rlvr_multisignal": "waltzjax/rlvr/README.md",
    "regime_w_dpo": "waltzjax/preference/README.md",
}  # fmt: skip


def read(name: str) -> Record:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def measured(file: str, say_it: Callable[[Record], str]) -> list[str]:
    """Commit, hardware, time, seeds and figures of a file, for a line."""
    r = read(file)
    if "rows" in r:
        return r["overview"][1:]
    return [r["commit"], r["hardware"], minutes(r), seeds(r), say_it(r)]


def results_block(config: str) -> str:
    """The last lines of a config's docstring."""
    sizes = LINES.get(config, {})
    lines = [[size, *measured(*where)] for size, where in sizes.items()]
    lines.append(["full", "-", "8 x H100 80 GB", "-", "-", UNMEASURED])
    return "\n".join([HEADER, *("  " + " | ".join(line) for line in lines)]) + "\n"


def overview() -> str:
    """The one table of README: a row a measured size, and those kept as they were printed."""
    rows = [
        [f"[`{config}.py:{size}`]({DETAILS[config]})", *measured(*where)]
        for config, sizes in LINES.items()
        for size, where in sizes.items()
    ]
    rows += [read(file)["overview"] for file, make in TABLES.values() if make is kept_table]
    return markdown(["config", "commit", "hardware", "time", "seeds", "result"], rows)


def table_of(file: str, make: Callable[[Record], str]) -> str:
    """A file's table: made of its runs, or kept as it was printed."""
    record = read(file)
    return (kept_table if "rows" in record else make)(record)


def rewritten(path: Path) -> str:
    """The text of a README or a config with its tables as they are today."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        end = text.index('"""', 3)
        start = text.find("Results:")
        return text[: end if start < 0 else start] + results_block(path.stem) + text[end:]

    def table(match: re.Match) -> str:
        name = match[1]
        body = overview() if name == "overview" else table_of(*TABLES[name])
        return f"<!-- table {name} -->\n{body}\n<!-- end -->"

    return re.sub(r"<!-- table (\S+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def files() -> list[Path]:
    """The files that may hold a table."""
    readmes = [
        REPO / "README.md",
        REPO / "configs/README.md",
        *(REPO / "waltzjax").glob("*/README.md"),
    ]
    return [*readmes, *sorted((REPO / "configs").glob("*.py"))]


def main() -> None:
    changed = []
    for path in files():
        new = rewritten(path)
        if new != path.read_text(encoding="utf-8"):
            changed.append(str(path.relative_to(REPO)))
            if not flags.FLAGS.check:
                path.write_text(new, encoding="utf-8")
    what = "differs from configs/results/" if flags.FLAGS.check else "rewritten"
    say("\n".join(f"{name}: {what}" for name in changed) or "every table is as configs/results/ is")
    sys.exit(bool(changed and flags.FLAGS.check))


if __name__ == "__main__":
    flags.DEFINE_bool("check", False, "Change nothing; exit 1 where a table is another one.")
    cli.run(main)
