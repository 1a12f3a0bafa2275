"""The rules of collecting answers, of making pairs of them, and of the stage "dpo"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from waltzjax.types import COLDEST, COUNTERFACTUAL, PROBE, VARIANCE, Arm

LOSSES = ("sigmoid", "robust", "ipo", "ipo_sum", "hinge", "apo_zero", "sigmoid_norm")
WITHOUT_REFERENCE = ("sigmoid", "hinge", "sigmoid_norm")  # CPO, SLiC-HF, SimPO
REFERENCES = ("cached", "live", "none")
ROLES = (VARIANCE, PROBE, COUNTERFACTUAL)


def read_arms(arms: Any) -> tuple[Arm, ...]:
    """Those of ``config.collect.arms``.

    Raises:
      ValueError: they are none, or not told apart; every reason.
    """
    broken, found = [], []
    for number, given in enumerate(arms):
        where = f"config.collect.arms[{number}]"
        if not isinstance(given, list | tuple) or len(given) != len(Arm._fields):
            broken.append(f"{where}: got {given!r}, allowed are {', '.join(Arm._fields)}")
            continue
        found.append(arm := Arm(*given))
        allowed: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
            "name": (str, lambda v: v.strip() != "", "a text that is not empty"),
            "persona": (str, lambda v: v.strip() != "", "the name of a file of prompts"),
            "temperature": (
                (int, float),
                lambda v: v == 0 or COLDEST <= v < math.inf,
                f"0 or >= {COLDEST}",
            ),
            "seed": (int, lambda v: 0 <= v < 2**32, "a whole number in [0, 2^32)"),
            "role": (str, lambda v: v in ROLES, f"one of {', '.join(ROLES)}"),
        }
        for name, (kind, fits, what) in allowed.items():
            value = getattr(arm, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not fits(value):
                broken.append(f"{where}.{name}: got {value!r}, allowed is {what}")
    names = [arm.name for arm in found]
    if again := sorted({name for name in names if names.count(name) > 1}):
        broken.append(f"config.collect.arms: the names {again} are there twice")
    asked = [arm._replace(name="", role="") for arm in found]
    if again := sorted(
        {a.name for a, like in zip(found, asked, strict=True) if asked.count(like) > 1}
    ):
        broken.append(
            f"config.collect.arms: {', '.join(again)} would say the same: persona, temperature and "
            "seed are alike"
        )
    if not found and not broken:
        broken.append("config.collect.arms: there is none")
    if broken:
        raise ValueError("\n  ".join(broken))
    return tuple(found)


def broken_preference_rules(c: Any) -> Iterator[str]:
    """What is wrong with the sections ``collect``, ``pairs`` and ``dpo``, whatever the stage."""
    try:
        read_arms(c.collect.arms)
    except (ValueError, TypeError) as error:
        yield str(error)
    if not 0 <= c.pairs.correctness_share <= 1:
        yield (
            f"config.pairs.correctness_share: got {c.pairs.correctness_share}, allowed is [0, 1]"
        )
    d = c.dpo
    for name, allowed in (("loss", LOSSES), ("reference", REFERENCES)):
        if d[name] not in allowed:
            yield f"config.dpo.{name}: got {d[name]!r}, allowed are {', '.join(allowed)}"
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
