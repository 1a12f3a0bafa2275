"""Regime W, training: DPO on the pairs that regime_w_collect.py made, adapters on a frozen base.

Paper: DPO (arXiv 2305.18290), LoRA (arXiv 2106.09685). LoRA rank 16 [ours], lr 5e-5, 3 epochs, 32
pairs an update (2 a device, accumulated twice, on 8 devices), beta 0.1 [ours], a checkpoint each
epoch; the reference is the base with its adapter turned off. Evaluated on GSM8K's test questions,
greedily, before and after; --config.problems.validation=FILE takes GSM8K Platinum's. Commands:
  pairs       python -m waltzjax.collect --config=configs/regime_w_collect.py
              --workdir=runs/regime_w_collect
  full size   python -m waltzjax.train --config=configs/regime_w_dpo.py --workdir=runs/regime_w
  one GPU     the same with --config.dpo.microbatches=16, and --config.rollout.max_num_seqs=64
              --config.rollout.cache_tokens=65536
  laptop      make regime-w-demo
              (collects, makes pairs, trains with :tiny, evaluates, checks)
  checks      python -m waltzjax.checklist --collected=runs/regime_w_collect --run=runs/regime_w
  other losses --config.dpo.loss=ipo, robust, hinge, apo_zero, sigmoid_norm; SimPO is sigmoid_norm
              with --config.dpo.reference=none --config.dpo.beta=2.0 --config.dpo.margin=1.0
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet. Expected by the
sources: loss 0.6 to 0.7 in the first epoch, then 0.5, then 0.35 to 0.4; accuracy from about 80 %
up by 2 to 5 points.
Results: size | commit | hardware | time | seeds | metric (interval)
  tiny | aaad82b | 2 CPU cores | 5 to 7 min | 0, 1, 2 | accuracy 56.7 → 76.5 (72.5–79.5) %
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import regime_w


def get_config(arg: str = ""):
    c = regime_w.variant(arg)
    c.lora.rank = 16
    c.optim.lr.policy = 5e-5
    c.train.checkpoint_every = 1_000_000  # at the end of each epoch alone
    c.train.keep_checkpoints = 3
    c.train.validate_every = 0
    if not arg:
        c.model.param_dtype = "bfloat16"  # of the base; adapters and their moments are float32
    else:
        regime_w.small_preferences(c)
    return c
