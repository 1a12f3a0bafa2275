"""GRPO (arXiv 2402.03300) on the embedded maths world, in one scroll: the library's API by example.

    python scripts/minimal_rl.py --steps=20 --workdir=runs/minimal

The script trains a small base model (three minutes, once), then lets it answer problems and learn
from the answers that are right. It departs from the paper in these points:

1. One update a rollout, so that the ratio is 1 and nothing is clipped (``mu = 1`` there).
2. The reference of the KL is the base all along; it is never renewed.
3. The reward is 1 for a right answer; there is no reward model and no reward of the process.
4. Importance weights correct for the sampler (``tis_cap``): 0 here, as it draws what is trained.

``python -m waltzjax.train --config=configs/rlvr_multisignal.py:tiny`` is the same loop with more
signals, packed rows, checkpoints, resumption, evaluation and a report.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from runpy import run_path

import numpy as np
from absl import flags

from waltzjax.core.advantages import group_advantage
from waltzjax.engine.requests import Sampling
from waltzjax.model import sharding
from waltzjax.model.hf import weights
from waltzjax.rlvr.grading.verifier import Verifier
from waltzjax.rlvr.problems import training_problems, validation_problems
from waltzjax.rlvr.runtime import maths_runtime
from waltzjax.run import cli
from waltzjax.stages.recipe import compute_advantages, policy_loss
from waltzjax.support.console import Progress, phase, say
from waltzjax.toy.maths import embedded_maths_base
from waltzjax.training.learner import Learner, device_batch, init_state
from waltzjax.training.optimizer import make_optimizer
from waltzjax.types import Sample

CONFIG = Path(__file__).parent.parent / "configs/rlvr_multisignal.py"
KL = {"kl_in": "loss", "estimator": "k3"}
SEEDS = 2**32


def minimal_rl(config, workdir: Path, *, steps: int, prompts: int, group: int) -> list[float]:
    """The accuracy of each step's answers, in [0, 1]; the last one is greedy and held out."""
    mesh = sharding.make_mesh(config.mesh)
    embedded_maths_base(config, mesh, workdir / "base")
    runtime = maths_runtime(config, workdir / "base", mesh)
    cfg, chat, engine = runtime.cfg, runtime.chat, runtime.engine
    base = weights.load_params(workdir / "base", cfg, mesh)

    optimizer = make_optimizer(
        lr=2e-4, warmup_steps=5, b1=0.9, b2=0.95, weight_decay=0.0, grad_clip=1.0
    )
    learner = Learner(
        cfg,
        optimizer,
        partial(policy_loss, **KL, clip_low=0.2, clip_high=0.2, dual_clip=None, entropy_bonus=0.02),
        partial(compute_advantages, **KL, normalise=False, tis_cap=0.0),
        temperature=1.0,
        block=config.model.logit_chunk,
        updates=1,
    )
    # The update takes the state's memory, and the base stays the reference: the state has a copy.
    state = init_state(weights.load_params(workdir / "base", cfg, mesh), optimizer, mesh, beta=1e-3)
    rng = np.random.default_rng(config.seed)
    training, held_out = training_problems(config), validation_problems(config)
    new = config.rollout.max_new_tokens

    def answers(problems, how):
        """Each problem's prompt and answer as tokens, and whether the answer is right."""
        states = chat.encode([chat.problem_text(problem.text) for problem in problems])
        seeds = rng.integers(SEEDS, size=len(states)).tolist()
        drawn = engine.generate(state.params, states, how, seeds)
        texts = [chat.decode(tokens.token_ids) for tokens in drawn]
        verified = verifier.grade((t, p.answer) for t, p in zip(texts, problems, strict=True))
        return states, drawn, np.array([float(v.right) for v in verified], np.float32)

    accuracies = []
    with Verifier(2, timeout_s=5.0) as verifier, Progress(steps, "GRPO") as bar:
        for step in range(steps):
            # 1. Roll out: ``group`` answers to each of ``prompts`` problems.
            chosen = [training[i] for i in rng.choice(len(training), prompts, replace=False)]
            asked = [problem for problem in chosen for _ in range(group)]
            states, drawn, right_N = answers(asked, Sampling(new, temperature=1.0))

            # 2. Advantages: (reward - the group's mean) / the group's standard deviation.
            advantage_PK = group_advantage(right_N.reshape(prompts, group), "grpo")

            # 3. Samples: the ids that were drawn, never their text.
            samples = [
                Sample(prompt, tokens.token_ids, tokens.logprobs, float(advantage))
                for prompt, tokens, advantage in zip(
                    states, drawn, np.asarray(advantage_PK).ravel(), strict=True
                )
            ]
            batch = device_batch(
                samples,
                mesh,
                microbatches=1,
                multiple=64,
                weights="sequence",
                max_length=cfg.max_positions,
            )

            # 4. Update, with the base as the KL's reference.
            state, metrics = learner.learn(state, None, base, batch)
            accuracies.append(float(right_N.mean()))
            bar.update(step + 1, accuracy=100 * accuracies[-1], kl=float(metrics["kl"]))
        accuracies.append(float(answers(held_out, Sampling(new, temperature=0.0))[2].mean()))
    return accuracies


def main() -> None:
    f = flags.FLAGS
    config = run_path(str(CONFIG))["get_config"]("tiny")
    config.seed = f.seed
    with phase("preparing"):
        workdir = Path(f.workdir)
        workdir.mkdir(parents=True, exist_ok=True)
    accuracies = minimal_rl(config, workdir, steps=f.steps, prompts=f.prompts, group=f.group)
    say(f"\nsampled on training problems: {100 * accuracies[0]:.1f} % before the first update")
    say(f"greedy on held-out problems:  {100 * accuracies[-1]:.1f} % after {f.steps} steps")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", "runs/minimal", "Directory of the base model.")
    flags.DEFINE_integer("steps", 20, "Updates.", 1)
    flags.DEFINE_integer("prompts", 64, "Problems a step.", 1)
    flags.DEFINE_integer("group", 4, "Answers to each problem.", 2)
    flags.DEFINE_integer("seed", 0, "Of the base and of the sampling.")
    cli.run(main)
