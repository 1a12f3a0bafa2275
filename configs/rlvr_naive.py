"""RLVR, the naive baseline: verified answers alone are paid for.

The same as rlvr_multisignal.py but for the reward, verify only, and 180 steps. Commands:
  full size   python -m waltzjax.train --config=configs/rlvr_naive.py
              --config.problems.train=pi1.jsonl --config.problems.validation=math500.jsonl
  laptop      python -m waltzjax.train --config=configs/rlvr_naive.py:tiny --workdir=runs/naive
  the two     python scripts/compare_runs.py runs/naive runs/rlvr --output=compare.html
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Results: size | commit | hardware | time | seeds | metric (interval)
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import maths


def get_config(arg: str = ""):
    c = maths.variant(arg)
    c.reward.signals.format = c.reward.signals.reflect = 0.0
    if not arg:
        c.train.steps.rlvr = 180
    return c
