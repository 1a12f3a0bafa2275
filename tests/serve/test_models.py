"""The agents that a service loads."""

import jax
import pytest
from served import user
from served_runs import config, run_of
from support import tiny_chat, tiny_config, tiny_runtime

from waltzjax.model.hf import weights
from waltzjax.model.transformer import init_params
from waltzjax.serve import Ask, Guard, models
from waltzjax.serve.flags import Flags

OFF = Flags(enable=False)


@pytest.mark.parametrize(("key", "value"), [("top_k", 1), ("min_p", 1.0)])
def test_a_run_is_sampled_as_it_was_trained(tmp_path, monkeypatch, key, value):
    """Either leaves one token, whatever the seed; without it there are many."""
    trained = config("stage2", "tiny", **{f"rollout.{key}": value})
    run = run_of(tmp_path / "run", trained, roles=(), base=False)
    for seed, role in enumerate(("conversation", "feedback")):
        params = init_params(tiny_config(), jax.random.key(seed))
        weights.save(run / role, tiny_config(), params, tiny_chat().tokenizer, generation={})
    monkeypatch.setattr(models, "game_runtime", lambda *_: tiny_runtime())  # soon compiled
    own = config("serve", "tiny", **{"serve.warm_up": False})
    with Guard(config=own, workdir=run, flags=OFF, environ={}) as guard:
        answers = {
            guard.respond(user("Hello?"), ask=Ask(8, 1.0, seed=seed)).text for seed in range(8)
        }
    assert len(answers) == 1
