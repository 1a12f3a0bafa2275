"""The table of all rows: what is trained and played for each, and how seeds are summed up."""

import math
import re
import statistics
from pathlib import Path
from runpy import run_path
from unittest.mock import ANY

import pytest
from pages import check_alone, check_bars, row
from support import REPO

from waltzjax.report.seeds_table import cell, markdown, summarise, write_rows
from waltzjax.stages.reinforce import stage_steps
from waltzjax.waltz.baselines import IN_PASSING, ROWS, runs

SCRIPT = run_path(str(REPO / "scripts/reproduce_table.py"))
TOLERANCE = 1e-9


def results(f1):
    rates = dict.fromkeys(("asr", "orr", "label_accuracy", "ftr", "benign_ftr"), 10.0)
    return {**rates, "f1": f1, "intervals": {"f1": [f1 - 1, f1 + 2]}}


def test_intervals_of_several_seeds_are_students():
    found = [{"base": results(f1)} for f1 in (51.0, 52.0, 53.0)]
    f1 = summarise(found)["base"]["f1"]
    half = 4.303 / math.sqrt(3)  # t for 2 degrees of freedom, standard deviation 1
    assert f1["mean"] == pytest.approx(52, abs=TOLERANCE) and f1["seeds"] == [51, 52, 53]
    assert f1["interval"] == pytest.approx([52 - half, 52 + half], abs=TOLERANCE)


def test_intervals_end_where_the_measure_does():
    found = [{"base": {**results(f1), "benign_likelihood": f1}} for f1 in (1.0, 99.0)]
    row = summarise(found)["base"]
    assert row["f1"]["interval"] == [0, 100]
    assert row["benign_likelihood"]["interval"] == [0, pytest.approx(50 + 12.706 * 49)]


def of_asr(values, intervals=None):
    """The summed-up ASR of seeds with these values, and their own intervals."""
    found = [{"base": {"asr": value}} for value in values]
    for seed, edges in zip(found, intervals or [], strict=intervals is not None):
        seed["base"]["intervals"] = {"asr": edges}
    return summarise(found)["base"]["asr"]


@pytest.mark.parametrize(
    ("value", "edges"), [(0.0, [0.0, 1.2]), (40.0, [36, 44]), (100.0, [99, 100])]
)
def test_equal_seeds_have_the_interval_of_their_prompts(value, edges):
    assert of_asr([value] * 3, [edges] * 3)["interval"] == edges


def test_equal_seeds_alone_have_no_interval():
    figure = of_asr([0.0] * 3)
    assert figure["interval"] == [None, None] and cell(figure, 1) == "0.0"


def test_each_end_is_that_of_the_wider_interval():
    own = [[0.0, 3.0], [0.5, 4.0], [0.1, 3.5]]
    close = of_asr([1.0, 1.1, 0.9], own)["interval"]
    assert close == pytest.approx([0.2, 3.5], abs=TOLERANCE)
    half = 4.303 * 8 / math.sqrt(3)
    far = of_asr([12.0, 20.0, 28.0], [[11, 13], [19, 21], [27, 99]])["interval"]
    assert far == pytest.approx([20 - half, 20 + max(half, 133 / 3 - 20)], abs=0.01)


@pytest.mark.parametrize(
    ("count", "quantile"), [(2, 12.706), (10, 2.262), (11, 2.228), (31, 2.042)]
)
def test_there_may_be_any_number_of_seeds(count, quantile):
    values = [50.0 + i % 2 for i in range(count)]
    spread = statistics.stdev(values)
    low, high = of_asr(values)["interval"]
    assert (high - low) / 2 == pytest.approx(quantile * spread / math.sqrt(count), rel=1e-3)


def test_an_interval_that_a_seed_lacks_is_not_of_the_mean():
    found = of_asr([2.0, 2.0, 2.0], [[None, None], [1.0, 3.0], [1.0, 4.0]])
    assert found["interval"] == [1.0, 3.5]


def test_with_one_seed_they_are_those_of_the_prompts():
    row = summarise([{"base": results(5.0)}])["base"]
    assert row["f1"] == {"mean": 5.0, "interval": [4.0, 7.0], "seeds": [5.0]}
    assert row["ftr"]["interval"] == [None, None]
    assert cell(row["f1"], 1) == "5.0 (4.0 to 7.0)"
    assert cell(row["ftr"], 3) == "10.000"


def test_what_was_counted_in_no_seed_is_no_figure():
    found = [{"base": {**results(1.0), "ftr": None}} for _ in range(3)]
    row = summarise(found)["base"]
    assert row["ftr"]["mean"] is None and cell(row["ftr"], 1) == "-"


@pytest.fixture
def played(tmp_path, monkeypatch):
    """One seed without models: what was trained and played, in order."""
    done, space = [], SCRIPT["one_seed"].__globals__

    def train(config, directory):
        done.append(directory.name)
        for role in ("stage1/feedback", "conversation", "feedback", "base"):
            (directory / role).mkdir(parents=True, exist_ok=True)

    def play(config, row, agents, base, directory, path):
        where = [str(p.relative_to(directory)) for p in agents.values()]
        done.append((row.label, *where))
        path.parent.mkdir(exist_ok=True)
        chats = {"nll": [float(len(done))], "tokens": [1], "revised": [0]}
        return {"f1": 1.0, "intervals": {}, "benign": chats}

    monkeypatch.setitem(space, "train", train)
    monkeypatch.setitem(space, "play", play)
    return done


def test_a_seed_trains_what_its_rows_need_and_goes_on_where_it_was_stopped(played, tmp_path):
    config = SCRIPT["variant"]("tiny", 0, [])
    one_seed = SCRIPT["one_seed"]
    first = one_seed(config, tmp_path, ["base", "frozen"])
    untrained = "waltzrl/base"
    assert played == [
        "waltzrl", ("base", untrained, untrained),
        ("frozen conversation agent (ablation A)", untrained, "waltzrl/stage1/feedback"),
    ]  # fmt: skip
    shares = {name: of["benign_likelihood"] for name, of in first.items()}
    assert shares == pytest.approx({"base": 100, "frozen": 100 * math.exp(-1)})
    played.clear()
    assert one_seed(config, tmp_path, ["base", "frozen", "single"]) == {
        **first, "single": ANY,
    }  # fmt: skip
    assert played == ["waltzrl", "single", ("single-model RL", "single/conversation", untrained)]


def test_a_row_that_was_played_otherwise_is_not_taken(played, tmp_path, monkeypatch):
    one_seed = SCRIPT["one_seed"]
    one_seed(SCRIPT["variant"]("tiny", 0, []), tmp_path, ["base"])
    with pytest.raises(ValueError, match=r"rows/base\.json: played with other settings"):
        one_seed(SCRIPT["variant"]("tiny", 0, ["eval.temperature=0.5"]), tmp_path, ["base"])
    prompt = tmp_path / "mine.txt"
    prompt.write_text("Be kind.\n---\n{prompt}")
    given = [f"prompts.conversation={prompt}"]
    one_seed(SCRIPT["variant"]("tiny", 0, given), tmp_path / "own", ["base"])
    prompt.write_text("Be strict.\n---\n{prompt}")
    with pytest.raises(ValueError, match="played with other settings"):
        one_seed(SCRIPT["variant"]("tiny", 0, given), tmp_path / "own", ["base"])


def test_the_page_shows_each_figure_and_draws_each_interval(tmp_path):
    found = [
        {name: {**results(f1), "asr": f1 / 2, "orr": 100 - f1, "kl_feedback": kl, "intervals": {}}
         for name, f1, kl in (("base", 50.0 + i, None), ("waltzrl", 90.0 + i * i, 0.01 * i))}
        for i in range(3)
    ]  # fmt: skip
    summary = summarise(found)
    rows = {"<b>$a$" if name == "base" else name: of for name, of in summary.items()}
    write_rows(
        tmp_path / "rows.html", title="All rows", seeds=[0, 1, 2], over="9 frames", rows=rows
    )
    html = (tmp_path / "rows.html").read_text(encoding="utf-8")
    check_alone(html)
    assert "of the mean of their own over 9 frames" in html
    cells = row(html, "waltzrl")
    low, high = summary["waltzrl"]["f1"]["interval"]
    assert cells[2] == f"91.7 {low:.1f} to {high:.1f}" and cells[-1].startswith("0.010 ")
    assert row(html, "&lt;b&gt;$a$")[-1] == "-"

    def spans(*measures):
        return [of[m]["interval"] for m in measures for of in summary.values()]

    check_bars(re.search(r"<svg.*?</svg>", html, re.DOTALL)[0], spans("f1"), spans("asr", "orr"))


def test_the_table_in_markdown():
    assert (
        markdown(["row", "f1"], [["base", "5.0"]])
        == "| row | f1 |\n| --- | --- |\n| base | 5.0 |\n"
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("foo.bar=1", r"foo\.bar=1"),
        ("optim.lr=1", r"optim\.lr=1"),
        ("rollout.batch=many", r"rollout\.batch=many"),
        ("rollout.batch=-1", r"config\.rollout\.batch"),
        ("stages=[]", "stages is this script's"),
        ("train.steps.stage1=0", "both 0"),
    ],
)
def test_a_wrong_override_is_said_with_its_key(override, said):
    with pytest.raises(ValueError, match=said):
        SCRIPT["variant"]("tiny", 0, [override])


def test_an_override_may_be_plain_text():
    config = SCRIPT["variant"]("tiny", 0, ["embedded.held_out=development"])
    assert config.embedded.held_out == "development"


@pytest.mark.parametrize("size", ["8b", "8b-lora"])
def test_a_single_model_has_as_many_steps_where_they_are_epochs(size):
    config = SCRIPT["variant"](size, 0, [])
    made = runs(config, Path("seed0"))
    steps = {name: sum(stage_steps(c, s, 15_015) for s in c.stages) for name, c in made.items()}
    assert steps["single"] == pytest.approx(steps["waltzrl"], abs=1)
    assert steps["ablation_b"] == steps["ablation_c"] == steps["waltzrl"] / 2
    assert made["single"].model.base == config.model.base


def test_every_run_differs_from_waltzrl_in_what_its_row_says():
    config = SCRIPT["variant"]("tiny", 3, ["rl.clip_high=0.3", "train.steps.stage1=9"])
    assert config.rl.clip_high == 0.3 and config.seed == 3
    made = runs(config, Path("seed3"))
    whole = made.pop("waltzrl").to_dict()
    assert whole["stages"] == ("stage1", "stage2") and whole["model"]["base"] == "embedded"
    assert flat(whole) == flat(config.to_dict()) | {"eval.prompts": IN_PASSING}
    changed = {
        name: {
            key: value
            for key, value in flat(run.to_dict()).items()
            if value != flat(whole)[key] and key != "model.base"
        }
        for name, run in made.items()
    }
    steps = whole["train"]["steps"]
    assert changed == {
        "single": {
            "stages": ("single",),
            "train.steps.single": steps["stage1"] + steps["stage2"],
        },
        "ablation_b": {"stages": ("stage1",), "reward.lam.stage1": 0.0},
        "ablation_c": {
            "stages": ("stage1",), "reward.lam.stage1": 0.0, "reward.conditioned": False,
        },
    }  # fmt: skip
    assert {run.model.base for run in made.values()} == {"seed3/waltzrl/base"}


def flat(values, prefix=""):
    out = {}
    for key, value in values.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return out


def test_every_row_of_the_paper_is_there():
    rows = ROWS
    assert list(rows) == [
        "base", "base_safeguard", "single", "single_safeguard", "untrained", "oracle", "frozen",
        "waltzrl", "ablation_b", "ablation_c",
    ]  # fmt: skip
    played = {name: (row.conversation, row.feedback) for name, row in rows.items()}
    assert played["frozen"] == ("base", "waltzrl/stage1") and played["waltzrl"] == ("waltzrl",) * 2
    assert {p for p in played.values() if "single" in p} == {("single", "base")}
