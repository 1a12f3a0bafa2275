"""Faults in updates, checkpoints, stages, and in what a run resumes from."""

from mutations.mutation import Mutation

STEP, OPTIMIZER = "waltzjax/training/step.py", "waltzjax/training/optimizer.py"
LEARNER, METRICS = "waltzjax/training/learner.py", "waltzjax/metrics/records.py"
CLOCK, BACKGROUND = "waltzjax/metrics/clock.py", "waltzjax/metrics/background.py"
LOOP, REINFORCE = "waltzjax/stages/loop.py", "waltzjax/stages/reinforce.py"
RECIPE, SOURCE = "waltzjax/stages/recipe.py", "waltzjax/data/source.py"
PACKING = "waltzjax/data/packing.py"
OF_STEP, OF_UPDATE = ("tests/training/test_step.py",), ("tests/training/test_update.py",)

MUTATIONS = (
    Mutation(
        "token-predicts-itself", STEP,
        "        hidden_BTD[:, :-1],\n",
        "        hidden_BTD[:, 1:],\n",
        ("tests/stages/test_gap.py", *OF_STEP),
        "a token's log-probability is computed from a state that has seen it",
    ),
    Mutation(
        "cutoff-of-the-token-before", STEP,
        "cutoff_gap_BT = None if batch.cutoff_gap_BT is None else batch.cutoff_gap_BT[:, 1:]",
        "cutoff_gap_BT = None if batch.cutoff_gap_BT is None else batch.cutoff_gap_BT[:, :-1]",
        ("tests/stages/test_gap.py",),
        "the trainer truncates where the sampler did a token earlier",
    ),
    Mutation(
        "last-microbatch-alone", STEP,
        "return jax.tree.map(jnp.add, total, gradient), metrics",
        "return gradient, metrics",
        OF_STEP,
        "all microbatches but the last are computed for nothing",
    ),
    Mutation(
        "metrics-averaged", STEP,
        "metrics = {name: value.sum() for name, value in metrics_M.items()}",
        "metrics = {name: value.mean() for name, value in metrics_M.items()}",
        OF_STEP,
        "the logged loss depends on the number of microbatches",
    ),
    Mutation(
        "dropout-of-the-first-step", STEP,
        "jax.random.fold_in(jax.random.key(seed), state.step), batch_MBT.token_BT.shape[0]",
        "jax.random.key(seed), batch_MBT.token_BT.shape[0]",
        OF_UPDATE,
        "the same inputs are dropped at every step",
    ),
    Mutation(
        "step-never-counts", STEP,
        "return AgentState(params, opt_state, state.step + 1, state.beta), metrics",
        "return AgentState(params, opt_state, state.step, state.beta), metrics",
        OF_UPDATE,
        "a resumed agent believes that it has never learned",
    ),
    Mutation(
        "betas-swapped", OPTIMIZER,
        "optax.adamw(schedule, b1=b1, b2=b2, eps=eps",
        "optax.adamw(schedule, b1=b2, b2=b1, eps=eps",
        ("tests/training/test_optimizer.py",),
        "momentum is nearly endless and the second moment forgets",
    ),
    Mutation(
        "no-weight-decay", OPTIMIZER,
        "eps=eps, weight_decay=weight_decay)",
        "eps=eps, weight_decay=0.0)",
        ("tests/training/test_optimizer.py",),
        "config.optim.weight_decay does nothing",
    ),
    Mutation(
        "update-clipped-not-gradient", OPTIMIZER,
        "optax.clip_by_global_norm(grad_clip),\n"
        "        optax.adamw(schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay),",
        "optax.adamw(schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay),\n"
        "        optax.clip_by_global_norm(grad_clip),",
        ("tests/training/test_optimizer.py",),
        "one exploding gradient spoils the moments for hundreds of steps",
    ),
    Mutation(
        "warm-up-one-longer", OPTIMIZER,
        "optax.join_schedules([warmup, after], [warmup_steps])",
        "optax.join_schedules([warmup, after], [warmup_steps + 1])",
        ("tests/training/test_optimizer.py",),
        "the decay begins, and ends, a step late",
    ),
    Mutation(
        "reference-is-the-policy", LEARNER,
        'ref = program("reference", self._logp, ref_params, batch)',
        'ref = program("reference", self._logp, policy, batch)',
        OF_STEP,
        "the KL is always 0 and holds nothing back",
    ),
    Mutation(
        "one-update-a-rollout", LEARNER,
        "for _ in range(self._updates):",
        "for _ in range(1):",
        OF_UPDATE,
        "config.rl.updates_per_rollout does nothing",
    ),
    Mutation(
        "dropout-while-reinforcing", LEARNER,
        "cfg = dataclasses.replace(cfg, lora_dropout=0.0)",
        "cfg = dataclasses.replace(cfg)",
        OF_STEP,
        "what is updated is not the policy that was sampled from",
    ),
    Mutation(
        "start-donated", LEARNER,
        "params = jax.tree.map(jnp.copy, params)",
        "params = jax.tree.map(lambda x: x, params)",
        OF_UPDATE,
        "the first update deletes the reference's arrays",
    ),
    Mutation(
        "gap-signed", LEARNER,
        "jnp.where(action, jnp.abs(batch.old_logp_BT - batch.sampler_logp_BT), 0)",
        "jnp.where(action, batch.old_logp_BT - batch.sampler_logp_BT, 0)",
        OF_STEP,
        "gaps of both signs cancel: sampler and trainer seem to agree",
    ),
    Mutation(
        "oldest-checkpoint", "waltzjax/training/checkpoint.py",
        "for step in sorted(self._manager.all_steps(), reverse=True):",
        "for step in sorted(self._manager.all_steps()):",
        ("tests/training/test_checkpoint.py",),
        "a resumed run loses all but the oldest checkpoint's work",
    ),
    Mutation(
        "another-runs-checkpoint-moved", "waltzjax/training/checkpoint.py",
        "if not self._read_only:\n                    self._move_aside(bad)",
        "if True:\n                    self._move_aside(bad)",
        ("tests/training/test_checkpoint.py",),
        "a run that begins at another one's checkpoint renames its files",
    ),
    Mutation(
        "metrics-of-a-step-twice", METRICS,
        'r for r in read_metrics(path) if r["stage"] != stage or r["step"] <= resume_step',
        'r for r in read_metrics(path) if r["stage"] != stage or r["step"] <= resume_step + 1',
        ("tests/metrics/test_records.py",),
        "a step that is run again after a kill is recorded twice",
    ),
    Mutation(
        "other-stages-metrics-dropped", METRICS,
        'if r["stage"] != stage or r["step"] <= resume_step',
        'if r["step"] <= resume_step',
        ("tests/metrics/test_records.py",),
        "the first step of stage 2 deletes the curves of stage 1",
    ),
    Mutation(
        "torn-metrics-line-read", METRICS,
        "return [json.loads(line) for line in lines[:-1] if line]",
        "return [json.loads(line) for line in lines if line]",
        ("tests/metrics/test_records.py",),
        "a run killed in the middle of a line can never be resumed",
    ),
    Mutation(
        "device-time-counted-twice", CLOCK,
        "yield name, max(begun, self._last_end), end",
        "yield name, begun, end",
        ("tests/metrics/test_clock.py",),
        "the time of programs that wait for one another is counted more than once",
    ),
    Mutation(
        "evaluations-in-a-step", CLOCK,
        "self._part, self._since = before, self._now()",
        "self._part = before",
        ("tests/metrics/test_clock.py",),
        "the step after an evaluation takes minutes more than it did",
    ),
    Mutation(
        "a-failed-call-is-lost", BACKGROUND,
        "for wait_s in (*self._retry_s, None):",
        "for wait_s in (None,):",
        ("tests/metrics/test_background.py",),
        "a server that is away for a second is given up",
    ),
    Mutation(
        "loader-saved-before-the-batch", LOOP,
        "keep(batches.get_state())\n                stopping.check(asked, saved())",
        "keep(before)\n                stopping.check(asked, saved())",
        ("tests/stages/test_loop.py",),
        "a resumed run trains on its last batch once more",
    ),
    Mutation(
        "resumed-from-the-start", LOOP,
        "batches.set_state(host[\"data\"])\n",
        "batches.set_state({**host[\"data\"], \"next_index\": 0})\n",
        ("tests/stages/test_loop.py",),
        "a resumed run sees the first prompts again and never the last ones",
    ),
    Mutation(
        "stale-weights-speak", REINFORCE,
        "rolled = roll(merged_params(trainable, base, now), chosen, stream, number, watch)",
        "rolled = roll(merged_params(trainable, base, start), chosen, stream, number, watch)",
        ("tests/stages/test_reinforce.py",),
        "rollouts are of the policy that the stage began with",
    ),
    Mutation(
        "reference-follows-the-policy", REINFORCE,
        "config, runtime, recipe, learners, agents, base, reference, rolled.rows\n",
        "config, runtime, recipe, learners, agents, base, merged_params(trainable, base, now),"
        " rolled.rows\n",
        ("tests/stages/test_reinforce.py",),
        "the KL is measured from the step before, a reference one version too new",
    ),
    Mutation(
        "same-seeds-every-step", "waltzjax/stages/rollout.py",
        "entropy = [seed, step, zlib.crc32(role.encode()), turn, index]",
        "entropy = [seed, 0 * step, zlib.crc32(role.encode()), turn, index]",
        ("tests/waltz/test_episode.py",),
        "every step draws with the noise of the first",
    ),
    Mutation(
        "choices-of-the-first-step", "waltzjax/run/runtime.py",
        "return np.random.default_rng([seed, step])",
        "return np.random.default_rng([seed])",
        ("tests/run/test_runtime.py",),
        "episode number 7 trains the same turn at every step",
    ),
    Mutation(
        "kl-in-the-other-place", RECIPE,
        'beta_B = flat.beta_B if kl_in == "reward" else jnp.zeros_like(flat.beta_B)',
        'beta_B = flat.beta_B if kl_in == "loss" else jnp.zeros_like(flat.beta_B)',
        ("tests/stages/test_recipes.py",),
        "the KL is charged twice, or not at all",
    ),
    Mutation(
        "reward-kl-of-truncated", RECIPE,
        "kl_BT = kl_estimate(old_BT, flat.ref_logp_BT, estimator)",
        "kl_BT = kl_estimate(flat.old_logp_BT, flat.ref_logp_BT, estimator)",
        ("tests/stages/test_recipes.py",),
        "truncated log-probabilities are compared with whole ones in the reward",
    ),
    Mutation(
        "a-batch-skipped-on-resume", SOURCE,
        'self._indices.set_state({"next_index": index})',
        'self._indices.set_state({"next_index": index + 1})',
        ("tests/data/test_source.py",),
        "each restart skips a batch",
    ),
    Mutation(
        "every-epoch-alike", SOURCE,
        ".shuffle()\n            .repeat(epochs)",
        ".repeat(epochs)",
        ("tests/data/test_source.py",),
        "prompts come in the file's order, epoch after epoch",
    ),
    Mutation(
        "end-of-turn-untrained", PACKING,
        "trained += [False] * len(context) + [weight] * end",
        "trained += [False] * len(context) + [weight] * (end - 1) + [False]",
        ("tests/data/test_packing.py",),
        "a fine-tuned model never ends its turn",
    ),
    Mutation(
        "chats-weighed-not-tokens", PACKING,
        'weight_B = token_weights(batch.action_BT.sum(axis=1), "token")',
        'weight_B = token_weights(batch.action_BT.sum(axis=1), "sequence")',
        ("tests/data/test_packing.py",),
        "a token's weight depends on which chats it is packed with",
    ),
)  # fmt: skip
