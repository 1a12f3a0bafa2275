"""Compare two evaluations of the same prompts: differences with intervals, what changed.

    python -m waltzjax.compare --a=runs/demo/evaluations/base.json --b=runs/demo \\
        --output=compare.html

Each is a result of ``waltzjax.evaluate`` with its transcripts beside it, a row of
``scripts/reproduce_table.py`` (``seed0/rows/base.json``), a file of a run's ``evaluations/``, or a
run's directory: the evaluation after its last stage.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from waltzjax.evaluation.files import read_result
from waltzjax.report.comparison import write_comparison
from waltzjax.report.trust import note, warnings
from waltzjax.run import cli
from waltzjax.support import console
from waltzjax.waltz.compare import changed, differences, guarded, other_settings, paired, show
from waltzjax.waltz.rates import interval_units
from waltzjax.waltz.transcripts import read_evaluation, transcript


def main() -> None:
    f = flags.FLAGS
    output = Path(f.output) if f.output else None
    if output and output.exists():
        raise FileExistsError(f"--output: {output} is there already; name another file")
    a = read_evaluation(Path(f.a))
    b = paired(a, read_evaluation(Path(f.b)))
    results = read_result(Path(f.a)), read_result(Path(f.b))
    found, (what, unjudged) = differences(a, b) + guarded(*results), changed(a, b)
    differing, over = other_settings(*results), interval_units(a)
    show(found, what, unjudged, len(a), over, differing)
    warned = [f"{name}: {x}" for name, r in zip("AB", results, strict=True) for x in warnings(r)]
    judged = next(filter(None, map(note, results)), "")
    for line in (*warned, judged):
        console.say(line)
    if output:
        shown = {
            name: [(transcript(x), transcript(y)) for x, y in pairs] for name, pairs in what.items()
        }
        write_comparison(
            output, a=f.a, b=f.b, n=len(a), unjudged=unjudged, differences=found, changed=shown,
            over=over, settings=differing, warnings=warned, note=judged,
        )  # fmt: skip
        console.say(f"written to {output}")


if __name__ == "__main__":
    flags.DEFINE_string("a", None, "An evaluation: a result, or a run's directory.")
    flags.DEFINE_string("b", None, "Another one of the same prompts.")
    flags.DEFINE_string("output", "", "HTML file to write; does not exist yet. Default: none.")
    flags.mark_flags_as_required(["a", "b"])
    cli.run(main)
