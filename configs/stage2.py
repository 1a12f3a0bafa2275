"""WaltzRL stage 2: both agents are trained; the label reward is off, its conditioning stays.

Paper: arXiv 2510.08240. Commands:
  full size   python -m waltzjax.train --config=configs/stage2.py --config.model.feedback=DIR
              --workdir=runs/stage2 (DIR: the feedback agent of a stage-1 run)
  adapters    the same with --config=configs/stage2.py:lora
  laptop      python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=runs/demo
              (builds its base model, then runs stage 1, stage 2 and the evaluation)
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Judge: take WildGuard or an endpoint at full size; see stage1.py.
Results: size | commit | hardware | time | seeds | metric (interval)
  tiny | aaad82b | 2 CPU cores | 13 min 37 s | 0, 1, 2 | ASR 33.6 → 0.3, ORR 44.4 → 0.3 (0.0–0.7) %
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import waltz


def get_config(arg: str = ""):
    c = waltz.variant(arg)
    c.stages = ("stage1", "stage2") if arg in waltz.SMALL else ("stage2",)
    if arg == "lora":  # ten times that of whole models ("LoRA without regret", 2025)
        c.optim.lr.conversation = c.optim.lr.feedback = 5e-6
    if arg in waltz.SMALL:
        waltz.small_reinforcement(c)
        c.optim.lr.conversation = 5e-4  # at 2e-4 its first answers do not learn in 60 steps
        c.optim.lr.feedback = 2e-4
        # Once first answers are good, wrong flags cost nothing (the label reward is off): what
        # holds the reviewer is the KL to what stage 1 has made of it.
        c.rl.beta.stage2 = 0.05
        c.train.steps.stage1, c.train.steps.stage2 = 140, 60
    return c
