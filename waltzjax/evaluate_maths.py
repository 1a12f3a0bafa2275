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

from waltzjax.model import sharding
from waltzjax.model.hf import config as hf_config
from waltzjax.recipes import validate
from waltzjax.rlvr import results
from waltzjax.rlvr.evaluate import evaluate_problems, result
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.predictions import SUFFIX, write_predictions
from waltzjax.rlvr.problems import check_problems, say_unreadable, validation_problems
from waltzjax.run import cli, workdir
from waltzjax.run.runtime import make_runtime
from waltzjax.run.trainable import load_agents, model_directory
from waltzjax.support import console
from waltzjax.support.files import write_json
from waltzjax.support.processes import writes
from waltzjax.types import POLICY


def main() -> None:
    f = flags.FLAGS
    config: ConfigDict = f.config
    validate(config)
    config.problems.validation = f.data
    output = Path(f.output)
    predictions = output.with_suffix(SUFFIX)
    for path in (output, predictions):
        if path.exists():
            raise FileExistsError(f"--output: {path} is there already; name another file")
    mesh = sharding.make_mesh(config.mesh)
    problems = validation_problems(config)
    directory = hf_config.resolve(f.model)
    config = workdir.dated(config, base=model_directory(directory))
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
    results.show(found, "value")
    low, high = found["intervals"]["accuracy"]
    console.say(
        f"\naccuracy {found['accuracy']:.2f} % (95 % interval over problems {low:.2f} to "
        f"{high:.2f}); {output}, {predictions}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with :tiny or overrides.")
    flags.DEFINE_string("model", None, "Hugging Face directory or hub name, or an adapter's.")
    flags.DEFINE_string("data", None, 'JSON Lines of problems, or "embedded".')
    flags.DEFINE_string("output", None, "JSON file to write, predictions beside it; none exists.")
    flags.mark_flags_as_required(["config", "model", "data", "output"])
    cli.define_processes()
    flags.adopt_module_key_flags(cli)  # --help shows them
    cli.run(main)
