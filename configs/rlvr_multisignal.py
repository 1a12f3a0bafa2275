"""RLVR, multi-signal: verified answers, their form, and whether they check themselves.

Papers: One-Shot-RLVR (arXiv 2504.20571), GRPO (arXiv 2402.03300). Reward: 1.0 verify + 0.5 format +
0.5 reflect, summed and then normalised in the group; 64 prompts x 4 answers a step, 220 steps; KL
0.001 in the loss (k3, "low_var_kl"); updates packed to 20,000 tokens a device. The training file is
one problem, pi-1, repeated to the batch; any other is --config.problems.train=FILE. Commands:
  full size   python -m waltzjax.train --config=configs/rlvr_multisignal.py
              --config.problems.train=pi1.jsonl --config.problems.validation=math500.jsonl
  trial       the same with --config=configs/rlvr_multisignal.py:quick (3 steps, 512 tokens)
  laptop      python -m waltzjax.train --config=configs/rlvr_multisignal.py:tiny --workdir=runs/rlvr
              (builds its problems and its base model first)
  ablations   --config.reward.signals.format=0, --config.reward.signals.reflect=0
Differs from the sources' run: its rollout budget of 16,384 batched tokens is vLLM's; here
rollout.max_num_seqs and rollout.cache_tokens say how much is generated at a time.
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet. Reported elsewhere:
MATH500 60.4 % at step 220 (the project's sources); 73.6 to 74.0 % with 128 x 8 answers of 3,072
tokens and an entropy bonus of 0.001 (arXiv 2504.20571, from 36.0 %).
Results: size | commit | hardware | time | seeds | metric (interval)
  tiny | aaad82b | 2 CPU cores | 7 min 13 s | 0, 1, 2 | accuracy 39.6 → 77.2 (75.2–80.5) %
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import maths


def get_config(arg: str = ""):
    return maths.variant(arg)
