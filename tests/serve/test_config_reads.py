"""The keys that serving reads are those whose records say so: no other one, and each of its own."""

from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from config_reads import config_reads, keys_of_others
from served_runs import config, run_of
from support import tiny_chat, tiny_config

from waltzjax.config.defaults import KEYS
from waltzjax.config.key import SERVE_READS
from waltzjax.model.hf import weights
from waltzjax.model.transformer import init_params
from waltzjax.recipes import validate
from waltzjax.serve import __main__ as command
from waltzjax.serve import server
from waltzjax.serve.run_directory import served_config

OWN = {path for path in KEYS if path.startswith("serve.")}


@pytest.fixture(scope="module")
def reads(tmp_path_factory):
    """The keys read by the start of three services: of two tiny agents, of agents that are
    elsewhere, and of one whose conversation agent is nowhere. A request reads no config: its parts
    are made at the start."""
    run = run_of(tmp_path_factory.mktemp("run"), config("stage2", "tiny"), roles=(), base=False)
    shapes = jax.eval_shape(partial(init_params, tiny_config()), jax.random.key(0))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    for role in ("conversation", "feedback"):
        weights.save(run / role, tiny_config(), zeros, tiny_chat().tokenizer, generation={})
    ends = {"url": "http://127.0.0.1:9/v1", "model": "m"}
    elsewhere = {f"serve.{end}.{k}": v for end in ("upstream", "reviewer") for k, v in ends.items()}
    nowhere = {"serve.conversation": str(run / "nowhere"), "serve.base": ""}
    common = {"serve.port": 0, "serve.audit": str(run / "audit.jsonl"), "serve.warm_up": False}

    class Once:
        """In the place of the server: asks the guard how a request is drawn, and ends."""

        received = 0

        def __init__(self, app, traffic, drain_s):
            self._service = app.state.service

        @contextmanager
        def in_thread(self, listener):
            yield self

        def result(self):
            self._service.loaded.asks()

    with pytest.MonkeyPatch.context() as patch, config_reads() as read:
        patch.setattr(server, "Server", Once)
        for own in (common, common | elsewhere, common | nowhere):
            c = served_config(config("serve", "tiny", **own), run, own)
            validate(c, reads=SERVE_READS)
            command.serve(c)
    return read


def test_serving_reads_no_key_of_others(reads):
    assert reads & keys_of_others(SERVE_READS) == set()


def test_serving_reads_all_its_own_keys(reads):
    assert OWN - reads == set() and len(OWN) > 35


def test_a_key_that_serving_is_said_to_read_makes_a_difference_to_it(reads):
    shared = {path for path, key in KEYS.items() if "waltzjax.serve" in key.readers} - OWN
    assert shared == {"prompts.conversation", "prompts.feedback", "rollout.t_max"} <= reads
