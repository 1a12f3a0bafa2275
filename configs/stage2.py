"""WaltzRL stage 2: both agents are trained; the label reward is off, its conditioning stays.

Paper: arXiv 2510.08240. Commands:
  full size   python -m waltzjax.train --config=configs/stage2.py --config.model.feedback=DIR
              --workdir=runs/stage2 (DIR: the feedback agent of a stage-1 run)
  adapters    the same with --config=configs/stage2.py:lora
  laptop      python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=runs/demo
              (builds its base model, then runs stage 1, stage 2 and the evaluation)
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Judge: take WildGuard or an endpoint at full size; see stage1.py.
Measured, tiny: the column "stage 2" of README's table.
"""

from pathlib import Path
from runpy import run_path

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    c = run_path(str(Path(__file__).with_name("stage1.py")))["variant"](arg)
    c.stages = ("stage1", "stage2") if arg in ("tiny", "coded") else ("stage2",)
    return c
