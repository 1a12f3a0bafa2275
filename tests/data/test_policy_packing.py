"""Texts packed by token budget: each token once with its fields, weights those of padded rows."""

import numpy as np
import pytest

from waltzjax.data.batching import pad_rows, padding
from waltzjax.data.policy_packing import best_fit, microbatch_bucket, pack_samples
from waltzjax.types import Sample

BUDGET = 40
LIMIT = 30  # tokens that a text may have been given
WEIGHT_ATOL = 1e-6  # float32 weights that sum to 1
# Of a token of the policy, and of one of its context or of padding.
FIELDS = ("token_BT", "weight_BT", "text_advantage_BT", "sampler_logp_BT", "cutoff_gap_BT")


def samples(count=23, seed=0):
    """Each token its own number: text 100s, so that none is taken for another."""
    rng = np.random.default_rng(seed)
    drawn = []
    for i in range(count):
        context, reply = rng.integers(1, 9), rng.integers(1, LIMIT)
        ids = tuple(range(100 * i + 1, 100 * i + 1 + context + reply))
        drawn.append(Sample(
            ids[:context], ids[context:], tuple(-rng.random(reply)), float(rng.normal()),
            tuple(rng.random(reply)),
        ))  # fmt: skip
    return drawn


def packed(drawn, **changes):
    how = dict(budget=BUDGET, weights="sequence", row_groups=1, max_length=BUDGET, truncated=True)
    return pack_samples(drawn, **(how | changes))


def texts(batch):
    """{first token: the fields of its text}, read off the starts alone."""
    found = {}
    for b in range(len(batch.token_BT)):
        start = batch.start_BT[b, : batch.length_B[b]]
        for at in np.unique(start):
            one = np.flatnonzero(start == at)
            assert one[0] == at and one[-1] - one[0] == len(one) - 1
            if batch.token_BT[b, at]:  # an empty row has none
                fields = {name: getattr(batch, name)[b, one] for name in (*FIELDS, "action_BT")}
                assert found.setdefault(fields["token_BT"][0], fields) is fields  # and no twice
    return found


@pytest.mark.parametrize("row_groups", [1, 4])
@pytest.mark.parametrize("weights", ["sequence", "token", "constant"])
def test_every_token_once_with_its_fields(weights, row_groups):
    drawn = samples()
    batch, count = packed(drawn, weights=weights, row_groups=row_groups, max_new_tokens=LIMIT)
    assert batch.token_BT.shape == (count * row_groups, BUDGET)
    found = texts(batch)
    assert len(found) == len(drawn) > np.count_nonzero(batch.length_B > 1)
    padded = pad_rows(drawn, multiple=8, weights=weights, truncated=True, max_new_tokens=LIMIT)
    replies = sum(len(s.token_ids) for s in drawn)
    for b, s in enumerate(drawn):
        got, first, new = found[s.prompt_ids[0]], len(s.prompt_ids), len(s.token_ids)
        share = {"sequence": len(drawn) * new, "token": replies, "constant": len(drawn) * LIMIT}
        want = {  # of the context, of each token of the reply
            "token_BT": (s.prompt_ids, s.token_ids), "action_BT": ([False] * first, [True] * new),
            "weight_BT": ([0] * first, [1 / share[weights]] * new),
            "text_advantage_BT": ([0] * first, [s.advantage] * new),
            "cutoff_gap_BT": ([np.inf] * first, s.cutoff_gap),
            "sampler_logp_BT": ([0] * first, s.sampler_logprobs),
        }  # fmt: skip
        assert got.keys() == want.keys()
        for name, (context, reply) in want.items():
            expected = np.array([*context, *reply]).astype(got[name].dtype)
            np.testing.assert_array_equal(got[name], expected, name)
            alone = getattr(padded, name)[b, : padded.length_B[b]]
            np.testing.assert_array_equal(alone, expected, name)
    for name in ("weight_BT", "text_advantage_BT", "sampler_logp_BT"):
        assert not getattr(batch, name)[~batch.action_BT].any()
    total = batch.weight_BT.astype(np.float64).sum()
    want = replies / (len(drawn) * LIMIT) if weights == "constant" else 1
    assert total == pytest.approx(want, abs=WEIGHT_ATOL)


def test_arrays_by_hand():
    """Texts of 3 and 5 tokens fill a row of 8; one of 4 is in the next; a third row is empty."""
    drawn = [
        Sample((1, 2), (3,), (-0.5,), 2.0), Sample((4,), (5, 6, 7, 8), (-1.0,) * 4, -1.0),
        Sample((9, 10, 11), (12,), (-0.25,), 0.5),
    ]  # fmt: skip
    batch, count = packed(drawn, budget=8, row_groups=3, truncated=False, weights="token")
    assert count == 1 and batch.cutoff_gap_BT is None
    assert batch.token_BT.tolist() == [
        [4, 5, 6, 7, 8, 1, 2, 3], [9, 10, 11, 12, 0, 0, 0, 0], [0] * 8,
    ]  # fmt: skip
    assert batch.start_BT.tolist() == [[0] * 5 + [5] * 3, [0] * 8, [0] * 8]
    assert batch.length_B.tolist() == [8, 4, 1]
    assert batch.text_advantage_BT[0].tolist() == [0, -1, -1, -1, -1, 0, 0, 2]
    np.testing.assert_allclose(batch.weight_BT[batch.action_BT], 1 / 6, atol=WEIGHT_ATOL)
    assert padding(drawn, batch) == 1 - 12 / 24
    assert padding(drawn, pad_rows(drawn, multiple=4, weights="token", min_rows=4)) == 1 - 12 / 32


def test_rows_are_nearly_full():
    rng = np.random.default_rng(3)
    lengths = rng.integers(2, 61, 300).tolist()
    rows = best_fit(lengths, 64)
    assert sorted(i for row in rows for i in row) == list(range(300))
    filled = [sum(lengths[i] for i in row) for row in rows]
    assert max(filled) <= 64 and len(rows) <= 1 + 1.1 * sum(lengths) / 64


def test_microbatches_are_of_few_numbers():
    got = [microbatch_bucket(n) for n in range(1, 41)]
    assert got[:8] == list(range(1, 9))
    assert sorted(set(got[8:])) == [10, 12, 14, 16, 20, 24, 28, 32, 40]
    assert all(n <= m < 1.25 * n for n, m in enumerate(got, 1))


def test_a_text_beyond_the_budget_names_the_knob():
    long = Sample((1,) * 30, (2,) * 11, (0.0,) * 11, 0.0)
    with pytest.raises(
        ValueError, match=r"config.rl.token_budget: got 40, but a text of 41 tokens"
    ):
        packed([*samples(), long], max_length=64)
    packed([*samples(), long], max_length=64, budget=41)


def test_a_text_beyond_the_models_positions_is_refused():
    with pytest.raises(ValueError, match=r"a row has \d+ tokens; the model's positions end at 20"):
        packed(samples(), max_length=20)


def test_a_text_beyond_what_attention_reaches_is_refused():
    drawn = samples()
    longest = max(len(s.prompt_ids) + len(s.token_ids) for s in drawn)
    packed(drawn, longest_text=longest)
    with pytest.raises(ValueError, match=f"{longest} tokens; attention in packed rows reaches"):
        packed(drawn, longest_text=longest - 1)
