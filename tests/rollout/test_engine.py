"""Generation against the full forward pass, and independence of the batch."""

import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth
from support import mesh_of, sharded_params, tiny_config, tiny_runtime

from waltzjax.model.transformer import hidden_states, unembedding
from waltzjax.rollout.engine import Engine
from waltzjax.rollout.requests import Sampling

LOGP_ATOL = 2e-5  # float32, two orders of summation
CFG = tiny_config()
PROMPTS = [(5, 6, 7), (8, 9, 10, 11, 12, 13, 14), (20,), (5, 6, 7)]
SEEDS = [1, 2, 3, 4]


@pytest.fixture(scope="module")
def engine():
    return Engine(CFG, mesh_of(1, 1, 1), stop_ids=(3,), length_multiple=8)


@pytest.fixture(scope="module")
def params():
    return sharded_params(CFG, mesh_of(1, 1, 1))


def full_logits(params, ids):
    token_BT = jnp.asarray([ids], jnp.int32)
    hidden = hidden_states(CFG, params, token_BT, jnp.asarray([len(ids)]))
    return np.asarray(hidden[0] @ unembedding(params).T, np.float64)


def test_greedy_is_the_argmax_of_the_full_forward(engine, params):
    for prompt, got in zip(
        PROMPTS, engine.generate(params, PROMPTS, Sampling(12, 0.0), SEEDS), strict=True
    ):
        logits = full_logits(params, [*prompt, *got.token_ids])[len(prompt) - 1 : -1]
        assert logits.argmax(-1).tolist() == list(got.token_ids)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.6, 0, 1.0), (1.5, 7, 1.0), (1.0, 9, 0.8)]
)
def test_logprobs_are_those_of_the_distribution_sampled_from(
    engine, params, temperature, top_k, top_p
):
    sampling = Sampling(12, temperature, top_k, top_p)
    for prompt, got in zip(PROMPTS, engine.generate(params, PROMPTS, sampling, SEEDS), strict=True):
        ids = [*prompt, *got.token_ids]
        logits = full_logits(params, ids)[len(prompt) - 1 : -1]
        truth = numpy_truth.token_log_probs(
            logits, np.asarray(got.token_ids), temperature, top_k, top_p
        )
        np.testing.assert_allclose(got.logprobs, truth, atol=LOGP_ATOL)


def test_same_request_and_seed_give_the_same_tokens_in_any_batch(engine, params):
    together = engine.generate(params, PROMPTS, Sampling(12), SEEDS)
    for i, prompt in enumerate(PROMPTS):
        alone = engine.generate(params, [prompt], Sampling(12), [SEEDS[i]], rows=4)[0]
        assert alone.token_ids == together[i].token_ids
    assert together[0].token_ids != together[3].token_ids  # same prompt, another seed


def test_sampled_frequencies_follow_the_distribution(engine, params):
    """Chi-squared over one token of 4,000 requests, classes of at least 20 expected."""
    n = 4000
    got = engine.generate(params, [(5, 6, 7)] * n, Sampling(1), list(range(n)))
    logits = full_logits(params, (5, 6, 7))[-1]
    p = np.exp(logits - logits.max())
    p /= p.sum()
    counts = np.bincount([g.token_ids[0] for g in got], minlength=len(p))
    big = p * n >= 20
    observed = np.append(counts[big], counts[~big].sum())
    expected = np.append(p[big], p[~big].sum()) * n
    statistic = ((observed - expected) ** 2 / expected).sum()
    degrees = len(expected) - 1
    assert statistic < degrees + 4 * np.sqrt(2 * degrees)  # four standard deviations
    swapped = ((np.roll(observed, 1) - expected) ** 2 / expected).sum()
    assert swapped > degrees + 4 * np.sqrt(2 * degrees)  # the test can fail


def test_stop_token_is_kept_with_its_logprob_and_ends_the_request(params):
    first = Engine(CFG, mesh_of(1, 1, 1), (399,), 8).generate(params, PROMPTS, Sampling(12), SEEDS)
    stop = first[1].token_ids[4]
    again = Engine(CFG, mesh_of(1, 1, 1), (stop,), 8).generate(
        params, PROMPTS, Sampling(12), SEEDS
    )[1]
    cut = first[1].token_ids.index(stop) + 1
    assert again.token_ids == first[1].token_ids[:cut]
    assert again.finish_reason == "stop" and len(again.logprobs) == cut
    assert first[1].finish_reason == "length" and len(first[1].token_ids) == 12


def test_eight_devices_give_the_tokens_of_one(engine, params):
    mesh = mesh_of(2, 2, 2)
    eight = Engine(CFG, mesh, (3,), 8).generate(
        sharded_params(CFG, mesh), PROMPTS, Sampling(4), SEEDS
    )
    one = engine.generate(params, PROMPTS, Sampling(4), SEEDS)
    assert [e.token_ids for e in eight] == [o.token_ids for o in one]
    np.testing.assert_allclose(
        np.concatenate([e.logprobs for e in eight]),
        np.concatenate([o.logprobs for o in one]), atol=LOGP_ATOL,
    )  # fmt: skip


def test_other_sampling_settings_compile_nothing(params):
    engine = Engine(CFG, mesh_of(1, 1, 1), (3,), 8)
    engine.generate(params, PROMPTS, Sampling(6, 1.0), SEEDS)
    for sampling in (Sampling(6, 0.0), Sampling(6, 0.3, 5), Sampling(6, 2.0, 0, 0.5)):
        engine.generate(params, PROMPTS[:3], sampling, SEEDS, rows=4)
    assert engine._generate._cache_size() == 1


@pytest.mark.parametrize(
    ("prompts", "sampling", "message"),
    [
        ([()], Sampling(4), "prompt tokens"),
        ([(1,) * 250], Sampling(12), "256 positions less 12"),
        ([(1,)], Sampling(4, -1.0), "temperature >= 0"),
        ([(1,)], Sampling(4, 1.0, 0, 0.0), "top_p"),
    ],
)
def test_impossible_requests_are_refused(engine, params, prompts, sampling, message):
    with pytest.raises(ValueError, match=message):
        engine.generate(params, prompts, sampling, [0] * len(prompts))


def test_no_prompts_no_work(engine):
    assert engine.generate(None, [], Sampling(4), []) == []


def test_runtime_speaks_with_each_roles_own_parameters():
    from waltzjax.runtime import make_speak

    runtime = tiny_runtime()
    params = {
        r: sharded_params(CFG, runtime.mesh, i) for i, r in enumerate(("conversation", "feedback"))
    }
    speak = make_speak(runtime, params, Sampling(8, 0.0), seed=0, step=0, rows=2)
    said = {role: speak(role, 0, [(5, 6)], [0])[0] for role in params}
    for role, completion in said.items():
        direct = runtime.engine.generate(params[role], [(5, 6)], Sampling(8, 0.0), [0])[0]
        assert completion.token_ids == direct.token_ids
    assert said["conversation"].token_ids != said["feedback"].token_ids
    room = CFG.max_positions - 8
    fits, too_long = speak("feedback", 0, [(5,) * room, (5,) * (room + 1)], [0, 1])
    assert fits is not None and too_long is None
