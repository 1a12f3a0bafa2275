"""How far agents went from their base: against logits one text at a time."""

import jax
import numpy as np
import pytest
from support import completion, sharded_params, tiny_runtime

from waltzjax.config.defaults import default
from waltzjax.evaluation.drift import drift
from waltzjax.model.transformer import hidden_states
from waltzjax.types import CONVERSATION, FEEDBACK, Completion, Episode, Prompt

ATOL = 1e-5  # nats, of means near 0.1: float32 in another order
LONGEST = 48  # tokens of a text; all are padded to it, and compiled once
PROMPT = Prompt(0, "Is it fine?", False, "edge_case")
WRITTEN = completion("No.", ids=())  # by no model


def config():
    c = default()
    c.sft.length, c.sft.batch, c.sft.microbatches = 32, 2, 1
    return c


def said(rng, prompt: int, tokens: int) -> Completion:
    ids = rng.integers(1, 400, prompt + tokens).tolist()
    return Completion(tuple(ids[:prompt]), tuple(ids[prompt:]), (), "", "stop")


def episodes():
    rng = np.random.default_rng(0)
    out = []
    for i in range(5):
        answers = [said(rng, 7, 2 + i), said(rng, 12, 4)]
        out.append(Episode(PROMPT, answers, [said(rng, 9 + 5 * i, 6)]))
    out[0].answers[1] = WRITTEN
    return out


def logp(runtime, params, text: Completion) -> np.ndarray:
    ids = text.prompt_ids + text.token_ids
    padded = np.pad(np.array([ids], np.int32), ((0, 0), (0, LONGEST - len(ids))))
    forward = jax.jit(hidden_states, static_argnums=0)
    hidden = forward(runtime.cfg, params, padded, np.array([len(ids)], np.int32))
    logits = np.asarray(hidden[0], np.float64) @ np.asarray(params["embed"], np.float64).T
    shifted = logits - logits.max(-1, keepdims=True)
    every = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return every[np.arange(len(text.prompt_ids) - 1, len(ids) - 1), text.token_ids]


def test_it_is_the_mean_log_ratio_of_all_tokens_an_agent_said():
    runtime = tiny_runtime()
    base = sharded_params(runtime.cfg, runtime.mesh)
    agents = {
        role: jax.tree.map(lambda x, scale=scale: scale * x, base)
        for role, scale in ((CONVERSATION, 1.1), (FEEDBACK, 0.8))
    }
    found = drift(config(), runtime, agents, base, episodes())
    texts = {
        CONVERSATION: [a for e in episodes() for a in e.answers if a is not WRITTEN],
        FEEDBACK: [f for e in episodes() for f in e.feedbacks],
    }
    for role, of in texts.items():
        ratios = [logp(runtime, agents[role], t) - logp(runtime, base, t) for t in of]
        assert found[f"kl_{role}"] == pytest.approx(np.concatenate(ratios).mean(), abs=ATOL)
        low, high = found["intervals"][f"kl_{role}"]
        assert min(r.mean() for r in ratios) - ATOL <= low < found[f"kl_{role}"] < high
    assert abs(found["kl_conversation"]) > 100 * ATOL


def test_who_did_not_change_or_said_nothing():
    runtime = tiny_runtime()
    base = sharded_params(runtime.cfg, runtime.mesh)
    silent = [Episode(PROMPT, e.answers) for e in episodes()]
    found = drift(config(), runtime, {CONVERSATION: base, FEEDBACK: base}, base, silent)
    assert found == {"kl_conversation": 0, "intervals": {"kl_conversation": [0, 0]}}
