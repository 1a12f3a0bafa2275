"""The conditions that a Regime W must meet, from the answers collected to the policy trained:
checks with their figures. Bounds are those of the project's sources, or [ours]."""

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

from waltzjax.preference.coherence import scored
from waltzjax.preference.pairs import digest
from waltzjax.preference.warnings import USUAL
from waltzjax.types import CORRECTNESS, Collected, Preference

LEAST_FORMAT = 0.9  # of all answers, that name a final answer [ours]
PAIRS = 1.0  # a question, at least [ours; the sources tell of 6 to 10]
FIRST_LOSS = {"sigmoid": 0.7}  # at most, of the first epoch [source]: DPO begins at ln 2
ROUNDING = 1e-12  # the variance of equal numbers may be so much
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


class Check(NamedTuple):
    """``figure``: what was found; ``wanted``: what it should be; ``met``: whether it is."""

    name: str
    figure: str
    wanted: str
    met: bool


def collection_checks(config: Mapping[str, Any], questions: Sequence[Collected]) -> list[Check]:
    """Checks of the answers collected by a run of ``waltzjax.collect`` that left ``config``."""
    arms = [arm[0] for arm in config["collect"]["arms"]]
    wanted = config["questions_drawn"]
    answers = [t for q in questions for t in q.trajectories]
    whole = sum([t.arm for t in q.trajectories] == arms for q in questions)
    named = sum(t.answer is not None for t in answers) / max(len(answers), 1)
    scores = [scored(q) for q in questions]
    checks = [
        Check("questions", f"{len(questions):,}", f"{wanted:,}", len(questions) == wanted > 0),
        Check(
            "trajectories",
            f"{len(answers):,}",
            f"{len(arms)} a question",
            len(answers) == len(arms) * len(questions) > 0,
        ),
        Check(
            "arms",
            f"{whole:,} questions with all {len(arms)}, in order",
            f"{len(questions):,}",
            whole == len(questions) > 0,
        ),
        Check(
            "format rate",
            f"{100 * named:.1f} % name a final answer",
            f">= {100 * LEAST_FORMAT:g} %",
            named >= LEAST_FORMAT,
        ),
    ]
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
    """Checks of the pairs that were made of so many ``questions``."""
    count = Counter(pair.pair_type for pair in pairs)
    share = count[CORRECTNESS] / max(len(pairs), 1)
    low, high = USUAL
    equal = sum(pair.chosen.strip() == pair.rejected.strip() for pair in pairs)
    mix = ", ".join(f"{n:,} {name}" for name, n in count.most_common())
    return [
        Check(
            "pairs",
            f"{len(pairs):,} ({mix or 'none'})",
            f">= {PAIRS:g} a question",
            len(pairs) >= PAIRS * questions > 0,
        ),
        Check(
            "pair mix",
            f"{100 * share:.1f} % correctness",
            f"{100 * low:g} to {100 * high:g} %",
            low <= share <= high,
        ),
        Check("pairs of equal texts", f"{equal}", "0", equal == 0),
    ]


def training_checks(
    trained: Mapping[str, Any],
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    pairs: Sequence[Preference],
    stage: str,
    role: str,
) -> list[Check]:
    """Checks of a run that was to learn from ``pairs``: config, results and records of steps."""
    d = trained["dpo"]
    first = FIRST_LOSS.get(d["loss"], math.inf) if d["reference"] != "none" else math.inf
    steps = [m for m in metrics if m["stage"] == stage]
    losses = [math.nan if x is None else x for x in results.get("epoch_losses", [])]
    falls = all(later < earlier for earlier, later in itertools.pairwise(losses))
    gradient, change = (
        min((m[f"{n}/{role}"] for m in steps), default=math.nan)
        for n in ("grad_norm", "change_norm")
    )
    # Where a hinge tells all pairs apart there is nothing left to learn.
    least, sign = (0.0, ">=") if d["loss"] == "hinge" else (math.ulp(0.0), ">")
    same = trained["prompt_texts"].get("pairs") == digest(pairs)
    after, before = results.get("accuracy"), results.get("base", {}).get("accuracy")
    after, before = (math.nan if x is None else x for x in (after, before))
    low, high = results.get("interval", (math.nan, math.nan))
    return [
        Check(
            "pairs trained on",
            f"{results.get('pairs', 0):,}, {'these' if same else 'others'}",
            "these",
            same,
        ),
        Check(
            "loss by epoch",
            ", ".join(f"{loss:.3f}" for loss in losses) or "none",
            "falls" if first == math.inf else f"falls, from at most {first:g}",
            bool(losses) and falls and losses[0] <= first,
        ),
        Check("least gradient norm", f"{gradient:.3g}", f"{sign} 0", gradient >= least),
        Check("least change of a step", f"{change:.3g}", f"{sign} 0", change >= least),
        Check(
            "accuracy",
            f"{before:.2f} to {after:.2f} %, {after - before:+.2f} ({low:.2f} to {high:.2f})",
            "higher, the interval above 0",
            low > 0,
        ),
    ]


def adapter_checks(directory: Path) -> list[Check]:
    """Checks of an adapter: both files are there and whole, and it changes the base."""
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
            of_this = np.abs(values.astype(np.float32)).max(initial=0)
            largest = float(np.maximum(largest, of_this))  # NaN stays
    return numbers, largest
