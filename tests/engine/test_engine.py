"""Generation against the full forward pass, whatever else is in the batch."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import numpy_truth
from support import mesh_of, sharded_params, slow, tiny_chat, tiny_config, tiny_runtime

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Request, Sampling
from waltzjax.model.transformer import hidden_states, unembedding
from waltzjax.stages.rollout import Agents

LOGP_ATOL = 2e-5  # float32, two orders of summation
COMPILED = "compile/backend_compile_duration"  # an event that jax tells of
BF16_ATOL = 0.2  # logits up to 8 in bfloat16, 1/32 apart, after a few layers of such roundings
CFG = tiny_config()
LONGEST = 256  # tokens of a prompt and its answer here
SHARED = tuple(range(10, 80))  # two pages of 32 and a part of one
PROMPTS = [
    (5, 6, 7), (8, 9, 10, 11, 12, 13, 14), (20,), (5, 6, 7), SHARED, (*SHARED, 5, 9), SHARED,
    (*SHARED[:40], 3), tuple(range(100, 164)), tuple(range(100, 165)),
]  # fmt: skip
SETTINGS = [
    Sampling(12, temperature=0.0), Sampling(12), Sampling(30, 0.6), Sampling(5, 1.5, top_k=7),
    Sampling(12, 1.0, 9, 0.8), Sampling(17, 1.3, min_p=0.2), Sampling(40, 0.9, 0, 0.7, 0.05),
    Sampling(1), Sampling(33, 1.0, 1), Sampling(12, 2.0, 50, 0.95),
]  # fmt: skip


def make_engine(cfg=CFG, shape=(1, 1, 1), **changes):
    given = {"max_num_seqs": 4, "cache_tokens": 2048, "decode": text_of} | changes
    return Engine(cfg, mesh_of(*shape), (399,), **given)


def text_of(ids):
    """A letter a token; some tokens are two."""
    return "".join(chr(97 + i % 26) * (1 + (i % 5 == 0)) for i in ids)


@pytest.fixture(scope="module")
def engine():
    return make_engine()


@pytest.fixture(scope="module")
def params():
    return sharded_params(CFG, mesh_of(1, 1, 1))


@pytest.fixture(scope="module")
def mixed(engine, params):
    """Every prompt with every other setting, all in one session of few slots."""
    return run(engine, {"model": params}, mixture())


def mixture():
    pairs = [(p, s) for i, p in enumerate(PROMPTS) for s in SETTINGS[i % 2 :: 2]]
    return [Request(n, "model", p, s, 1000 + n) for n, (p, s) in enumerate(pairs)]


def run(engine, models, requests):
    with engine.session(models) as session:
        for request in requests:
            session.submit(request)
        return dict(session.finished())


@partial(jax.jit, static_argnums=0)
def padded_logits(cfg, params, token_BT, length_B):
    hidden = hidden_states(cfg, params, token_BT, length_B)
    return (hidden[0] @ unembedding(params).astype(hidden.dtype).T).astype(jnp.float32)


def full_logits(params, ids, cfg=CFG):
    token_BT = np.zeros((1, LONGEST), np.int32)
    token_BT[0, : len(ids)] = ids
    logits_TV = padded_logits(cfg, params, token_BT, np.asarray([len(ids)]))
    return np.asarray(logits_TV, np.float64)[: len(ids)]


def test_greedy_is_the_argmax_of_the_full_forward(params, mixed):
    for request in mixture():
        if request.sampling.temperature == 0:
            got = mixed[request.id]
            logits = full_logits(params, [*request.prompt, *got.token_ids])
            want = logits[len(request.prompt) - 1 : -1].argmax(-1)
            assert want.tolist() == list(got.token_ids)


def test_logprobs_are_those_of_the_distribution_drawn_from(params, mixed):
    for request in mixture():
        got, s = mixed[request.id], request.sampling
        logits = full_logits(params, [*request.prompt, *got.token_ids])
        truth = numpy_truth.token_log_probs(
            logits[len(request.prompt) - 1 : -1], np.asarray(got.token_ids), s.temperature or 1.0,
            s.top_k if s.temperature else 0, s.top_p if s.temperature else 1.0,
            s.min_p if s.temperature else 0.0,
        )  # fmt: skip
        np.testing.assert_allclose(got.logprobs, truth, rtol=0, atol=LOGP_ATOL)


def test_reach_finds_the_truncated_distribution_again(params, mixed):
    """Tokens no further than ``cutoff_gap`` below the drawn one are those that were kept."""
    truncated = 0
    for request in mixture():
        got, s = mixed[request.id], request.sampling
        logits = full_logits(params, [*request.prompt, *got.token_ids])[len(request.prompt) - 1 :]
        for logits_V, token, gap in zip(logits[:-1], got.token_ids, got.cutoff_gap, strict=True):
            kept_V = logits_V / (s.temperature or 1) >= logits_V[token] / (s.temperature or 1) - gap
            want_V = np.ones(len(logits_V), bool)
            if s.temperature:
                want_V = numpy_truth.kept_tokens(logits_V, s.temperature, s.top_k, s.top_p, s.min_p)
            assert kept_V.tolist() == want_V.tolist()
            truncated += not want_V.all()
    assert truncated > 200


def test_same_request_and_seed_give_the_same_tokens_alone(engine, params, mixed):
    for request in mixture()[::5]:
        alone = run(engine, {"model": params}, [request])[request.id]
        assert alone.token_ids == mixed[request.id].token_ids


def test_same_tokens_in_any_order_and_any_number_of_slots(params, mixed):
    other = make_engine(max_num_seqs=7, steps=5, page_size=8)
    again = run(other, {"model": params}, mixture()[::-1])
    assert {i: t.token_ids for i, t in again.items()} == {i: t.token_ids for i, t in mixed.items()}


@pytest.mark.parametrize("shape", [(2, 2, 2), slow((1, 8, 1)), slow((1, 1, 8))])
def test_eight_devices_give_the_tokens_of_one(shape, mixed):
    eight = make_engine(shape=shape, max_num_seqs=8, cache_tokens=8 * 256)
    some = mixture()[::7]
    got = run(eight, {"model": sharded_params(CFG, mesh_of(*shape))}, some)
    for request in some:
        assert got[request.id].token_ids == mixed[request.id].token_ids
        np.testing.assert_allclose(
            got[request.id].logprobs, mixed[request.id].logprobs, rtol=0, atol=LOGP_ATOL
        )


def test_when_pages_run_out_rows_wait_and_lose_nothing(params, mixed):
    """Eight pages for four rows: texts of three pages are sent back in the middle and go on."""
    engine = make_engine(cache_tokens=8 * 32)
    long = [Request(("long", i), "model", (5, 6), Sampling(70 + i), i) for i in range(9)]
    want = run(make_engine(max_num_seqs=9), {"model": params}, long)
    with engine.session({"model": params}) as session:
        for request in long:
            session.submit(request)
        got = dict(session.finished())
        assert session.stats().preempted > 0
    assert {i: t.token_ids for i, t in got.items()} == {i: t.token_ids for i, t in want.items()}
    again = run(engine, {"model": params}, mixture())
    assert {i: t.token_ids for i, t in again.items()} == {i: t.token_ids for i, t in mixed.items()}


def test_bfloat16_logprobs_are_those_of_its_own_tokens():
    """In half precision a batch's shape may change a token; each has its own log-probability."""
    cfg = tiny_config(dtype=jnp.bfloat16)
    params = sharded_params(cfg, mesh_of(1, 1, 1))
    engine, some = make_engine(cfg), mixture()[1::7]
    together = run(engine, {"model": params}, some)
    for request in some:
        got, s = together[request.id], request.sampling
        if s.top_k or s.top_p < 1 or s.min_p:
            continue  # at an edge a rounding changes the set
        logits = full_logits(params, [*request.prompt, *got.token_ids], cfg)
        truth = numpy_truth.token_log_probs(
            logits[len(request.prompt) - 1 : -1], np.asarray(got.token_ids), s.temperature or 1.0
        )
        np.testing.assert_allclose(got.logprobs, truth, rtol=0, atol=BF16_ATOL)


@pytest.mark.parametrize("setting", [Sampling(1), Sampling(1, 0.7, 12, 0.9, 0.02)])
def test_sampled_frequencies_follow_the_distribution(engine, params, setting):
    """Chi-squared over one token of 4,000 requests, classes of at least 20 expected."""
    n, prompt = 4000, SHARED[:35]
    requests = [Request(i, "model", prompt, setting, i) for i in range(n)]
    got = run(engine, {"model": params}, requests)
    logits = full_logits(params, prompt)[-1]
    _, t, k, top_p, min_p, *_ = setting
    kept = numpy_truth.kept_tokens(logits, t, k, top_p, min_p)
    p = np.where(kept, np.exp((logits - logits.max()) / t), 0)
    p /= p.sum()
    counts = np.bincount([g.token_ids[0] for g in got.values()], minlength=len(p))
    assert not counts[~kept].any()
    big = p * n >= 20
    observed, expected = counts[big], p[big] * n
    if not big[kept].all():
        observed = np.append(observed, counts[~big].sum())
        expected = np.append(expected, p[~big].sum() * n)
    statistic = ((observed - expected) ** 2 / expected).sum()
    degrees = len(expected) - 1
    assert statistic < degrees + 4 * np.sqrt(2 * degrees)  # four standard deviations
    swapped = ((np.roll(observed, 1) - expected) ** 2 / expected).sum()
    assert swapped > degrees + 4 * np.sqrt(2 * degrees)  # the test can fail


def test_stop_token_is_kept_with_its_logprob_and_ends_the_request(engine, params):
    whole = run(engine, {"model": params}, [Request(0, "model", (9, 8), Sampling(12), 3)])[0]
    stop = whole.token_ids[4]
    cut = whole.token_ids.index(stop) + 1
    sampling = Sampling(12, stop_ids=(7, stop), logprobs=True)
    again = run(engine, {"model": params}, [Request(0, "model", (9, 8), sampling, 3)])[0]
    assert again.token_ids == whole.token_ids[:cut]
    assert again.finish_reason == "stop" and len(again.logprobs) == cut
    assert whole.finish_reason == "length" and len(whole.token_ids) == 12


def test_a_stop_string_ends_where_it_is_whole_whatever_its_tokens(engine, params):
    """Texts are a letter or two a token, so a string begins and ends within tokens."""
    whole = run(engine, {"model": params}, [Request(0, "model", (9, 8), Sampling(40), 3)])[0]
    text = text_of(whole.token_ids)
    for start in (0, 7, 20, 33):
        string = text[start : start + 3]
        sampling = Sampling(40, stop_strings=("never", string))
        got = run(engine, {"model": params}, [Request(0, "model", (9, 8), sampling, 3)])[0]
        n = len(got.token_ids)
        assert got.token_ids == whole.token_ids[:n] and got.finish_reason == "stop"
        assert string in text_of(got.token_ids) and string not in text_of(got.token_ids[:-1])
        assert len(got.logprobs) == len(got.cutoff_gap) == n


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1)])
def test_no_mixture_of_settings_compiles_anything(shape, monkeypatch):
    """Batches of every width, of two models, on one device and two."""
    engine, mesh = make_engine(max_num_seqs=16, shape=shape), mesh_of(*shape)
    models = {name: sharded_params(CFG, mesh, i) for i, name in enumerate(("model", "other"))}
    others = [dataclasses.replace(r, id=("other", r.id), model="other") for r in mixture()[::9]]
    engine.warm_up(models)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event.endswith(COMPILED) else None
    )
    widths, plain = set(), engine.row_arrays

    def seen(rows, width, stop_ids):
        widths.add(width)
        return plain(rows, width, stop_ids)

    monkeypatch.setattr(engine, "row_arrays", seen)
    run(engine, models, [*mixture(), *others])
    assert compiled == [] and widths == {*engine.decode_widths} and len(widths) > 1
    jax.jit(lambda x: x + 3)(np.zeros(3))  # such an event is seen
    assert len(compiled) == 1


def test_texts_in_common_are_computed_once(engine, params):
    """Eight samples of one text: two pages are shared and the third is copied."""
    requests = [Request(i, "model", SHARED, Sampling(3), i) for i in range(8)]
    with engine.session({"model": params}) as session:
        for request in requests:
            session.submit(request)
        found = dict(session.finished())
        stats = session.stats()
    assert stats.cached_tokens == len(SHARED) - 1
    assert stats.shared_tokens == 7 * (len(SHARED) - 1)
    assert len({t.token_ids for t in found.values()}) > 4


def test_two_models_are_served_side_by_side(engine, params):
    other = sharded_params(CFG, mesh_of(1, 1, 1), 1)
    models = {"a": params, "b": other}
    requests = [
        Request((n, m), m, SHARED, Sampling(length), n)
        for n, length in enumerate((40, 2, 2, 2, 2, 40)) for m in models
    ]  # fmt: skip
    with engine.session(models) as session:
        for request in requests:
            session.submit(request)
        order = list(session.finished())
    for request in requests:
        alone = engine.generate(
            models[request.model], [request.prompt], request.sampling, [request.seed]
        )
        assert dict(order)[request.id].token_ids == alone[0].token_ids
    short = [index for index, (i, _) in enumerate(order) if i[0] in (1, 2, 3, 4)]
    assert max(short) < len(order) - 2  # none waits for the longest of either model


def test_what_cannot_be_served_is_an_error_of_that_request_alone(engine, params):
    good = Request("good", "model", (5, 6), Sampling(4), 0)
    bad = {
        "prompt tokens: got 0": Request(1, "model", (), Sampling(4), 0),
        "256 positions less 12": Request(2, "model", (1,) * 250, Sampling(12), 0),
        "temperature: got -1": Request(3, "model", (1,), Sampling(4, -1.0), 0),
        "temperature: got nan": Request(4, "model", (1,), Sampling(4, float("nan")), 0),
        "top_p: got 0.0": Request(5, "model", (1,), Sampling(4, top_p=0.0), 0),
        "top_k: got -1": Request(6, "model", (1,), Sampling(4, top_k=-1), 0),
        "min_p: got 1.5": Request(7, "model", (1,), Sampling(4, min_p=1.5), 0),
        "max_new_tokens: got 0": Request(8, "model", (1,), Sampling(0), 0),
        "max_new_tokens: got 2.5": Request(14, "model", (1,), Sampling(2.5), 0),
        "1 to 255: there are 256": Request(15, "model", (1,), Sampling(2**40), 0),
        "temperature: got '1'": Request(16, "model", (1,), Sampling(4, "1"), 0),
        "top_k: got 1099511627776": Request(17, "model", (1,), Sampling(4, top_k=2**40), 0),
        "top_k: got True": Request(18, "model", (1,), Sampling(4, top_k=True), 0),
        "top_p: got None": Request(19, "model", (1,), Sampling(4, top_p=None), 0),
        "stop_ids: got 5": Request(20, "model", (1,), Sampling(4, stop_ids=5), 0),
        "stop_strings: got 'END'": Request(21, "model", (1,), Sampling(4, stop_strings="END"), 0),
        "prompt: got 'text'": Request(22, "model", "text", Sampling(4), 0),
        "prompt: got None": Request(23, "model", None, Sampling(4), 0),
        "token ids: got [-1]": Request(24, "model", (1,), Sampling(4, stop_ids=(3, -1)), 0),
        "temperature: got 1e-38": Request(25, "model", (1,), Sampling(4, 1e-38), 0),
        "stop_ids: got 17": Request(9, "model", (1,), Sampling(4, stop_ids=(1,) * 17), 0),
        "model: got other": Request(10, "other", (1,), Sampling(4), 0),
        "seed: got -1": Request(11, "model", (1,), Sampling(4), -1),
        "no empty one": Request(12, "model", (1,), Sampling(4, stop_strings=("",)), 0),
        "token ids: got [400]": Request(13, "model", (1, 400), Sampling(4), 0),
    }
    as_array = Request("array", "model", np.array([5, 6]), Sampling(4), np.uint32(0))
    found = run(engine, {"model": params}, [*bad.values(), good, as_array])
    assert found["array"] == found["good"]
    assert found["good"].finish_reason == "length" and len(found["good"].token_ids) == 4
    for message, request in bad.items():
        assert found[request.id].finish_reason == "error"
        assert message in found[request.id].error
    given = Sampling(4, stop_ids=np.array([7, 8]), stop_strings=np.array(["never", "ever"]))
    for sampling in (given, Sampling(4, stop_ids=(7, 8))):
        [got] = run(engine, {"model": params}, [Request(0, "model", (5, 6), sampling, 0)]).values()
        assert got == found["good"]
    mute = make_engine(decode=None)
    request = Request(0, "model", (1,), Sampling(4, stop_strings=("x",)), 0)
    assert "no tokenizer" in run(mute, {"model": params}, [request])[0].error
    with pytest.raises(ValueError, match="prompt 1: prompt tokens"):
        engine.generate({}, [(1,), ()], Sampling(4), [0, 0])  # before anything is done


def test_tokens_that_cannot_be_decoded_end_that_request_alone(params):
    def decode(ids):
        if 77 in ids:
            raise IndexError("piece id out of range")
        return text_of(ids)

    requests = [Request(i, "model", (5, 6), Sampling(40, stop_strings=("#",)), i) for i in range(9)]
    found = run(make_engine(decode=decode), {"model": params}, requests)
    drawn = run(make_engine(), {"model": params}, requests)
    failed = [i for i in found if 77 in drawn[i].token_ids]
    assert 0 < len(failed) < len(found)
    for number, got in found.items():
        if number in failed:
            assert got.finish_reason == "error" and "piece id out of range" in got.error
        else:
            assert got == drawn[number]


def test_logits_that_are_not_finite_end_that_request_alone(engine, params):
    """Token 77's embedding is not a number: who reads it fails, who gets its pages does not."""
    spoilt = {**params, "embed": params["embed"].at[77].set(jnp.nan)}
    spoilt["unembed"] = params["embed"]
    good = mixture()[1::6]
    bad = [
        Request(f"bad {i}", "model", (3, 77, *range(9, 9 + i)), Sampling(8), i) for i in range(9)
    ]
    order = [r for pair in zip(good, bad, strict=False) for r in pair]
    free = [r for r in order if r in bad or 77 not in r.prompt]
    cfg_free = make_engine(cache_tokens=10 * 32)
    found = run(cfg_free, {"model": spoilt}, free)
    for request in free:
        got = found[request.id]
        if request in bad:
            assert got.finish_reason == "error" and "not finite" in got.error
        elif 77 not in got.token_ids:
            alone = run(engine, {"model": {**params, "unembed": params["embed"]}}, [request])
            assert got.token_ids == alone[request.id].token_ids


def test_events_are_the_result_in_parts(engine, params):
    with engine.session({"model": params}) as session:
        session.submit(Request("x", "model", (5, 6), Sampling(40), 1))
        events = list(session.stream())
    assert len(events) >= 3 and [e.result is None for e in events[:-1]] == [True] * (
        len(events) - 1
    )
    assert sum((e.token_ids for e in events), ()) == events[-1].result.token_ids
    assert len(events[-1].result.token_ids) == 40


def test_requests_may_come_and_go_while_results_are_read(engine, params):
    with engine.session({"model": params}) as session:
        session.submit(Request(0, "model", (5, 6), Sampling(4), 1))
        session.submit(Request(9, "model", (5, 6), Sampling(200), 1))
        seen = []
        for number, _ in session.finished():
            seen.append(number)
            if number < 3:
                session.submit(Request(number + 1, "model", (5, 6), Sampling(4), 1))
            else:
                session.cancel(9)
        assert seen == [0, 1, 2, 3]
        session.submit(Request(0, "model", (5, 6), Sampling(4), 1))  # a finished one's id is free
        with pytest.raises(ValueError, match="under way"):
            session.submit(Request(0, "model", (5, 6), Sampling(4), 1))
        assert [number for number, _ in session.finished()] == [0]
        stats = session.stats()
    assert stats.active == stats.waiting == 0 and 0 < stats.occupancy <= 1


def test_a_spoilt_row_that_never_spoke_spoils_nobody(params):
    """Its prompt is cached, then its pages go to another model's row: it is never decoded."""
    clean = {**params, "unembed": params["embed"]}
    spoilt = {**clean, "embed": params["embed"].at[77].set(jnp.nan)}
    engine = make_engine(max_num_seqs=3, cache_tokens=5 * 32)
    long = Request("long", "a", (5, 6, 7), Sampling(150, stop_ids=()), 1)
    alone = run(engine, {"a": clean}, [long])["long"]
    with engine.session({"a": clean, "b": spoilt}) as session:
        session.submit(long)
        session.submit(Request("spoilt", "b", (77, *range(100, 179)), Sampling(4), 1))
        news = session.stream()
        assert next(news).id == "long"
        session.cancel("spoilt")
        [found] = [event.result for event in news if event.result]
    assert found.token_ids == alone.token_ids and found.finish_reason == "length"


def test_few_requests_of_one_model_are_not_kept_waiting_by_many_of_another(engine, params):
    """Three slots of four belong to a model whose queue never ends."""
    many = [Request(i, "a", (5, 6), Sampling(16), i) for i in range(40)]
    with engine.session({"a": params, "b": params}) as session:
        for request in (*many[:3], Request("one", "b", (5, 6), Sampling(8), 0), *many[3:]):
            session.submit(request)
        order = [number for number, _ in session.finished()]
    assert order.index("one") < 12


def test_one_request_beside_a_full_batch_of_another_model_is_not_its_last(params):
    """Two draws of 16 tokens against fourteen."""
    engine = make_engine(max_num_seqs=16, cache_tokens=8192)
    with engine.session({"a": params, "b": params}) as session:
        for i in range(15):
            session.submit(Request(i, "a", (5, 6), Sampling(210 + i, stop_ids=()), i))
        session.submit(Request("one", "b", (5, 6), Sampling(20, stop_ids=()), 0))
        order = [number for number, _ in session.finished()]
    assert order[0] == "one"


def test_few_rows_of_many_slots_compute_no_more_than_they_draw(params):
    engine = make_engine(max_num_seqs=64)
    with engine.session({"model": params}) as session:
        session.submit(Request(0, "model", (5, 6), Sampling(1), 0))
        assert len(dict(session.finished())) == 1
        assert session.stats().occupancy == 1 / 4  # of the narrowest batch


def test_the_device_goes_on_while_results_are_read(engine, params):
    """Where others wait, and where none has ended."""
    for lengths, on_its_way in (([4] * 8, True), ([60] * 4, True), ([4, 60, 60, 60], False)):
        with engine.session({"model": params}) as session:
            for i, length in enumerate(lengths):
                session.submit(Request(i, "model", (5, 6), Sampling(length, stop_ids=()), i))
            next(session.stream())
            assert (session._inflight is not None) == on_its_way


def test_reading_may_stop_and_go_on_later(engine, params):
    """While a batch is on its way, of whose requests some are cancelled."""
    requests = [Request(i, "model", (5, 6), Sampling(4 + i % 3), i) for i in range(24)]
    alone = run(engine, {"model": params}, requests)
    with engine.session({"model": params}) as session:
        for request in requests:
            session.submit(request)
        found, dropped = {}, {20, 21}
        for number, result in session.finished():
            if not found:
                for other in dropped:  # they are waiting, another is being drawn for
                    session.cancel(other)
            found[number] = result
            if number == 3:
                break  # and go on reading later
        found |= dict(session.finished())
    assert found == {i: r for i, r in alone.items() if i not in dropped}


def test_log_probabilities_are_returned_where_wanted(engine, params):
    request = Request(0, "model", (5, 6), Sampling(4, top_k=5, logprobs=False), 1)
    [got] = run(engine, {"model": params}, [request]).values()
    assert len(got.token_ids) == 4 and got.logprobs == got.cutoff_gap == ()


def test_stop_strings_of_a_byte_level_tokenizer():
    """Texts of several bytes a letter, of which a token may be a part; spaces stay as they are."""
    tokenizer = tiny_chat().tokenizer
    cfg = tiny_config(vocab_size=len(tokenizer))
    params = sharded_params(cfg, mesh_of(1, 1, 1))
    decode = partial(tokenizer.decode, clean_up_tokenization_spaces=False)
    engine = make_engine(cfg, decode=decode)
    whole = run(engine, {"model": params}, [Request(0, "model", (9, 8), Sampling(60), 3)])[0]
    for n in (20, 45, 60):
        string = decode(whole.token_ids[:n])[-4:]
        if "\ufffd" in string:  # half of a letter
            continue
        sampling = Sampling(60, stop_strings=(string,))
        got = run(engine, {"model": params}, [Request(0, "model", (9, 8), sampling, 3)])[0]
        assert got.token_ids == whole.token_ids[: len(got.token_ids)]
        assert len(got.token_ids) <= n and string in decode(got.token_ids)
        assert string not in decode(got.token_ids[:-1])


@pytest.mark.parametrize(
    "wrong", [{"max_num_seqs": 0}, {"steps": 0}, {"steps": 33}, {"page_size": 8}], ids=str
)
def test_an_engine_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValueError, match="max_num_seqs, steps and stop_ids: got"):
        make_engine(**wrong)


def test_a_cache_of_no_page_is_refused():
    with pytest.raises(ValueError, match="cache_tokens: got 16, allowed is >= 64"):
        make_engine(shape=(2, 1, 1), cache_tokens=16)


def test_no_prompts_no_work(engine, params):
    assert engine.generate(params, [], Sampling(4), []) == []


def test_agents_speak_with_their_own_parameters():
    runtime = tiny_runtime()
    params = {
        r: sharded_params(CFG, runtime.mesh, i) for i, r in enumerate(("conversation", "feedback"))
    }
    room = CFG.max_positions - 8
    with runtime.engine.session(params) as session:
        agents = Agents(runtime.chat, session, Sampling(8, 0.0), seed=0, step=0)
        for i, role in enumerate(params):
            agents.ask(role, 0, i, (5, 6))
        agents.ask("feedback", 0, 2, (5,) * room)
        agents.ask("feedback", 0, 3, (5,) * (room + 1))
        said = dict(agents.replies())
    for i, role in enumerate(params):
        direct = runtime.engine.generate(params[role], [(5, 6)], Sampling(8, 0.0), [0])[0]
        assert said[i].token_ids == direct.token_ids
    assert said[0].token_ids != said[1].token_ids
    assert said[2] is not None and said[3] is None


def test_agents_whose_weights_are_spoilt_say_so():
    runtime = tiny_runtime()
    params = sharded_params(CFG, runtime.mesh)
    spoilt = {**params, "embed": params["embed"] * jnp.nan}
    with runtime.engine.session({"conversation": spoilt}) as session:
        agents = Agents(runtime.chat, session, Sampling(8), seed=0, step=0)
        agents.ask("conversation", 0, 0, (5, 6))
        with pytest.raises(FloatingPointError, match="not finite"):
            list(agents.replies())
