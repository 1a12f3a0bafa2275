"""Supervised fine-tuning of one agent on chats, the optional warm-up before stage 1.

Paper: none; the sources give 2,000 to 5,000 examples an agent. Commands:
  chats       python scripts/make_sft_data.py --embedded --output=data/sft
              (for ``:coded`` with --coded=0.3, as the world's)
  prompts     data/waltz as in stage 1: both agents are evaluated before and after
  full size   python -m waltzjax.train --config=configs/sft.py --workdir=runs/sft
              (--config.sft.role=conversation for the other agent)
  adapters    the same with --config=configs/sft.py:lora
  laptop      the same with --config=configs/sft.py:tiny (builds its base model first)
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet.
Results: size | commit | hardware | time | seeds | metric (interval)
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import waltz


def get_config(arg: str = ""):
    c = waltz.variant(arg)
    c.stages = ("sft",)
    c.optim.lr.conversation = c.optim.lr.feedback = {"": 1e-5, "lora": 1e-4}.get(arg, 5e-4)
    return c
