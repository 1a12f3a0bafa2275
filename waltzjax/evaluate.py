"""Evaluate two agents on a dataset's prompts, or a policy on maths problems; or run the checks.

    python -m waltzjax.evaluate --config=configs/stage2.py:tiny --data=runs/demo/data \\
        --conversation=runs/demo/conversation --feedback=runs/demo/feedback --output=result.json
    python -m waltzjax.evaluate --config=configs/rlvr_multisignal.py --model=runs/rlvr/policy \\
        --data=data/math500/test.jsonl --output=math500.json
    python -m waltzjax.evaluate --suite=validation --workdir=runs/demo

Agents leave a report beside the result; ``--split=train`` plays the training prompts instead: for
transcripts that become chats to fine-tune on (``scripts/make_sft_data.py``).

A policy, one of the stage "dpo" too, answers greedily, once a problem, unless
--config.eval.temperature and --config.eval.samples say otherwise: avg@k. Its ``--data`` is JSON
Lines with `problem` or `question`, and `answer`; "embedded" are the validation problems of :tiny.

``--suite=validation`` runs the eleven checks of a run (--workdir), of two agents (--conversation,
--feedback, --data, --config) or of a running service (--endpoint, --data); exit status 0: all pass,
3: one fails. See ``validation/README.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax.config.text import as_text
from waltzjax.dataset.dataset import read_prompts
from waltzjax.dataset.splits import SPLITS, of_each_category
from waltzjax.evaluation.files import write_items
from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.recipes import readers, validate
from waltzjax.report.evaluation import write_evaluation
from waltzjax.report.trust import note, warnings
from waltzjax.rlvr import results
from waltzjax.rlvr.evaluate import evaluate_problems
from waltzjax.rlvr.evaluate import result as maths_result
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.predictions import PREDICTIONS
from waltzjax.rlvr.problems import check_problems, say_unreadable, validation_problems
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.run import cli
from waltzjax.run.results import BASE
from waltzjax.run.trainable import dated_runtime, load_agents
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.support.processes import writes
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY
from waltzjax.validation.command import validate as run_checks
from waltzjax.validation.request import SUITES, Request, problem, problem_without_suite
from waltzjax.waltz.benign import read_benign
from waltzjax.waltz.evaluate import evaluate_saved
from waltzjax.waltz.kinds import by_kind
from waltzjax.waltz.runtime import check_room, game_runtime
from waltzjax.waltz.transcripts import BENIGN, TRANSCRIPTS, transcript


def evaluate_agents(
    config: ConfigDict, data: Path, split: str, agents: Mapping[str, str], base: str, output: Path
) -> None:
    """Play the prompts of ``split`` by ``agents``, directories by role; with ``base``, that of the
    model both began at, their KL divergence from it is measured too."""
    page = output.with_suffix(".html")
    if page == output:
        raise ValueError(
            f"--output: got {output}, wanted is the JSON file; the report lies beside it"
        )
    _check_new(output, TRANSCRIPTS.beside(output), TRANSCRIPTS.beside(output, BENIGN), page)
    mesh = sharding.make_mesh(config.mesh)
    prompts = of_each_category(read_prompts(data / f"{split}.jsonl"), config.eval.prompts)
    directories = {role: hf_config.resolve(name) for role, name in agents.items()}
    if base:
        directories[BASE] = hf_config.resolve(base)
    config, runtime = dated_runtime(config, mesh, directories, game_runtime)
    benign = read_benign(data, config, runtime)
    check_room(runtime, config, [*prompts, *(benign.prompts if benign else ())])
    output.parent.mkdir(parents=True, exist_ok=True)
    moved = [*agents] if base else []
    result, episodes = evaluate_saved(
        config, runtime, directories, prompts, benign, "both agents", output.parent, output, moved
    )
    if writes():
        write_json(output, result)
        write_evaluation(
            page,
            title=f"Evaluation, {output.stem}",
            agents=agents,
            config_text=as_text(config),
            result=result,
            kinds={k: [transcript(e) for e in group] for k, group in by_kind(episodes).items()},
        )
    rows = [
        [f"{prefix}{key}", f"{part[key]:.2f}", " to ".join(f"{edge:.2f}" for edge in edges)]
        for prefix, part in (("", result), ("initial/", result["initial"]))
        for key, edges in part["intervals"].items()
    ]
    over = f"95 % interval, over {result['interval_units']}"
    console.say(console.table(str(output), ["measure", "value", over], rows))
    for line in (*warnings(result), note(result)):
        console.say(line)
    console.say(f"open {page}")


def evaluate_policy(config: ConfigDict, data: str, model: str, output: Path) -> None:
    """Have ``model``, a directory, answer the problems of ``data``."""
    config.problems.validation = data
    predictions = PREDICTIONS.beside(output)
    _check_new(output, predictions)
    mesh = sharding.make_mesh(config.mesh)
    problems = validation_problems(config)
    directories = {POLICY: hf_config.resolve(model)}
    config, runtime = dated_runtime(config, mesh, directories, maths_runtime)
    check_problems(config, runtime, problems)
    output.parent.mkdir(parents=True, exist_ok=True)
    with console.phase(f"loading {model}"):
        params = load_agents(directories, runtime)[POLICY]
    with Verifier(config.verify.workers, config.verify.timeout_s) as verifier:
        say_unreadable(problems, data, verifier)
        groups = evaluate_problems(config, runtime, params, problems, verifier, model)
    result = maths_result(config, groups)
    if writes():
        write_items(predictions, PREDICTIONS, groups)
        write_json(output, result)
    results.show(result, "value")
    low, high = result["intervals"]["accuracy"]
    console.say(
        f"\naccuracy {result['accuracy']:.2f} % (95 % interval over problems {low:.2f} to "
        f"{high:.2f}); {output}, {predictions}"
    )


def _check_new(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise FileExistsError(f"--output: {path} is there already; name another file")


def _suite(request: Request) -> None:
    if why := problem(request):
        cli.usage(why)
    config = cli.chosen_config(readers) if request.config_given else None
    if config:
        validate(config)
    sys.exit(run_checks(request, config))


def main() -> None:
    f = flags.FLAGS
    request = Request(
        f.workdir, f.conversation, f.feedback, f.data or "", f.endpoint, f.key_env, f.flags_file,
        f.output or "", f.fresh, f.config is not None,
    )  # fmt: skip
    if f.suite != SUITES[0]:
        if f.model or f.base or f["split"].present or f.distributed:
            cli.usage("--suite=validation goes without --model, --base, --split and --distributed")
        _suite(request)
    if why := problem_without_suite(request):
        cli.usage(why)
    config = cli.chosen_config(readers)
    agents = {CONVERSATION: f.conversation, FEEDBACK: f.feedback}
    if bool(f.model) == any(agents.values()) or not (f.model or all(agents.values())):
        cli.usage(
            "wanted is either --model, a policy on maths, or --conversation and --feedback, both "
            "agents of the game"
        )
    if f.model and (f.base or f["split"].present):
        cli.usage("--base and --split go with --conversation and --feedback, not with --model")
    validate(config)
    if f.model:
        evaluate_policy(config, f.data, f.model, Path(f.output))
    else:
        evaluate_agents(config, Path(f.data), f.split, agents, f.base, Path(f.output))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with :tiny or overrides.")
    flags.DEFINE_string(
        "data",
        None,
        "Of agents: directory that holds validation.jsonl, train.jsonl. Of a policy: "
        'JSON Lines of problems, or "embedded".',
    )
    flags.DEFINE_enum("split", "validation", SPLITS, "Which of the two agents play.")
    flags.DEFINE_string("conversation", "", "Hugging Face directory of the conversation agent.")
    flags.DEFINE_string("feedback", "", "Hugging Face directory of the feedback agent.")
    flags.DEFINE_string("base", "", "Of the model both began at: adds their KL divergence from it.")
    flags.DEFINE_string("model", "", "Hugging Face directory or hub name of a policy on maths.")
    flags.DEFINE_string(
        "output", None, "JSON file to write, what was said (and a report) beside it; none exists."
    )
    flags.DEFINE_enum("suite", SUITES[0], SUITES, "validation: run the eleven checks instead.")
    flags.DEFINE_string("workdir", "", "Of the checks: a run that has come to its end.")
    flags.DEFINE_bool("fresh", False, "Of a run's checks: play its agents again.")
    flags.DEFINE_string("endpoint", "", "Of the checks: a service, http://HOST:PORT/v1.")
    flags.DEFINE_string("key_env", "", "Environment variable with the service's API key.")
    flags.DEFINE_string(
        "flags_file", "", "The file that the service reads its flags from: changed, and put back."
    )
    cli.define_processes()
    flags.adopt_module_key_flags(cli)  # --help shows them
    cli.run(main)
