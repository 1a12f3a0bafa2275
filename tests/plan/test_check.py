"""A hand-made run beside its prediction."""

import json
from runpy import run_path

import pytest
from support import REPO, mesh_of, tiny_config

from waltzjax.model.hf.config import config_json
from waltzjax.plan import calibration, check
from waltzjax.plan.check import Measured, Row, compare
from waltzjax.plan.fit import Rates
from waltzjax.plan.parts import step_parts
from waltzjax.plan.work import step_work
from waltzjax.run.recorded import recorded_config

PER_FLOP = Rates(0.0, 1e-9, 0.0, 0.0)


def config(**more):
    c = run_path(str(REPO / "configs/rlvr_naive.py"))["get_config"]("tiny")
    c.update_from_flattened_dict({"rl.token_budget": 0, **more})
    return c


@pytest.fixture
def run(tmp_path):
    """Four steps of maths; the first compiles."""
    (tmp_path / "base").mkdir()
    cfg = tiny_config()
    (tmp_path / "base/config.json").write_text(json.dumps(config_json(cfg, "float32")))
    (tmp_path / "config.json").write_text(
        json.dumps({**config().to_dict(), "prompt_texts": {"policy": "?"}})
    )
    records = [
        {"stage": "rlvr", "step": i, "time_s": t, "time/generate": t / 2, "time/update": t / 4,
         "time/host": t / 4, "rollout_tokens": 1000.0, "device/memory_gib": 0.5}
        for i, t in enumerate((90.0, 2.0, 4.0, 3.0), start=1)
    ]  # fmt: skip
    text = "".join(json.dumps(r) + "\n" for r in [{"stage": "sft", "step": 1}, *records])
    (tmp_path / "metrics.jsonl").write_text(text + '{"stage": "rlvr", "st')
    return tmp_path


def test_medians_without_the_step_that_compiles(run):
    assert check.measured(run) == Measured(
        "rlvr", 3,
        {"step": 3.0, "generate": 1.5, "update": 0.75, "host": 0.75, "memory": 0.5}, 1000.0,
    )  # fmt: skip


def test_a_run_that_has_hardly_begun(run):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(ValueError, match=r"--check: .* no two steps"):
        check.measured(run)
    with pytest.raises(FileNotFoundError, match=r"--check: .* no config.json"):
        recorded_config(run / "nothing", "--check")


def test_the_config_of_a_run_is_read_back(run):
    before, after = config().to_dict(), recorded_config(run, "--check").to_dict()
    assert after == before


def test_rows_and_their_errors():
    measured = Measured("rlvr", 3, {"step": 4.0, "update": 2.0, "host": 1.0}, None)
    rows = compare(measured, {"generate": 1.0, "update": 3.0, "step": 4.0})
    assert rows == [
        Row("generate", 1.0, None), Row("update", 3.0, 2.0), Row("host", None, 1.0),
        Row("step", 4.0, 4.0),
    ]  # fmt: skip
    assert [row.error for row in rows] == [None, 0.5, None, 0.0]


def test_parts_are_those_of_the_plan_and_count_the_runs_of_layers():
    c, cfg = config(), tiny_config()
    mesh = mesh_of(1, 1, 1)
    parts = step_parts(c, cfg, mesh, 52)
    assert [(p.role, p.phase, p.flops, p.bytes) for p in parts] == [
        work[:4] for work in step_work(c, cfg, mesh, 52) if work.phase != "weights"
    ]
    # 256 answers in waves of 128 slots, 44 tokens each, two layers.
    calls = {p.phase: p.calls for p in parts}
    assert calls["decode"] == 2 * 44 * 2
    assert calls["prefill"] == -(-256 * 52 // (128 * 32)) * 2
    assert calls["log-probs"] == 2 * c.rl.microbatches * 2
    assert calls["update"] == c.rl.microbatches * 2
    # Of a drawn token: per layer 6 x 16 + 3 x 32 + scores of 4 heads, twice, with the 74 tokens it
    # sees on average; and its 400 logits, twice.
    of_token = 2 * (96 + 96 + 2 * 4 * 74) + 800
    assert {p.phase: p.values for p in parts}["decode"] == 256 * 44 * of_token


def test_the_longest_prompt_is_that_of_a_groups_part_of_the_cache():
    c, cfg = config(**{"rollout.cache_tokens": 8 * 96}), tiny_config(max_positions=512)
    new = c.rollout.max_new_tokens
    c.problems.max_tokens = 512
    assert check.longest_prompt(c, cfg, mesh_of(1, 1, 1)) == 512 - new
    assert check.longest_prompt(c, cfg, mesh_of(2, 4, 1)) == 96 - new
    assert check.longest_prompt(c, cfg, mesh_of(1, 2, 4)) == 4 * 96 - new
    c.problems.max_tokens = 40
    assert check.longest_prompt(c, cfg, mesh_of(2, 4, 1)) == 40


def test_a_run_beside_its_prediction(run, monkeypatch, capsys):
    rates = dict.fromkeys(("prefill", "decode", "log-probs", "update"), PER_FLOP)
    known = calibration.Efficiencies("here", "2026-11-30", "", 6, rates, 1e9, {})
    monkeypatch.setattr(calibration, "efficiencies", lambda kind: known)
    monkeypatch.setattr(calibration, "trust", lambda kind: "a sentence on trust")
    assert check.command(run, as_json=True) == 0
    out = capsys.readouterr().out
    answer = {p["part"]: p for p in json.loads(out.splitlines()[-1])["parts"]}
    c, cfg = config(), tiny_config()
    work = {w.phase: w.flops for w in step_work(c, cfg, mesh_of(1, 1, 1), 52)}
    # 1,000 of the tokens that 256 answers may have were drawn.
    generate = 1e-9 * (work["prefill"] + work["decode"] * 1000 / (256 * 44))
    assert answer["generate"]["predicted"] == pytest.approx(generate)
    assert answer["generate"]["error"] == pytest.approx(generate / 1.5 - 1)
    assert answer["update"]["predicted"] == pytest.approx(1e-9 * work["update"])
    assert answer["score"] == answer["reference"] | {"part": "score"}
    assert answer["score"]["predicted"] == pytest.approx(1e-9 * work["log-probs"] / 2)
    step = generate + 1e-9 * (work["log-probs"] + work["update"])
    assert answer["step"]["predicted"] == pytest.approx(step)
    assert answer["host"] == {"part": "host", "predicted": None, "measured": 0.75, "error": None}
    assert "a sentence on trust" in out and answer["memory"]["predicted"] > 0


def test_a_device_that_was_not_measured(run, monkeypatch):
    monkeypatch.setattr(calibration, "efficiencies", lambda kind: None)
    with pytest.raises(ValueError, match="no measured point for this device"):
        check.command(run)
