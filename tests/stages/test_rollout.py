"""One step's rollout of maths: groups, signals, and dynamic sampling's refills."""

import dataclasses
from concurrent.futures import Future
from functools import partial

import jax
import numpy as np
import pytest
from support import tiny_runtime

from waltzjax.config import defaults
from waltzjax.config.key import RLVR
from waltzjax.engine.requests import Sampling
from waltzjax.model.transformer import init_params
from waltzjax.recipes import STAGES
from waltzjax.rlvr import rollout
from waltzjax.rlvr.attempts import Attempts, answer
from waltzjax.rlvr.grading.verifier import Verification
from waltzjax.rlvr.rollout import roll_maths
from waltzjax.stages.rollout import Draw, evaluation_draw, roll_out, training_draw
from waltzjax.types import CONVERSATION, FEEDBACK, POLICY, Completion, Problem, Sample
from waltzjax.waltz.rollout import earned

RECIPES = {name: spec.recipe for name, spec in STAGES.items() if spec.recipe}

GROUP = 2
RUNTIME = tiny_runtime()
PARAMS = {POLICY: init_params(RUNTIME.cfg, jax.random.key(0))}


class Verifier:
    """Finds an answer right by its problem's label: "first" of a group, "all" or "none"."""

    def __init__(self):
        self.asked = []

    def submit(self, response, label):
        before = sum(label == other for _, other in self.asked)
        self.asked.append((response, label))
        found = Future()
        kind = label.split()[0]
        right = kind == "all" or (kind == "first" and before == 0)
        found.set_result(Verification(right, True, False))
        return found


def settings(**changes):
    c = defaults.default()
    c.stages = (RLVR,)
    c.rl.algorithm = "grpo"
    c.rollout.group, c.rollout.max_new_tokens = GROUP, 4
    c.reward.signals.format = c.reward.signals.reflect = 0.0
    c.update_from_flattened_dict(changes)
    return c


def problems(*kinds):
    """Each with a label of its own, that says how its answers are found."""
    return [Problem(i, f"{kind} {i}?", f"{kind} {i}") for i, kind in enumerate(kinds)]


def roll(c, asked, *more):
    verifier, batches = Verifier(), iter(more)
    rolled = roll_maths(
        c, RUNTIME, RECIPES[RLVR](c), verifier, lambda: next(batches), PARAMS, asked,
        stream=0, step=0, watch=lambda _: None,
    )  # fmt: skip
    return rolled, verifier, len(list(batches))


def test_every_problem_is_answered_by_a_group():
    rolled, verifier, _ = roll(settings(), problems("first", "all", "none"))
    assert sorted(label for _, label in verifier.asked) == sorted(
        p.answer for p in problems("first", "all", "none") for _ in range(GROUP)
    )
    rows = rolled.rows[POLICY]
    assert len(rows) == 3 * GROUP
    assert rows[0].prompt_ids == rows[1].prompt_ids != rows[2].prompt_ids
    assert {len(r.token_ids) == len(r.sampler_logprobs) for r in rows} == {True}
    # One of two is right: +1 and -1; nothing where all or none are.
    assert sorted(np.round([r.advantage for r in rows[:2]], 4)) == [-1.0, 1.0]
    assert [r.advantage for r in rows[2:]] == [0.0] * 4
    m = rolled.metrics
    assert m["accuracy"] == pytest.approx(50) and m["reward/policy"] == pytest.approx(0.5)
    assert m["signal/verify"] == pytest.approx(0.5) and m["signal_std/verify"] == pytest.approx(0.5)
    assert m["frac_zero_std_groups"] == m["frac_zero_std_groups/verify"] == pytest.approx(2 / 3)
    assert "refills" not in m


PENS = "Mia has 34 pens. She buys 25 more. How many pens has Mia?"
CHECKED = r"34+25=59. Check: 59-25=34. \boxed{59}"
ELSEWHERE = r"2+6=8. Check: 8-6=2. \boxed{8}"


@pytest.mark.parametrize(
    ("needs", "text", "kind", "earned"),
    [
        ("problem", CHECKED, "all", 1), ("problem", CHECKED, "none", 1),
        ("problem", ELSEWHERE, "all", 0), ("problem", ELSEWHERE, "none", 0),
        ("verify", CHECKED, "all", 1), ("verify", CHECKED, "none", 0),
        ("verify", ELSEWHERE, "all", 1), ("verify", ELSEWHERE, "none", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["format", "reflect"])
def test_a_signal_needs_the_problem_or_a_right_answer(name, needs, text, kind, earned):
    other = "verify" if needs == "problem" else "problem"
    c = settings(**{f"reward.needs.{n}": other for n in ("format", "reflect")})
    c.reward.needs[name] = needs
    attempts = Attempts(c, Verifier(), [Problem(0, PENS, kind)], 1)
    attempts.add(0, Completion((1,), (1, 2), (-0.1, -0.1), text, "stop"))
    (group,) = attempts.finish()
    assert group.attempts[0].signals[name] == earned


def test_groups_that_tell_nothing_apart_are_replaced():
    c = settings(**{"rl.refills": 2})
    first = problems("all", "first", "none")
    more = [Problem(9, f"more {p.text}", f"first {p.text}") for p in problems("x", "y", "z")]
    rolled, _, left = roll(c, first, more, more)
    assert left == 1  # one refill was enough
    texts = [RUNTIME.chat.problem_text(p.text) for p in (first[1], more[0], more[1])]
    wanted = RUNTIME.chat.encode(texts)
    assert [row.prompt_ids for row in rolled.rows[POLICY][::GROUP]] == wanted
    assert all(abs(row.advantage) > 0.9 for row in rolled.rows[POLICY])
    # Metrics are of all that was rolled out, and say how much was.
    assert rolled.metrics["refills"] == 1 and rolled.metrics["groups"] == 3
    assert rolled.metrics["frac_zero_std_groups"] == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("algorithm", "order", "refills"),
    [
        ("grpo", "sum", 1), ("grpo", "normalise", 0), ("dr_grpo", "normalise", 1),
        ("rloo", "normalise", 1), ("reinforce_pp", "normalise", 1),
    ],
)  # fmt: skip
def test_groups_are_replaced_by_the_advantages_that_are_used(
    algorithm, order, refills, monkeypatch
):
    """Four answers of equal weighted sums: only where each signal is normalised do they differ."""
    signals = [(0.5, 0.0), *[(0.0, 1.0)] * 3]

    class Alike(rollout.Attempts):
        def finish(self):
            return [
                dataclasses.replace(group, attempts=tuple(
                    dataclasses.replace(attempt, signals={"verify": v, "format": f} | unpaid)
                    for attempt, (v, f) in zip(group.attempts, signals, strict=True)
                ))
                for group in super().finish()
            ]  # fmt: skip

    unpaid = {"reflect": 0.0, "overlong": 0.0}
    monkeypatch.setattr(rollout, "Attempts", Alike)
    c = settings(**{
        "rl.refills": 1, "rl.algorithm": algorithm, "reward.order": order, "rollout.group": 4,
        "reward.signals.format": 0.5,
    })  # fmt: skip
    rolled, _, _ = roll(c, problems("none"), problems("all"))
    assert rolled.metrics["refills"] == refills
    assert rolled.metrics["frac_zero_std_groups"] == refills
    assert bool(rolled.rows[POLICY]) == (not refills)


def test_refills_end():
    c = settings(**{"rl.refills": 1})
    rolled, _, left = roll(c, problems("all", "first"), problems("none", "all"), problems("first"))
    assert left == 1
    assert len(rolled.rows[POLICY]) == GROUP
    assert rolled.metrics["refills"] == 1 and rolled.metrics["groups"] == 1
    nothing, _, _ = roll(c, problems("all"), problems("none"))
    assert nothing.rows[POLICY] == []


def test_a_refill_of_the_same_problem_draws_other_answers():
    """One problem repeated to the batch: what replaces a group must not be the same group again."""
    c = settings(**{"rl.refills": 1, "rollout.max_new_tokens": 12})
    same = problems("none")
    _, verifier, _ = roll(c, same, same)
    first, second = (sorted(t for t, _ in verifier.asked[i : i + GROUP]) for i in (0, GROUP))
    assert first != second


def test_the_mean_reward_is_that_of_the_rows():
    rows = {
        CONVERSATION: [Sample((1,), (2,), (), 9.0, reward=r) for r in (0.0, 1.0, 0.5)],
        FEEDBACK: [],
    }
    assert earned(rows) == {"reward/conversation": pytest.approx(0.5)}


def test_what_ends_is_handed_on_and_counted():
    told, kept = [], {}
    asked = problems("first", "all", "none")
    draw = Draw(Sampling(4), seed=0, step=0, watch=lambda ended, stats: told.append(ended))
    with RUNTIME.engine.session(PARAMS) as session:
        collect = partial(answer, samples=GROUP)
        stats = roll_out(RUNTIME.chat, session, collect, asked, draw, kept.__setitem__)
    assert sorted(kept) == [*range(3 * GROUP)]
    assert told == sorted(told) and (told[0], told[-1]) == (0, 3 * GROUP)
    assert stats.tokens == sum(len(said.token_ids) for said in kept.values())


def test_an_evaluation_draws_by_its_own_temperature_and_stream():
    c = settings(seed=3, **{"eval.temperature": 0.25, "rollout.temperature": 0.75})
    with evaluation_draw(c, 1, "a policy", "answer") as draw:
        assert (draw.how.temperature, draw.seed, draw.step) == (0.25, 33, 0)
    draw = training_draw(c, 36, 4, lambda stats: None)
    assert (draw.how.temperature, draw.seed, draw.step) == (0.75, 36, 4)
