"""What must be true of a Regime W, from the answers collected to the policy trained: checks with
their figures. Bounds are those of the project's sources, or [ours]."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from waltzjax.rewards.coherence import scored
from waltzjax.rewards.pair_warnings import USUAL
from waltzjax.types import CORRECTNESS, Collected, Preference

LEAST_FORMAT = 0.9  # of all answers, that name a final answer [ours]
PAIRS = 1.0  # a question, at least [ours; the sources tell of 6 to 10]
FIRST_LOSS = {"sigmoid": 0.7}  # at most, of the first epoch [source]: DPO begins at ln 2
ROUNDING = 1e-12  # the variance of equal numbers may be so much
NORMS = ("grad_norm", "change_norm")  # of a step
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


class Check(NamedTuple):
    """``figure``: what was found; ``wanted``: what it should be; ``met``: whether it is."""

    name: str
    figure: str
    wanted: str
    met: bool


def collection_checks(config: Mapping[str, Any], questions: Sequence[Collected]) -> list[Check]:
    """Of what was collected by a run with ``config``, whose section ``collect`` says how much."""
    arms = [arm[0] for arm in config["collect"]["arms"]]
    wanted = config["collect"]["questions"]
    answers = [t for q in questions for t in q.trajectories]
    whole = sum([t.arm for t in q.trajectories] == arms for q in questions)
    named = sum(t.answer is not None for t in answers) / max(len(answers), 1)
    scores = [scored(q) for q in questions]
    checks = [
        Check("questions", f"{len(questions):,}", f"{wanted or 'all'}",
              len(questions) == (wanted or len(questions)) > 0),
        Check("trajectories", f"{len(answers):,}", f"{len(arms)} a question",
              len(answers) == len(arms) * len(questions) > 0),
        Check("arms", f"{whole:,} questions with all {len(arms)}, in order",
              f"{len(questions):,}", whole == len(questions) > 0),
        Check("format rate", f"{100 * named:.1f} % name a final answer",
              f">= {100 * LEAST_FORMAT:g} %", named >= LEAST_FORMAT),
    ]  # fmt: skip
    for name in ("s_cf", "s_path"):
        values = [v for v in (getattr(s, name) for s in scores) if v is not None]
        variance = float(np.var(values)) if values else math.nan
        absent = bool(scores) and not values  # there are no arms for this score
        figure = "none: no counterfactual arm, or no probe" if absent else f"{variance:.4g}"
        checks.append(
            Check(
                f"variance of {name}", figure, "> 0: not a constant", absent or variance > ROUNDING
            )
        )
    return checks


def pair_checks(pairs: Sequence[Preference], questions: int) -> list[Check]:
    """Of the pairs that were made of so many questions."""
    count = Counter(pair.pair_type for pair in pairs)
    share = count[CORRECTNESS] / max(len(pairs), 1)
    low, high = USUAL
    equal = sum(pair.chosen.strip() == pair.rejected.strip() for pair in pairs)
    mix = ", ".join(f"{n:,} {name}" for name, n in count.most_common())
    return [
        Check("pairs", f"{len(pairs):,} ({mix or 'none'})", f">= {PAIRS:g} a question",
              len(pairs) >= PAIRS * questions > 0),
        Check("pair mix", f"{100 * share:.1f} % correctness", f"{100 * low:g} to {100 * high:g} %",
              low <= share <= high),
        Check("pairs of equal texts", f"{equal}", "0", equal == 0),
    ]  # fmt: skip


def training_checks(
    results: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], stage: str, role: str,
    loss: str,
) -> list[Check]:  # fmt: skip
    """Of a run's results and of its records of steps; ``loss`` is the kind it was trained with."""
    first = FIRST_LOSS.get(loss, math.inf)
    steps = [m for m in metrics if m["stage"] == stage]
    losses = results.get("epoch_losses", [])
    falls = all(later < earlier for earlier, later in itertools.pairwise(losses))
    norms = [min((m[f"{n}/{role}"] for m in steps), default=0.0) for n in NORMS]
    base = results.get("base", {}).get("accuracy", math.nan)
    low, high = results.get("interval", (math.nan, math.nan))
    return [
        Check("loss by epoch", ", ".join(f"{loss:.3f}" for loss in losses) or "none",
              f"falls, from at most {first:g}" if loss in FIRST_LOSS else "falls",
              bool(losses) and falls and losses[0] <= first),
        Check("least gradient norm", f"{norms[0]:.3g}", "> 0", norms[0] > 0),
        Check("least change of a step", f"{norms[1]:.3g}", "> 0", norms[1] > 0),
        Check("accuracy", f"{base:.2f} to {results.get('accuracy', math.nan):.2f} %, "
              f"{results.get('accuracy', math.nan) - base:+.2f} ({low:.2f} to {high:.2f})",
              "higher, the interval above 0", low > 0),
    ]  # fmt: skip


def adapter_checks(directory: Path) -> list[Check]:
    """Of an adapter's files: that both are there and whole, and that it changes the base."""
    missing = [name for name in ADAPTER if not (directory / name).is_file()]
    if missing:
        return [Check("adapter files", f"no {', '.join(missing)}", ", ".join(ADAPTER), False)]
    try:
        rank = dict(json.loads((directory / ADAPTER[0]).read_bytes())).get("r")
        sizes, largest = _second_factors(directory / ADAPTER[1])
    except (ValueError, TypeError, SafetensorError) as error:
        return [Check("adapter files", f"{error}", "files that can be read", False)]
    return [
        Check("adapter files", f"rank {rank}, {sizes:,} numbers", ", ".join(ADAPTER), sizes > 0),
        Check("adapter's change", f"largest of its B factors {largest:.3g}", "> 0", largest > 0),
    ]


def _second_factors(path: Path) -> tuple[int, float]:
    """How many numbers the file has, and the largest of those of B, which begin at zero."""
    numbers, largest = 0, 0.0
    for name, values in load_file(path).items():
        numbers += values.size
        if ".lora_B." in name:
            largest = max(largest, float(np.abs(values.astype(np.float32)).max(initial=0)))
    return numbers, largest
