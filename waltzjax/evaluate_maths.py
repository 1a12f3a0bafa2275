"""Evaluate a model on maths problems: accuracy with intervals, by subject and level, predictions.

    python -m waltzjax.evaluate_maths --config=configs/rlvr_multisignal.py \\
        --model=runs/rlvr/policy --data=data/math500/test.jsonl --output=math500.json

Greedy, one answer a problem, unless --config.eval.temperature and --config.eval.samples say
otherwise: avg@k. ``--data`` is JSON Lines with `problem` or `question`, and `answer`; "embedded"
are the validation problems of :tiny.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax import commands, config_check, console, maths_outcome, resume
from waltzjax.files import write_json
from waltzjax.maths_evaluation import evaluate_problems, result
from waltzjax.maths_problems import check_problems, say_unreadable, validation_problems
from waltzjax.model import hf_config, sharding
from waltzjax.predictions import SUFFIX, write_predictions
from waltzjax.processes import writes
from waltzjax.rewards.verifier import Verifier
from waltzjax.runtime import make_runtime
from waltzjax.tuning import load_agents, model_directory
from waltzjax.types import POLICY


def main() -> None:
    f = flags.FLAGS
    config: ConfigDict = f.config
    config_check.validate(config, training=False)
    config.problems.validation = f.data
    output = Path(f.output)
    predictions = output.with_suffix(SUFFIX)
    for path in (output, predictions):
        if path.exists():
            raise FileExistsError(f"--output: {path} is there already; name another file")
    mesh = sharding.make_mesh(config.mesh)
    problems = validation_problems(config)
    directory = hf_config.resolve(f.model)
    config = resume.dated(config, base=model_directory(directory))
    runtime = make_runtime(config, model_directory(directory), mesh)
    check_problems(config, runtime, problems)
    output.parent.mkdir(parents=True, exist_ok=True)
    with console.phase(f"loading {f.model}"):
        params = load_agents({POLICY: directory}, runtime)[POLICY]
    with Verifier(config.verify.workers, config.verify.timeout_s) as verifier:
        say_unreadable(problems, f.data, verifier)
        groups = evaluate_problems(config, runtime, params, problems, verifier, f.model)
    found = result(config, groups)
    if writes():
        write_predictions(predictions, groups)
        write_json(output, found)
    maths_outcome.show(found, "value")
    low, high = found["intervals"]["accuracy"]
    console.say(
        f"\naccuracy {found['accuracy']:.2f} % (95 % interval {low:.2f} to {high:.2f}); "
        f"{output}, {predictions}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with :tiny or overrides.")
    flags.DEFINE_string("model", None, "Hugging Face directory or hub name, or an adapter's.")
    flags.DEFINE_string("data", None, 'JSON Lines of problems, or "embedded".')
    flags.DEFINE_string("output", None, "JSON file to write, predictions beside it; none exists.")
    flags.mark_flags_as_required(["config", "model", "data", "output"])
    commands.define_processes()
    flags.adopt_module_key_flags(commands)  # --help shows them
    commands.run(main)
