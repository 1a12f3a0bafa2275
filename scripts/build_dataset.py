"""Build the 20,020-prompt dataset from published prompt sets, or check one.

    python scripts/build_dataset.py --inputs=train.tsv,or-bench-80k.csv,or-bench-toxic.csv \\
        --output=data/waltz [--counts=all] [--seed=0]
    python scripts/build_dataset.py --verify=data/waltz [--counts=all]

Reads WildJailbreak, OR-Bench, XSTest and JSON Lines (``waltzjax.dataset.sources``), draws the
prompts of each category, 3,337 or 3,336, and writes 15,015 for training and 5,005 for validation
with a SHA-256 manifest. Texts that differ in case or white space only are one prompt, that of the
first file given; one that is harmful in one place and harmless in another is left out. A request
and its rewrites, as of WildJailbreak, share a ``frame`` and fall on one side. What is drawn depends
on the texts, the seed and the order of files, not on the order of rows. ``--benign`` adds chats
in which nobody means harm (``waltzjax.data.chats``): evaluations then measure those as well.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from waltzjax.data.chats import read_chats
from waltzjax.dataset.checks import CATEGORIES
from waltzjax.dataset.dataset import verify, write_dataset
from waltzjax.dataset.published import KINDS
from waltzjax.dataset.sources import Found, Pool, open_source
from waltzjax.dataset.splits import SPLITS, expected_counts, stratified_split
from waltzjax.run import cli
from waltzjax.support.console import phase, say, table
from waltzjax.support.errors import DatasetError, dataset_error
from waltzjax.types import Prompt

# "other categories": of another scheme than ours, which decide nothing.
FILE_COLUMNS = ["file", "prompts", "met before", "other categories"]


class Gathered(NamedTuple):
    prompts: list[Found]  # no two alike
    rows: list[tuple[str, int, int, int]]  # FILE_COLUMNS
    contradictions: int  # texts left out


def gather(paths: Sequence[Path]) -> Gathered:
    """Read every file; raise one DatasetError with the bad rows of all of them."""
    sources = [open_source(path) for path in paths]
    pool, rows, problems = Pool(), [], []
    for number, (path, source) in enumerate(zip(paths, sources, strict=True)):
        read = repeated = ignored = 0
        with phase(f"reading {path}"):
            try:
                for prompt in source:
                    read += 1
                    repeated += pool.add(prompt, number)
                    ignored += bool(prompt.ignored)
            except DatasetError as error:
                problems.append(error.problems)
        rows.append((str(path), read, repeated, ignored))
    if problems:
        raise dataset_error("--inputs", problems)
    return Gathered(pool.prompts(), rows, len(pool.contradicted))


def draw(prompts: Sequence[Found], seed: int, *, full: bool) -> list[Prompt]:
    """The prompts of the dataset: so many of each category, or all of them. Those of one group
    have a frame in common, named by the id of the first of them."""

    def rank(prompt: Found) -> bytes:
        return hashlib.sha256(f"draw:{seed}:{prompt.text}".encode()).digest()

    members: dict[str, list[Found]] = {name: [] for name in CATEGORIES}
    for prompt in sorted(prompts, key=rank):
        members[prompt.category].append(prompt)
    if full:
        check_enough({name: len(pool) for name, pool in members.items()})
        members = {name: pool[: CATEGORIES[name][1]] for name, pool in members.items()}
    # By text: one category after the other would make the file's order say what a prompt is.
    drawn = sorted((prompt for pool in members.values() for prompt in pool), key=rank)
    size, first = Counter(prompt.group for prompt in drawn), dict[str, int]()
    frames = [
        f"request/{first.setdefault(prompt.group, i)}" if size[prompt.group] > 1 else ""
        for i, prompt in enumerate(drawn)
    ]
    return [
        Prompt(i, prompt.text, prompt.harmful, prompt.category, frame)
        for i, (prompt, frame) in enumerate(zip(drawn, frames, strict=True))
    ]


def check_enough(counts: dict[str, int]) -> None:
    few = [name for name, (_, wanted) in CATEGORIES.items() if counts[name] < wanted]
    if few:
        lines = [
            f"  {name}: {counts[name]:,} there, {CATEGORIES[name][1]:,} wanted; "
            f"of {', '.join(kind for kind, categories in KINDS.items() if name in categories)}"
            for name in few
        ]
        raise ValueError(
            "--inputs: too few prompts\n" + "\n".join(lines) + "\n"
            "Add files that have some, or take what there is with --counts=all"
        )


def summary_table(title: str, summary: dict[str, Any], pool: Counter[str] | None = None) -> str:
    counts = summary["counts"]
    header = ["category", *(["found"] if pool else []), *SPLITS]
    rows = [
        [name, *([pool[name]] if pool else []), *(counts[f"{side}/{name}"] for side in SPLITS)]
        for name in CATEGORIES
    ]
    total = ["total", *([pool.total()] if pool else []), *(counts[side] for side in SPLITS)]
    return table(title, header, [*rows, total])


def build(
    inputs: Sequence[Path], output: Path, *, seed: int, full: bool, benign: Path | None = None
) -> None:
    """Write the dataset and say what it holds; see the module for what is drawn."""
    if os.path.lexists(output):  # said before minutes of reading
        raise FileExistsError(f"--output: {output} is there already; name another directory")
    chats = read_chats(benign) if benign else []
    gathered = gather(inputs)
    say(table("", FILE_COLUMNS, gathered.rows))
    if gathered.contradictions:
        say(f"left out: {gathered.contradictions} texts, harmful in one place, harmless in another")
    prompts = draw(gathered.prompts, seed, full=full)
    with phase(f"writing {output}"):
        train, validation = stratified_split(prompts, seed=seed)
        write_dataset(output, train, validation, chats)
        summary = verify(output, expected=expected_counts() if full else None)
    pool = Counter(prompt.category for prompt in gathered.prompts)
    say(summary_table(f"{output}, seed {seed}", summary, pool))


def check(directory: Path, *, full: bool) -> None:
    """Raise DatasetError unless the dataset is whole; ``full``: of the 20,020 prompts."""
    with phase(f"verifying {directory}"):
        summary = verify(directory, expected=expected_counts() if full else None)
    say(summary_table(f"{directory} is whole", summary))


def main() -> None:
    f = flags.FLAGS
    made = f.inputs or f.output or f.benign
    if bool(f.verify) == bool(f.inputs and f.output) or (f.verify and made):
        cli.usage("--inputs and --output are wanted, or --verify")
    if f.verify:
        check(Path(f.verify), full=f.counts == "full")
    else:
        inputs = [Path(name) for name in f.inputs]
        benign = Path(f.benign) if f.benign else None
        build(inputs, Path(f.output), seed=f.seed, full=f.counts == "full", benign=benign)


if __name__ == "__main__":
    flags.DEFINE_list("inputs", [], "Files to draw from: .tsv, .csv, .parquet, .jsonl.")
    flags.DEFINE_string("output", "", "Directory to write; it does not exist.")
    flags.DEFINE_string("benign", "", "File of benign chats to add, JSON Lines of messages.")
    flags.DEFINE_string("verify", "", "Directory to check instead.")
    flags.DEFINE_enum(
        "counts", "full", ["full", "all"], "The 20,020 prompts, or all there are (--verify: any)."
    )
    flags.DEFINE_integer("seed", 0, "Which prompts are drawn, and on which side they fall.")
    cli.run(main)
