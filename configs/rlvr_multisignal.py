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
rollout.slots and rollout.cache_tokens say how much is generated at a time.
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet. Reported elsewhere:
MATH500 60.4 % at step 220 (the project's sources); 73.6 to 74.0 % with 128 x 8 answers of 3,072
tokens and an entropy bonus of 0.001 (arXiv 2504.20571, from 36.0 %).
Measured, tiny: README's section on maths.
"""

from ml_collections import ConfigDict

from waltzjax.config import defaults


def get_config(arg: str = "") -> ConfigDict:
    return variant(arg)


def variant(arg: str) -> ConfigDict:
    """What stands after the colon: nothing, ``quick`` or ``tiny``."""
    return defaults.choose({"": full, "quick": quick, "tiny": tiny}, arg)


def full() -> ConfigDict:
    """The sources' run."""
    c = defaults.default()
    c.stages = (defaults.RLVR,)
    c.model.base = "Qwen/Qwen2.5-Math-1.5B"
    c.rl.algorithm = "grpo"
    c.rl.kl_in, c.rl.kl_estimator, c.rl.beta.rlvr = "loss", "k3", 0.001
    c.rl.token_budget = 20_000
    c.rollout.batch, c.rollout.group = 64, 4
    c.rollout.temperature = 0.6
    c.rollout.max_new_tokens = 1536
    c.rollout.slots = 256  # all answers of a step at once
    c.rollout.cache_tokens = 655_360  # 2,560 of each; 28 KiB a token, 2.2 GiB a device
    c.train.steps.rlvr = 220
    c.train.checkpoint_every = c.train.validate_every = 50
    c.train.validate_first = False
    return c


def quick() -> ConfigDict:
    """``:quick`` shows that everything is in its place: three small steps of the same model."""
    c = full()
    c.train.steps.rlvr = 3
    c.rollout.batch, c.rollout.group = 16, 2
    c.rollout.max_new_tokens = 512
    c.rollout.slots = 32
    c.rollout.cache_tokens = 65_536
    c.eval.prompts = 35
    return c


def tiny() -> ConfigDict:
    """``:tiny`` is self-contained and runs on a laptop: model and problems are embedded."""
    c = full()
    c.mesh = (1, 1, 1)
    c.model.base = defaults.EMBEDDED
    c.model.dtype = "float32"
    c.model.remat = "none"
    c.prompts.maths = "tiny/maths.txt"
    c.problems.train = c.problems.validation = defaults.EMBEDDED
    c.problems.instruction = ""
    c.problems.max_tokens = 52
    c.rollout.temperature = 1.0
    c.rollout.max_new_tokens = 44
    c.rollout.slots = 128
    c.rollout.cache_tokens = 16_384
    c.rollout.length_multiple = 64
    c.rl.token_budget = 5632  # three rows hold a step's answers
    c.rl.entropy_bonus = 0.02  # answers become alike within 20 steps
    c.optim.lr.policy = 2e-4
    c.optim.warmup_steps = 5
    c.optim.schedule = "linear"
    c.train.steps.rlvr = 50
    c.train.checkpoint_every = 50
    c.train.validate_every = 10
    c.train.validate_first = True
    return c
