"""Evaluate two agents on a dataset's validation prompts: rates, transcripts, report.

    python -m waltzjax.evaluate --config=configs/stage2.py:tiny --data=runs/demo/data \\
        --conversation=runs/demo/conversation --feedback=runs/demo/feedback --output=result.json

``--split=train`` plays the training prompts instead: for transcripts that become chats to fine-tune
on (``scripts/make_sft_data.py``).
"""

from __future__ import annotations

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from waltzjax.config.text import as_text
from waltzjax.dataset.dataset import read_prompts
from waltzjax.dataset.splits import SPLITS, of_each_category
from waltzjax.evaluation.drift import drift
from waltzjax.judge.build import open_judge
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.recipes import validate
from waltzjax.report.evaluation import write_evaluation
from waltzjax.report.trust import note, warnings
from waltzjax.run import cli, workdir
from waltzjax.run.runtime import check_room, check_same_shape, make_runtime
from waltzjax.run.trainable import load_agents, model_directory
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.support.processes import writes
from waltzjax.waltz.evaluate import BASE, evaluate, guard, result
from waltzjax.waltz.kinds import by_kind
from waltzjax.waltz.ordinary import read_ordinary
from waltzjax.waltz.transcripts import ORDINARY_SUFFIX, SUFFIX, transcript, write_transcripts


def main() -> None:
    config, f = flags.FLAGS.config, flags.FLAGS
    validate(config)
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
    config = workdir.dated(config, base=models["conversation"])
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
            page, title=f"Evaluation, {output.stem}", agents=roles, config_text=as_text(config),
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
    cli.define_processes()
    flags.adopt_module_key_flags(cli)  # --help shows them
    cli.run(main)
