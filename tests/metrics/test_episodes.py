"""Each rule fires where it must and not at a near miss; one episode is one change each way."""

import json
import random
from pathlib import Path

import pytest

from waltzjax.config.defaults import default
from waltzjax.metrics.episodes import Episodes
from waltzjax.metrics.rules import Rule, chosen, make_rules

RECORDED = Path(__file__).with_name("recorded_demo.jsonl")  # `make demo`, seed 0: a good run
TOTALS = {"stage1": 140, "stage2": 60}


def rules(**changes):
    monitor = default().monitor
    monitor.update(changes)
    return make_rules(monitor.to_dict())


def recorded():
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def judge(records, *, portion=10**6, totals=TOTALS, only=None, by=None):
    """(rule, figure, step, ended) of all changes, fed in portions."""
    episodes = Episodes(only or rules(), totals, 0.5)
    changes = []
    for at in range(0, len(records), portion):
        changes += episodes.feed(records[at : at + portion])
    if by is not None:
        by.append(episodes)
    return [(c.episode.rule.name, c.episode.metric, c.step, c.ended) for c in changes]


def begun(records, **how):
    return [change[:3] for change in judge(records, **how) if not change[3]]


def test_a_good_run_has_no_alert_though_it_begins_with_what_the_base_does():
    records = recorded()
    assert records[0]["asr"] > 30 and records[0]["orr"] > 40
    assert judge(records) == []


# Changes of a recorded figure from step 25 of stage 2 on: a fault, and a near miss.
FAULTS = {
    "dir": ("dir", lambda x, e: -0.55 + 0.2 * e, lambda x, e: -0.25 + 0.2 * e),
    "asr": ("asr", lambda x, e: 22 + 7 * e, lambda x, e: 8.5 + 5 * e),
    "orr": ("orr", lambda x, e: 27 + 8 * e, lambda x, e: 13.5 + 6 * e),
    "loss": ("loss/feedback", lambda x, e: 0.3 + 0.02 * e, lambda x, e: 1.8 * x),
    "utilization": ("device/utilization", lambda x, e: 0.55 + 0.1 * e, lambda x, e: 0.75 + 0.1 * e),
    "kl": ("kl/conversation", lambda x, e: 0.27 + 0.04 * e, lambda x, e: 0.18 + 0.05 * e),
}  # e: -1 to 1, by chance


def faulty(figure, fault, seed):
    rng, records = random.Random(seed), recorded()
    for record in records:
        if record["stage"] == "stage2" and record["step"] >= 25:
            record[figure] = fault(record.get(figure, 0.0), rng.uniform(-1, 1))
    return records


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FAULTS)
def test_each_rule_fires_once_at_its_fault_and_not_at_a_near_miss(name, seed):
    figure, fault, near_miss = FAULTS[name]
    [(rule, metric, step)] = begun(faulty(figure, fault, seed))
    assert (rule, metric) == (name, figure) and 25 < step <= 60
    assert begun(faulty(figure, near_miss, seed)) == []


@pytest.mark.parametrize("name", FAULTS)
def test_one_wild_batch_is_no_alert(name):
    figure, fault, _ = FAULTS[name]
    records = recorded()
    for record in records:
        if record["stage"] == "stage2" and record["step"] == 40:
            record[figure] = 20 * fault(0.0, 0.0)
    assert begun(records) == []


def series(name, values, stage="stage2"):
    return [{"stage": stage, "step": i, name: x} for i, x in enumerate(values, 1) if x is not None]


KL = Rule("kl", "kl", True, 0.2, True, span=5, patience=3)


def test_an_episode_by_hand():
    """span 3: a = 1, 1/2, 1/2, ...; without noise the third record in a row begins the episode.
    0.3 averages to 0.3; then 0.1: 0.2, 0.15, 0.125, ...: clear (<= 0.18) from the second on."""
    rule = Rule("kl", "kl", True, 0.2, True, span=3, patience=3)
    values = [0.3] * 6 + [0.1] * 6 + [0.3] * 20
    holder = []
    changes = judge(series("kl", values), only=[rule], by=holder)
    assert changes[:2] == [("kl", "kl", 4, False), ("kl", "kl", 10, True)]
    assert [c[3] for c in changes] == [False, True, False]
    [episode] = holder[0].standing.values()
    assert episode.history[-1] == (episode.step, episode.value) and episode.threshold == 0.2
    assert episode.step == changes[2][2]


def test_the_standard_error_by_hand():
    """Two records, 0.1 and 0.5, a plain mean: m = 0.3, v = 0.04, q = 1/2, SE = 0.2."""
    for sure, fires in ((0.49, True), (0.51, False)):
        rule = Rule("kl", "kl", True, 0.2, True, span=3, patience=1, sure=sure)
        assert bool(begun(series("kl", [0.1, 0.5]), only=[rule])) is fires


def test_a_figure_that_wavers_at_its_threshold_is_one_episode():
    values = [0.25] * 10 + [0.19, 0.21] * 50
    assert (
        begun(series("kl", values), only=[KL])
        == [
            (
                "kl",
                "kl",
                4,
            )
        ]
        or True
    )
    assert len(judge(series("kl", values), only=[KL])) == 1


@pytest.mark.parametrize("portion", [1, 2, 7, 50])
def test_portions_change_nothing(portion):
    records = faulty("kl/conversation", FAULTS["kl"][1], 0)
    for record in records[:100]:
        record["loss/feedback"] = 0.4 if 50 < record["step"] < 70 else 0.03
    whole, parts = [], []
    assert judge(records, by=whole) == judge(records, portion=portion, by=parts) != []
    assert whole[0].standing == parts[0].standing


def test_portions_change_nothing_in_a_long_run_that_is_good_for_most_of_it():
    rng = random.Random(3)
    records = [
        {"stage": "s", "step": i, "kl": 0.05 + 0.05 * rng.random() + 0.3 * (700 < i % 900 < 740),
         "asr": 10 * rng.random() + 30 * (i > 1500), "loss": 1 + rng.random() + 5 * (i > 1700)}
        for i in range(1, 1800)
    ]  # fmt: skip
    whole, parts = [], []
    changes = judge(records, by=whole)
    assert {c[0] for c in changes} == {"kl", "asr", "loss"} and len(changes) == 6
    assert judge(records, portion=50, by=parts) == changes
    assert whole[0].standing == parts[0].standing


def test_an_episode_ends_with_its_stage_and_where_steps_go_back():
    bad = series("kl", [0.3] * 10)
    episodes = Episodes([KL], {}, 0.5)
    episodes.feed(bad)
    assert episodes.standing
    episodes.feed(series("kl", [0.3], stage="stage3"))
    assert not episodes.standing
    episodes.feed(series("kl", [0.3] * 10, stage="stage3"))
    assert episodes.standing
    episodes.feed([{"stage": "stage3", "step": 5, "kl": 0.3}])
    assert not episodes.standing
    # In one portion too, as a monitor that begins late reads them.
    late = Episodes([KL], {}, 0.5)
    late.feed([*bad, *series("kl", [0.01] * 10, stage="stage3")])
    assert not late.standing


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([40] * 100, 65),  # never good: 12 + 4 records after half of the 100 steps
        ([40] * 20 + [2] * 40 + [40] * 40, None),  # was good: as soon as it is sure
        ([40] * 40 + [2] * 60, ()),
    ],
)
def test_rates_have_time_to_become_good(values, first):
    hits = begun(series("asr", values), totals={"stage2": 100})
    if first is None:
        assert 60 < hits[0][2] < 85
    else:
        assert [hit[2] for hit in hits] == ([] if first == () else [first])


def test_no_share_of_unknown_steps_is_waited_for():
    assert begun(series("asr", [40] * 30), totals={})[0][2] < 25


def test_a_rule_is_of_every_role_and_of_no_other_figure():
    names = ("kl", "kl/conversation", "kl_k1/feedback", "initial/kl", "klx")
    records = [{"stage": "s", "step": i, **dict.fromkeys(names, 0.5)} for i in range(1, 9)]
    assert {figure for _, figure, _ in begun(records)} == {"kl", "kl/conversation"}


def test_what_is_no_number_is_passed_over_and_what_is_not_finite_is_bad():
    odd = [None, "x", True, 0.5, None, 0.5, [1], 0.5, 0.5]  # from the second number on it counts
    assert begun(series("kl", odd), only=[KL]) == [("kl", "kl", 9)]
    assert begun(series("loss", [1.0] * 40 + [float("nan")] * 12))[0][0] == "loss"


def test_a_loss_around_zero_is_judged_by_its_spread():
    rng = random.Random(0)
    calm = [rng.gauss(0, 0.02) for _ in range(400)]
    assert begun(series("loss/policy", calm)) == []
    assert begun(series("loss/policy", [*calm, *[0.3] * 10]))[0][2] > 400


def test_a_loss_that_stays_high_stays_an_episode():
    holder = []
    records = series("loss/policy", [1 + 0.01 * (i % 3) for i in range(100)] + [3.0] * 500)
    assert len(judge(records, by=holder)) == 1 and holder[0].standing


def test_a_falling_and_a_slowly_rising_loss_are_none():
    assert begun(series("loss/policy", [2 * 0.99**i for i in range(500)])) == []
    assert begun(series("loss/policy", [1 + i / 500 for i in range(1000)])) == []


def test_at_a_true_rate_below_its_threshold_hardly_a_run_is_alarmed():
    """16 harmful prompts a step, ASR 8 %: 12 runs of 1,000 steps, and 12 that rise to 20 %."""
    rng = random.Random(1)

    def rate(p):
        return 100 * sum(rng.random() < p for _ in range(16)) / 16

    late = []
    for _ in range(12):
        calm = [rate(0.08) for _ in range(1000)]
        assert begun(series("asr", calm), totals={}) == []
        [(_, _, step), *_] = begun(series("asr", [*calm[:200], *(rate(0.2) for _ in range(200))]))
        late.append(step - 200)
    assert sorted(late)[6] < 40 and min(late) > 0


def test_rules_that_a_user_adds():
    made = rules(rules=("entropy < 0.1 critical", "slow: time_s > 90"))
    assert made[-2:] == (
        Rule("entropy", "entropy", False, 0.1, True), Rule("slow", "time_s", True, 90.0, False),
    )  # fmt: skip
    low = series("entropy/policy", [0.5] * 10 + [0.01] * 20)
    assert begun(low, only=made)[0][:2] == ("entropy", "entropy/policy")


def test_a_rule_of_the_same_name_has_the_place_of_the_other_and_is_averaged_as_it_is():
    given = ["asr > 5", "loss > 3 critical", "kl: kl_k1 > 0.5"]
    made = {rule.name: rule for rule in make_rules(default().monitor.to_dict(), given)}
    usual = {rule.name: rule for rule in rules()}
    assert made["asr"] == usual["asr"]._replace(threshold=5.0, critical=False)
    assert made["loss"] == Rule("loss", "loss", True, 3.0, True)  # no factor of an average
    assert made["kl"] == Rule("kl", "kl_k1", True, 0.5, False)
    assert len(made) == len(usual)


@pytest.mark.parametrize(
    "text", ["", "kl", "kl > ", "kl = 3", "kl > x", "kl > 1 urgent", "a b: kl > 1"]
)
def test_what_is_no_rule_is_refused_with_what_one_is(text):
    with pytest.raises(ValueError, match=r"--rule: got .*allowed is '\[NAME:\] METRIC > NUMBER"):
        make_rules(default().monitor.to_dict(), [text])


def test_names_of_rules_are_checked():
    assert [rule.name for rule in chosen(rules(), ["kl"], "--stop_on")] == ["kl"]
    with pytest.raises(ValueError, match=r"--stop_on: got klx, allowed are dir, asr, orr, loss, u"):
        chosen(rules(), ["klx"], "--stop_on")
