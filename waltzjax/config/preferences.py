"""Sections ``collect``, ``pairs`` and ``dpo``: arms answer, pairs are made, a policy learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from waltzjax.config.key import ANY, COLLECT, FRACTION, PREFERENCES, Key, above, at_least, one_of
from waltzjax.types import COLDEST, COUNTERFACTUAL, PROBE, VARIANCE, Arm

LOSSES = ("sigmoid", "robust", "ipo", "ipo_sum", "hinge", "apo_zero", "sigmoid_norm")
WITHOUT_REFERENCE = ("sigmoid", "hinge", "sigmoid_norm")  # CPO, SLiC-HF, SimPO
ARM_ROLES = (VARIANCE, PROBE, COUNTERFACTUAL)

# Regime W's [source; names of the roles ours]: name, persona, temperature, seed, role.
ARMS = (
    *((f"wolfram_{i}", "regime_w/wolfram.txt", (2 + i) / 10, 42 + i, VARIANCE) for i in range(4)),
    *((f"maudlin_{i}", "regime_w/maudlin.txt", (2 + i) / 10, 100 + i, VARIANCE) for i in range(4)),
    ("wolfram_standard", "regime_w/standard.txt", 0.2, 1000, PROBE),
    ("wolfram_rephrase", "regime_w/rephrase.txt", 0.2, 1001, PROBE),
    ("maudlin_cf1", "regime_w/counterfactual.txt", 0.2, 2000, COUNTERFACTUAL),
)

COLLECTING = {
    "questions": Key(
        500, at_least(0), [COLLECT], "of problems.train, drawn at random [source]; 0: all"
    ),
    "arms": Key(
        ARMS, ANY, [COLLECT],
        "(name, persona, temperature, seed, role) each; a persona is a file as prompts.maths is, "
        f"roles are {', '.join(ARM_ROLES)}",
    ),
}  # fmt: skip

PAIRS = {
    "correctness_per_question": Key(
        8, at_least(0), [COLLECT],
        "pairs of a right and a wrong answer, of a question at most, its answers taking turns "
        "[ours]; 0: none of this type",
    ),
    "coherence_per_question": Key(
        8, at_least(0), [COLLECT], "the same of two right answers, the more coherent one chosen"
    ),
    "min_reward_gap": Key(
        0.01, at_least(0), [COLLECT], "of two right answers' rewards; more is a pair [source]"
    ),
    "correctness_share": Key(
        0.75, FRACTION, [COLLECT],
        "of pairs of correctness [source: 0.7 to 0.8]: of the type that has more, some are left "
        "out; 0: all stay",
    ),
    "max_pairs": Key(5000, at_least(0), [COLLECT], "in all [source]; 0: any number"),
}  # fmt: skip

PREFERENCE = {  # direct preference optimisation (arXiv 2305.18290)
    "data": Key(
        "runs/regime_w_collect/pairs.jsonl", ANY, [PREFERENCES], "question, chosen, rejected"
    ),
    "loss": Key("sigmoid", one_of(*LOSSES), [PREFERENCES], "see core/preference_losses.py"),
    "beta": Key(0.1, above(0), [PREFERENCES], "reward of a nat of log-ratio [ours]"),
    "label_smoothing": Key(
        0.0, ANY, [PREFERENCES],
        "sigmoid (cDPO), robust: the share of pairs that are the wrong way, in [0, 0.5)",
    ),
    "margin": Key(
        0.0, at_least(0), [PREFERENCES],
        "sigmoid_norm: reward, beta * nats a token, to lead by (SimPO's gamma)",
    ),
    "sft_weight": Key(
        0.0, at_least(0), [PREFERENCES],
        "of the chosen answers' negative log-likelihood, nats a token",
    ),
    "reference": Key(
        "cached", one_of("cached", "live", "none"), [PREFERENCES],
        "what log-probabilities are compared with: cached, those of the policy at the beginning, "
        "computed once | live, the same, computed at every step | none",
    ),
    "max_tokens": Key(
        1024, at_least(1), [PREFERENCES],
        "of a question as the policy is shown it and an answer; more: an error",
    ),
    "batch": Key(
        32, at_least(1), [PREFERENCES],
        "pairs an update [source: 8 devices, 2 each, accumulated twice]",
    ),
    "microbatches": Key(2, at_least(1), [PREFERENCES], "gradient accumulation [source]"),
    "epochs": Key(3, at_least(1), [PREFERENCES], "passes over the pairs [source]"),
}  # fmt: skip

KEYS = {"collect": COLLECTING, "pairs": PAIRS, "dpo": PREFERENCE}


def read_arms(arms: Any) -> tuple[Arm, ...]:
    """The arms of ``config.collect.arms``.

    Raises:
      ValueError: there is no arm, a value is not allowed, or two arms are alike; every reason.
    """
    broken, parsed = [], []
    for number, given in enumerate(arms):
        where = f"config.collect.arms[{number}]"
        if not isinstance(given, list | tuple) or len(given) != len(Arm._fields):
            broken.append(f"{where}: got {given!r}, allowed are {', '.join(Arm._fields)}")
            continue
        parsed.append(arm := Arm(*given))
        allowed: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
            "name": (str, lambda v: v.strip() != "", "a text that is not empty"),
            "persona": (str, lambda v: v.strip() != "", "the name of a file of prompts"),
            "temperature": (
                (int, float),
                lambda v: v == 0 or COLDEST <= v < math.inf,
                f"0 or >= {COLDEST}",
            ),
            "seed": (int, lambda v: 0 <= v < 2**32, "a whole number in [0, 2^32)"),
            "role": (str, lambda v: v in ARM_ROLES, f"one of {', '.join(ARM_ROLES)}"),
        }
        for name, (kind, fits, what) in allowed.items():
            value = getattr(arm, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
                broken.append(f"{where}.{name}: got {value!r}, allowed is {what}")
    names = [arm.name for arm in parsed]
    if again := sorted({name for name in names if names.count(name) > 1}):
        broken.append(f"config.collect.arms: the names {again} are there twice")
    asked = [arm._replace(name="", role="") for arm in parsed]
    if again := sorted(
        {a.name for a, like in zip(parsed, asked, strict=True) if asked.count(like) > 1}
    ):
        broken.append(
            f"config.collect.arms: {', '.join(again)} would say the same: persona, temperature and "
            "seed are alike"
        )
    if not parsed and not broken:
        broken.append("config.collect.arms: there is none")
    if broken:
        raise ValueError("\n  ".join(broken))
    return tuple(parsed)


def broken_rules(c: ConfigDict, reads: frozenset[str]) -> Iterator[str]:
    del reads  # these rules hold for everybody
    try:
        read_arms(c.collect.arms)
    except (ValueError, TypeError) as error:
        yield str(error)
    d = c.dpo
    if d.reference == "none" and d.loss in LOSSES and d.loss not in WITHOUT_REFERENCE:
        yield (
            f"config.dpo.reference: got 'none', but config.dpo.loss = {d.loss!r} is published with "
            f"a reference only; without one are {', '.join(WITHOUT_REFERENCE)}"
        )
    smoothed = d.loss in ("sigmoid", "robust")
    if not 0 <= d.label_smoothing < 0.5 or (d.label_smoothing and not smoothed):
        yield (
            f"config.dpo.label_smoothing: got {d.label_smoothing}, allowed is [0, 0.5) with the "
            "losses sigmoid and robust, else 0"
        )
    if d.loss == "robust" and not d.label_smoothing:
        yield (
            "config.dpo.label_smoothing: got 0, the loss 'robust' needs the share of pairs that "
            "are the wrong way, in (0, 0.5); without any it is 'sigmoid'"
        )
    if d.margin and d.loss != "sigmoid_norm":
        yield f"config.dpo.margin: got {d.margin}, allowed is 0 but with the loss 'sigmoid_norm'"
    if d.microbatches >= 1 and d.batch % d.microbatches:
        yield (
            f"config.dpo.microbatches: got {d.microbatches}, must divide config.dpo.batch = "
            f"{d.batch}"
        )
