"""Guesses at what comes next change how many tokens are drawn together, and nothing else."""

import pytest
from support import mesh_of, sharded_params, tiny_config

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Request, Sampling
from waltzjax.engine.shape import GUESSES

CFG = tiny_config()
STOP = 399
PROMPTS = [(5, 6, 7), (20,), tuple(range(10, 41)), tuple(range(10, 43)), (8, 9, 10, 11)]
SETTINGS = [
    Sampling(40, 0.0, stop_ids=()), Sampling(33, 1.0, stop_ids=()), Sampling(21, 0.7, 9, 0.8),
]  # fmt: skip


@pytest.fixture(scope="module")
def params():
    return sharded_params(CFG, mesh_of(1, 1, 1))


@pytest.fixture(scope="module")
def engine():
    return make_engine(4)


def make_engine(slots):
    """Pages of 8: rows cross their borders in the midst of their guesses."""
    return Engine(
        CFG, mesh_of(1, 1, 1), (STOP,), max_num_seqs=slots, cache_tokens=2048, page_size=8, steps=8
    )


def run(engine, params, requests):
    with engine.session({"model": params}) as session:
        for request in requests:
            session.submit(request)
        results = dict(session.finished())
        return results, session.stats()


def requests(guess_of=lambda request: None, **changes):
    plain = [
        Request(n, "model", prompt, how._replace(**changes), n)
        for n, (prompt, how) in enumerate((p, s) for p in PROMPTS for s in SETTINGS)
    ]
    return [
        Request(r.id, r.model, r.prompt, r.sampling, r.seed, guess_of(r)) for r in plain
    ]  # fmt: skip


@pytest.fixture(scope="module")
def truth(engine, params):
    return run(engine, params, requests())[0]


def right(tokens):
    """Guesses that come true."""
    return lambda drawn, count: tokens[len(drawn) : len(drawn) + count]


def spoiled(tokens, every):
    """Guesses of which every so-manieth token is wrong."""
    wrong = tuple(t if (i + 1) % every else (t + 1) % CFG.vocab_size for i, t in enumerate(tokens))
    return right(wrong)


def same(got, truth):
    for number, tokens in truth.items():
        assert got[number].token_ids == tokens.token_ids
        assert got[number].finish_reason == tokens.finish_reason
        assert got[number].logprobs == pytest.approx(tokens.logprobs, abs=2e-5)
        assert got[number].cutoff_gap == pytest.approx(tokens.cutoff_gap, abs=2e-5)


@pytest.mark.parametrize("slots", [1, 4, 9])
@pytest.mark.parametrize("every", [1, 2, 5, 1000])
def test_tokens_are_those_without_guesses(engine, params, truth, slots, every):
    """All wrong, some wrong, none wrong; greedy and sampled rows, in batches of several widths."""
    other = engine if slots == 4 else make_engine(slots)
    asked = requests(lambda r: spoiled(truth[r.id].token_ids, every))
    same(run(other, params, asked)[0], truth)


def test_right_guesses_are_drawn_together(engine, params, truth):
    """A verified row gets all its guesses and one more."""
    request = requests(lambda r: right(truth[r.id].token_ids))[0]
    dispatched = []
    with engine.session({"model": params}) as session:
        session.submit(request)
        while session.dispatch(1):
            dispatched += [event.token_ids for event in session.collect()]
    assert [len(tokens) for tokens in dispatched] == [GUESSES + 1] * (40 // (GUESSES + 1))


def test_rows_with_and_without_guesses_go_together(engine, params, truth):
    asked = requests(lambda r: right(truth[r.id].token_ids) if r.id % 2 else None)
    same(run(engine, params, asked)[0], truth)


@pytest.mark.parametrize("place", [0, 3, 7, 8, 20])
def test_a_stop_token_among_guesses_ends_the_request_there(engine, params, truth, place):
    """What was guessed behind it comes to nothing."""
    tokens = truth[0].token_ids
    stop = tokens[place]
    want = tokens[: tokens.index(stop) + 1]
    for guess in (None, right(tokens), spoiled(tokens, place + 1)):
        request = Request(0, "model", PROMPTS[0], SETTINGS[0]._replace(stop_ids=(stop,)), 0, guess)
        got = run(engine, params, [request])[0][0]
        assert got.token_ids == want and got.finish_reason == "stop"


@pytest.mark.parametrize("new", [1, 2, 8, 9])
def test_no_more_tokens_come_than_were_asked_for(engine, params, truth, new):
    asked = requests(lambda r: right(truth[r.id].token_ids), max_new_tokens=new)
    for number, got in run(engine, params, asked)[0].items():
        assert got.token_ids == truth[number].token_ids[:new]


def test_a_text_may_fill_the_model_to_its_last_position(params):
    engine = Engine(
        CFG, mesh_of(1, 1, 1), (), max_num_seqs=4, cache_tokens=256, page_size=8, steps=8
    )
    how = Sampling(250, 0.0)
    plain = run(engine, params, [Request(0, "model", (5, 6, 7, 8, 9, 10), how, 0)])[0][0]
    guess = spoiled(plain.token_ids, 6)
    asked = [Request(0, "model", (5, 6, 7, 8, 9, 10), how, 0, guess)]
    assert run(engine, params, asked)[0][0].token_ids == plain.token_ids


def test_logits_that_are_not_finite_end_the_request(engine, params, truth):
    """The row of a token that is drawn is not a number."""
    tokens = truth[0].token_ids
    place = next(i for i in range(3, 40) if tokens[i] not in (*PROMPTS[0], *tokens[:i]))
    spoilt = {**params, "embed": params["embed"].at[tokens[place]].set(float("nan"))}
    spoilt["unembed"] = params["embed"]
    for guess in (None, right(tokens)):
        request = Request(0, "model", PROMPTS[0], SETTINGS[0], 0, guess)
        got = run(engine, spoilt, [request])[0][0]
        assert got.finish_reason == "error" and "not finite" in got.error
        assert got.token_ids == tokens[: len(got.token_ids)] and len(got.token_ids) <= place + 1
