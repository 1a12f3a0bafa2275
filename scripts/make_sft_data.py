"""Make chats to fine-tune both agents on before stage 1, or check such a set.

    python scripts/make_sft_data.py --embedded --output=data/sft [--examples=2000] [--seed=0]
    python scripts/make_sft_data.py --embedded --coded=0.3 --output=data/sft-coded
    python scripts/make_sft_data.py --transcripts=of_train.json --output=data/sft
    python scripts/make_sft_data.py --verify=data/sft

From the embedded world: right answers and right reviews of its training prompts; validation has
those of its development frames. Which world, ``--data_seed`` and ``--coded`` say as the run's
``config.embedded`` does: the second command is for ``configs/sft.py:coded``, with
``--config.sft.data=data/sft-coded``. The manifest records both, and a run of another world refuses
the set. From transcripts, of ``python -m waltzjax.evaluate`` or of a run's ``evaluations``: the
answers that the judge found good and the feedbacks whose labels were the judge's; nine prompts of
ten are for training. Make such transcripts of the dataset's training prompts
(``python -m waltzjax.evaluate --split=train``). A run's own evaluations are of its validation
prompts: training with the same dataset refuses such chats. The format is that of
``waltzjax.waltz.chat_set``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from waltzjax.data.chat import PROMPTS
from waltzjax.data.shown import VALIDATION_SHARE, Example, Shown, divide, draw
from waltzjax.dataset.splits import SPLITS
from waltzjax.evaluation.files import read_evaluation
from waltzjax.model.hf.config import read_json
from waltzjax.run import cli
from waltzjax.support.console import phase, say, table
from waltzjax.toy import safety_world
from waltzjax.toy.safety_examples import from_world
from waltzjax.types import CONVERSATION, FEEDBACK
from waltzjax.waltz.chat_examples import from_episodes
from waltzjax.waltz.chat_set import NAMES, verify_chats, write_chats
from waltzjax.waltz.transcripts import TRANSCRIPTS

Sides = dict[str, tuple[list[Example], list[Example]]]  # role -> train, validation


def embedded(shown: Shown, seed: int, data_seed: int, coded: float) -> Sides:
    train, development, scenes = safety_world.build(data_seed, "development", coded)
    splits = [from_world(shown, prompts, scenes, seed) for prompts in (train, development)]
    return {role: (splits[0][role], splits[1][role]) for role in splits[0]}


def transcribed(shown: Shown, paths: Sequence[Path], seed: int) -> Sides:
    episodes = [episode for path in paths for episode in read_evaluation(path, TRANSCRIPTS)[0]]
    examples, left_out = from_episodes(shown, episodes)
    say(table("left out", ["what", "how many"], [*left_out.items()]))
    return {role: divide(role_examples, seed) for role, role_examples in examples.items()}


def sample(sides: Sides, n: int, seed: int) -> dict[str, list[Example]]:
    """``n`` of each agent by the file's name, one in ten for validation; all of them for 0."""
    out = {}
    for role, both in sides.items():
        aside = max(round(VALIDATION_SHARE * n), 1)
        for split, examples, wanted in zip(SPLITS, both, (n - aside, aside), strict=True):
            if not examples:
                raise ValueError(
                    f"{role}: no example for {split}; give transcripts of more prompts"
                )
            if n and not 0 < wanted <= len(examples):
                raise ValueError(
                    f"--examples: got {n}, which takes {wanted} of the {len(examples)} {split} "
                    f"examples of {role}; from 2 to what there is; 0 takes all"
                )
            out[f"{role}-{split}.jsonl"] = draw(examples, wanted if n else len(examples), seed)
    return out


def prompt_directory(given: str | None, *, embedded: bool) -> Path:
    name = given if given is not None else "tiny" if embedded else ""
    directory = Path(name) if given and Path(name).is_dir() else PROMPTS / name
    if not directory.is_dir():
        raise FileNotFoundError(f"--prompts: no directory {name!r}, neither here nor in {PROMPTS}")
    return directory


def check_prompts(where: Path, transcripts: Sequence[Path]) -> None:
    """Raise ValueError where transcripts lie in a run's directory and that run had other prompts
    than those of ``where``."""
    for path in map(Path.absolute, transcripts):
        for record in (folder / "config.json" for folder in (path, *path.parents[:2])):
            texts = read_json(record).get("prompt_texts", {}) if record.is_file() else {}
            differing = [
                role
                for role in (CONVERSATION, FEEDBACK)
                if role in texts
                and texts[role].strip() != (where / f"{role}.txt").read_text("utf-8").strip()
            ]
            if differing:
                raise ValueError(
                    f"--prompts: {record} has another text of {', '.join(differing)} than {where}; "
                    "give the directory of that run's prompt files (tiny for :tiny), or, if the "
                    "run to come has others, transcripts that lie outside of that run's directory"
                )


def described(title: str, files: dict[str, list[Example]]) -> str:
    kinds = {name: Counter(e.kind for e in examples) for name, examples in files.items()}
    rows = [
        [role, kind, *(kinds[f"{role}-{split}.jsonl"][kind] for split in SPLITS)]
        for role in (CONVERSATION, FEEDBACK)
        for kind in sorted({k for name in kinds if name.startswith(role) for k in kinds[name]})
    ]
    return table(title, ["agent", "answer", *SPLITS], rows)


def make(
    output: Path,
    transcripts: Sequence[Path],
    *,
    prompts: str | None,
    examples: int,
    seed: int,
    data_seed: int = 0,
    coded: float = 0.0,
) -> None:
    """Write the chats and say what they are; of no transcripts: those of the embedded world."""
    if os.path.lexists(output):
        raise FileExistsError(f"--output: {output} is there already; name another directory")
    where = prompt_directory(prompts, embedded=not transcripts)
    shown = Shown.read(where / "conversation.txt", where / "feedback.txt")
    check_prompts(where, transcripts)
    say(f"shown as in {where}/conversation.txt and feedback.txt, the prompts of the run to come")
    source = {} if transcripts else {"data_seed": data_seed, "coded": coded}
    with phase("making examples"):
        if transcripts:
            sides = transcribed(shown, transcripts, seed)
        else:
            sides = embedded(shown, seed, data_seed, coded)
    files = sample(sides, examples, seed)
    with phase(f"writing {output}"):
        write_chats(output, {name: [e.messages for e in files[name]] for name in NAMES}, source)
    say(described(str(output), files))


def check(directory: Path) -> None:
    """Raise DatasetError unless the set is whole."""
    manifest = verify_chats(directory)
    rows = [[name, entry["lines"]] for name, entry in manifest["files"].items()]
    say(table(f"{directory} is whole", ["file", "chats"], rows))


def main() -> None:
    f = flags.FLAGS
    if [bool(f.embedded), bool(f.transcripts), bool(f.verify)].count(True) != 1:
        cli.usage("one of --embedded, --transcripts and --verify is wanted")
    if bool(f.output) == bool(f.verify):
        cli.usage("--output is wanted, and goes without --verify")
    if not f.embedded and (f["data_seed"].present or f["coded"].present):
        cli.usage("--data_seed and --coded are of the embedded world, --embedded")
    if f.verify:
        check(Path(f.verify))
    else:
        transcripts = [Path(name) for name in f.transcripts]
        make(
            Path(f.output),
            transcripts,
            prompts=f.prompts,
            examples=f.examples,
            seed=f.seed,
            data_seed=f.data_seed,
            coded=f.coded,
        )


if __name__ == "__main__":
    flags.DEFINE_bool("embedded", False, "From the embedded world.")
    flags.DEFINE_list(
        "transcripts", [], "From results of waltzjax.evaluate, runs, or files of them."
    )
    flags.DEFINE_string("output", "", "Directory to write; it does not exist.")
    flags.DEFINE_string("verify", "", "Directory to check instead.")
    flags.DEFINE_integer(
        "examples",
        2000,
        "Examples of each agent, one in ten for validation; 0: all there are.",
        lower_bound=0,
    )
    flags.DEFINE_integer("seed", 0, "Which examples are drawn, and on which side they fall.")
    flags.DEFINE_integer(
        "data_seed", 0, "Of the embedded world: the run's config.embedded.data_seed.", lower_bound=0
    )
    flags.DEFINE_float(
        "coded",
        0.0,
        "Of the embedded world: the run's config.embedded.coded, 0.3 for :coded.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_string(
        "prompts",
        None,
        "Directory of the run's conversation.txt and feedback.txt, or one in the "
        "package's prompts; by itself the package's own, for the embedded world its tiny.",
    )
    cli.run(main)
