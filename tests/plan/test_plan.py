"""The plan of a run: bytes by hand, and what its programs move between devices."""

import dataclasses
import json
from runpy import run_path

import forked
import pytest
from support import REPO, mesh_of

from waltzjax.engine.engine import Engine
from waltzjax.plan import __main__ as main
from waltzjax.plan import compile
from waltzjax.plan.compile import make_plan
from waltzjax.plan.forecast import Load
from waltzjax.plan.generator import generator_config
from waltzjax.plan.growth import Size
from waltzjax.plan.providers import read_providers
from waltzjax.plan.report import make_report
from waltzjax.plan.search import USABLE, choices
from waltzjax.plan.show import show_growth, show_report
from waltzjax.plan.tables import show
from waltzjax.plan.xla_report import Program
from waltzjax.recipes import readers
from waltzjax.run.devices import read_devices

LOAD, DEVICE = Load(48), read_devices().device("")
SHAPE = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 8,
    "max_position_embeddings": 256, "tie_word_embeddings": False,
}  # fmt: skip
# q, k, v, o; gate, up, down; two norms; then both embeddings and the last norm.
LAYER = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64
PARAMETERS = 3 * LAYER + 2 * 512 * 64 + 64
ADAPTER = 3 * 2 * (4 * (64 + 64) + 3 * (64 + 128))  # of rank 2 beside every matrix
NORMS = (3 * 2 + 1) * 64  # whole on every device


def config(**more):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    c.update_from_flattened_dict(
        {
            "rollout.batch": 16,
            "rollout.max_new_tokens": 16,
            "rollout.pad_to_multiple_of": 16,
            **more,
        }
    )
    return c


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    where = tmp_path_factory.mktemp("model")
    (where / "config.json").write_text(json.dumps(SHAPE))
    return where


@pytest.fixture(scope="module")
def full(directory):
    return make_plan(
        config(**{"model.feedback": "given"}), directory, mesh_of(1, 8, 1), LOAD, DEVICE
    )


@pytest.fixture
def uncompiled(monkeypatch):
    """Plans without any program: each has the temporary bytes that are put here, by name."""
    temporary: dict[str, int] = {}

    class NoLearner:
        def lower(self, *_):
            return {"log-probs": "log-probs", "update": "update"}

    def lower(engine, _):
        whose = "judge's " if engine.cfg.vocab_size == GUARD["vocab_size"] else ""
        return {name: whose + name for name in ("decode", "prefill")}

    monkeypatch.setattr(compile, "agent_learner", lambda *_: NoLearner())
    monkeypatch.setattr(Engine, "lower", lower)
    monkeypatch.setattr(
        compile, "measure", lambda name: Program(0, temporary.get(name, 0), 0, 0.0, {})
    )
    return temporary


def counters_of(plan):
    agent = {k: v for k, v in plan.resident.items() if k.startswith("feedback agent:")}
    return agent["feedback agent: its optimiser"] - 2 * agent["feedback agent: what is trained"]


def test_bytes_by_hand(full):
    part = 4 * ((PARAMETERS - NORMS) // 8 + NORMS)  # float32
    counters = counters_of(full)
    assert counters == 8  # optax counts its updates, twice
    assert full.resident == {
        "base and reference": part,
        "feedback agent's start and reference": part,
        "conversation agent: what is trained": part,
        "conversation agent: its optimiser": 2 * part + counters,
        "feedback agent: what is trained": part,
        "feedback agent: its optimiser": 2 * part + counters,
    }
    half = 2 * (PARAMETERS - NORMS) + 4 * NORMS  # on every device, bfloat16 but for the norms
    cached = 65536 // 8  # tokens: config.rollout.cache_tokens
    assert full.generating == {
        "both agents' weights as generation reads them": 2 * half,
        "keys and values": cached * 2 * 8 * 8 * 3 * 2,  # k and v, heads, channels, layers, bytes
    }
    drawn = max(full.programs[p].temporary_bytes for p in ("decode", "prefill"))
    agent, step = 3 * part + counters, 8  # its number, and the KL coefficient
    kept = {"log-probs": part, "update": agent + step}
    beside = [sum(full.generating.values()) + drawn]
    for name, bytes_ in kept.items():
        p = full.programs[name]
        beside.append(p.argument_bytes - bytes_ + p.output_bytes + p.temporary_bytes)
    assert full.peak_bytes == sum(full.resident.values()) + max(beside)
    assert full.checkpoint_bytes == 2 * (12 * PARAMETERS + 4 * 4)  # three counters an agent, beta


def test_no_stacked_parameter_is_gathered_and_every_gradient_is_scattered(full):
    found = full.programs["update"].collectives
    gathered = [k for k in found if k.startswith("all-gather")]
    assert gathered and not [k for k in gathered if "[3," in k]
    for part in ("512,8", "64,8", "8,64", "8,128", "128,8"):  # unembed, o, q k v, gate up, down
        assert any(k.startswith("reduce-scatter") and f"[{part}]" in k for k in found), part
    reduced = [k for k in found if k.startswith("all-reduce")]
    for whole in ("512,64", "64,64", "64,128", "128,64"):
        assert not [k for k in reduced if f"[{whole}]" in k], whole


@pytest.mark.slow
def test_adapters_hold_one_base(directory, full):
    lora = make_plan(
        config(**{"lora.rank": 2, "model.param_dtype": "bfloat16"}),
        directory,
        mesh_of(1, 8, 1),
        LOAD,
        DEVICE,
    )
    base = 2 * ((PARAMETERS - NORMS) // 8 + NORMS)
    assert lora.resident["base and reference"] == base
    first, moments = (
        lora.resident[f"feedback agent{what}"] for what in ("'s first adapter", ": its optimiser")
    )
    assert first == (moments - counters_of(full)) // 2 > 0
    assert 3 * sum(lora.resident.values()) < sum(full.resident.values())
    weights = lora.generating["both agents' weights as generation reads them"]
    assert weights == 2 * (PARAMETERS + 2 * ADAPTER)  # a base and two adapters, all in bfloat16
    shapes = [k for k in lora.programs["update"].collectives if k.startswith("reduce-scatter")]
    assert not [k for k in shapes if "[8,128]" in k or "[128,8]" in k]  # the base has no gradient


def test_the_command(directory):
    done = forked.run(
        "-m", "waltzjax.plan", "--config=configs/stage1.py", "--devices=2",
        f"--model={directory}", "--prompt_tokens=48", "--json", "--config.rollout.batch=8",
        "--config.rollout.max_new_tokens=16", "--config.rollout.pad_to_multiple_of=16",
        "--prompts=16", "--mfu=0.5", "--device=h100-sxm", limit_s=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    plan = said["plan"]
    assert {*plan["programs"]} == {"log-probs", "update", "decode", "prefill"}
    assert "feedback agent: what is trained" in plan["resident"]
    assert "conversation agent: what is trained" not in plan["resident"]  # frozen in stage 1
    assert said["peak_gib"] == plan["peak_bytes"] / 2**30
    assert f"peak {said['peak_gib']:.1f} GiB a device" in done.stdout
    time = plan["forecast"]
    assert said["step_s"] == pytest.approx(sum(p["seconds"] for p in time["phases"]))
    assert said["step_s"] == pytest.approx(sum(said["step_seconds"].values()))
    assert {*said["step_seconds"]} == {"generate", "score", "reference", "update"}
    assert said["steps"] == 16 * 5 // 8 and time["device"]["mfu"] == 0.5
    assert said["hours"] == pytest.approx(10 * said["step_s"] / 3600)
    costs = {entry["name"]: entry for entry in said["providers"]}
    assert costs["Lambda"]["cost"] == pytest.approx(2 * 2.00 * said["hours"])
    assert "PCIe 80 GB" in costs["Lambda"]["note"]
    assert len(costs) == 5  # no API tunes by reinforcement
    out = done.stdout
    assert "80 s a step" not in out and "alone" not in out  # that is of stage 2 on eight devices
    assert "Best mesh: " in out and "--config.rl.microbatches=" in out
    assert "adapters over one base" in out and "saves $" in out
    assert max(map(len, out.splitlines()[:-1])) <= 100


def test_the_plan_of_supervised_tuning_is_one_agents(directory, full):
    c = run_path(str(REPO / "configs/sft.py"))["get_config"]("")
    c.rollout.max_new_tokens, c.sft.batch, c.sft.length = 16, 32, 64
    plan = make_plan(c, directory, mesh_of(1, 8, 1), LOAD, DEVICE)
    agent = {k: v for k, v in full.resident.items() if k.startswith("feedback agent:")}
    assert plan.resident == agent | {"base and reference": full.resident["base and reference"]}
    assert "log-probs" not in plan.programs
    c.sft.length = 128
    longer = make_plan(c, directory, mesh_of(1, 8, 1), LOAD, DEVICE)
    # Twice the tokens: twice the memory, and somewhat more or less with the scores of a block.
    temporary = [p.programs["update"].temporary_bytes for p in (plan, longer)]
    assert temporary[1] > 1.5 * temporary[0]
    assert longer.programs["update"].argument_bytes > plan.programs["update"].argument_bytes


START = " agent's start and reference"


@pytest.mark.parametrize(
    ("stages", "more", "starts"),
    [
        (("stage1", "stage2"), {}, {"feedback"}),
        (("stage1", "stage2"), {"model.feedback": "given"}, {"feedback"}),  # stage 1 replaces it
        (("sft", "stage1"), {"sft.role": "conversation"}, {"conversation"}),
        (("sft", "stage1", "single"), {"sft.role": "feedback"}, {"feedback"}),
        (("stage1", "stage2"), {"lora.rank": 2}, {"feedback"}),
    ],
)
def test_what_an_earlier_stage_has_trained_stays(directory, uncompiled, stages, more, starts):
    alone, after = (
        make_plan(config(stages=of, **more), directory, mesh_of(1, 1, 1), LOAD, DEVICE).resident
        for of in (stages[-1:], stages)
    )
    assert {name.removesuffix(START) for name in after if name.endswith(START)} == starts
    [trained] = {size for name, size in after.items() if name.endswith("what is trained")}
    assert {after[role + START] for role in starts} == {trained}
    # An adapter that a stage begins with is there either way, as is one that was named.
    begun = more.keys() & {"lora.rank", "model.feedback"}
    assert sum(after.values()) - sum(alone.values()) == (0 if begun else trained)


GUARD = {**SHAPE, "num_hidden_layers": 2, "vocab_size": 256}
GUARDS = 2 * LAYER + 2 * 256 * 64 + 64


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    where = tmp_path_factory.mktemp("guard")
    (where / "config.json").write_text(json.dumps(GUARD))
    return where


def test_a_judge_on_the_devices_stays_and_is_copied_to_judge(directory, guard, uncompiled, capsys):
    mesh = mesh_of(1, 8, 1)
    without = make_plan(config(), directory, mesh, LOAD, DEVICE)
    judge = {"judge.name": "wildguard", "judge.model": str(guard)}
    uncompiled["judge's decode"] = 10**9
    plan = make_plan(config(**judge), directory, mesh, LOAD, DEVICE)
    norms = (2 * 2 + 1) * 64
    name = f"judge {guard}"
    assert plan.resident == without.resident | {name: 4 * ((GUARDS - norms) // 8 + norms)}
    assert plan.generating == without.generating
    assert plan.judging == {
        "the judge's weights as generation reads them": 2 * (GUARDS - norms) + 4 * norms,
        "keys and values": 65536 // 8 * 2 * 8 * 8 * 2 * 2,
    }
    judging = sum(plan.judging.values()) + 10**9
    assert plan.peak_bytes == sum(plan.resident.values()) + judging
    uncompiled["decode"] = 10**9
    rolling = make_plan(config(**judge), directory, mesh, LOAD, DEVICE)
    assert rolling.peak_bytes == (
        sum(plan.resident.values()) + sum(plan.generating.values()) + 10**9
    )
    show(plan)
    assert "left out of the memory" not in (out := capsys.readouterr().out)
    assert name in out and "beside it while the judge answers" in out
    served = make_plan(
        config(**judge, **{"judge.url": "http://127.0.0.1:1/v1"}), directory, mesh, LOAD, DEVICE
    )
    assert served.resident == without.resident and not served.judging


def test_a_judge_that_is_not_at_hand_is_named_as_left_out(directory, uncompiled, capsys):
    judge = {"judge.name": "wildguard", "judge.model": "nobody/no-such-judge"}
    plan = make_plan(config(**judge), directory, mesh_of(1, 1, 1), LOAD, DEVICE)
    assert not [name for name in plan.resident if "judge" in name]
    assert "nobody/no-such-judge" in plan.left_out
    show(plan)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("left out of the memory: the judge nobody/no-such-judge")
    assert "config.judge.model" in last


def test_a_prompt_that_a_run_would_refuse_is_refused(directory):
    c = config(**{"rollout.cache_tokens": 8 * 64})
    with pytest.raises(ValueError, match=r"^--prompt_tokens: got 49, .*config.rollout.cache_"):
        make_plan(c, directory, mesh_of(1, 8, 1), Load(49), DEVICE)


def test_the_plan_of_preferences_by_hand(directory):
    """Adapters beside a bfloat16 base on one device; the reference's log-probs come first."""
    c = run_path(str(REPO / "configs/regime_w_dpo.py"))["get_config"]("")
    c.lora.rank, c.rollout.max_num_seqs, c.rollout.cache_tokens = 2, 8, 2048
    c.rollout.max_new_tokens, c.dpo.max_tokens, c.rollout.pad_to_multiple_of = 16, 64, 16
    plan = make_plan(c, directory, mesh_of(1, 1, 1), Load(48, 100), DEVICE)
    assert plan.resident == {
        "base and reference": 2 * PARAMETERS,
        "policy agent's first adapter": 4 * ADAPTER,
        "policy agent: what is trained": 4 * ADAPTER,
        "policy agent: its optimiser": 2 * 4 * ADAPTER + 8,
    }
    assert {*plan.programs} == {"update", "log-probs", "decode", "prefill"}
    assert plan.forecast.steps == 100 * 3 // 32
    phases = {p.phase: p for p in plan.forecast.phases}
    once = phases["log-probs"].flops  # for all three epochs
    c.dpo.reference = "live"
    live = make_plan(c, directory, mesh_of(1, 1, 1), Load(48, 100), DEVICE).forecast.phases
    assert {p.phase: p for p in live}["log-probs"].flops == pytest.approx(3 * once)
    c.dpo.reference = "none"
    alone = make_plan(c, directory, mesh_of(1, 1, 1), Load(48, 100), DEVICE)
    assert "log-probs" not in alone.programs
    assert [p.phase for p in alone.forecast.phases] == ["update"]
    c.dpo.batch = 64
    double = make_plan(c, directory, mesh_of(1, 1, 1), Load(48, 100), DEVICE).programs["update"]
    assert double.temporary_bytes > 1.5 * alone.programs["update"].temporary_bytes


LLAMA = REPO / "configs/models/llama-3.1-8b"


def report_of(c, device, **more):
    providers, links = read_providers(), read_devices().links
    return make_report(c, LLAMA, Load(1024), device, 8, providers, links, **more)


def test_what_does_not_fit_is_planned_after_a_change(uncompiled, capsys):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    small = dataclasses.replace(DEVICE, memory_gib=22.4)
    report = report_of(c, small)
    assert report.remedy.settings["lora.rank"] == 64 and report.fits
    assert report.plan.resident["feedback agent's first adapter"] > 0
    show_report(report)
    out = capsys.readouterr().out
    assert "seconds are arithmetic with the shares cited in devices" in " ".join(out.split())
    assert "rates fitted to measured steps are --check's" in " ".join(out.split())
    assert "80 s a step" in out and "not the 40 s they name" in out
    assert "Does not fit as it is on H100 PCIe. With adapters over one base" in out
    assert "--config.lora.rank=64" in out and "generating on another mesh" in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_layout_that_compiles_larger_than_it_was_counted_is_passed_over(uncompiled):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    first = report_of(c, DEVICE)
    uncompiled["update"] = 2**40
    crowded = report_of(c, DEVICE)
    assert first.fits and first.remedy is None
    assert crowded.remedy is not None or not crowded.fits


def test_the_configs_own_layout_is_planned_where_nothing_is_searched(uncompiled, capsys):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    report = report_of(c, DEVICE, as_given=True)
    assert report.chosen.mesh == (1, 8, 1) and report.chosen.settings == {}
    assert report.others == () and report.remedy is None
    small = dataclasses.replace(DEVICE, memory_gib=22.4)
    show_report(report_of(c, small, as_given=True))
    out = capsys.readouterr().out
    assert "Does not fit: " in out
    assert "The config's own mesh: 1x8x1." in out and "Best mesh" not in out


def test_services_and_rentals_say_whose_tuning_each_price_is(uncompiled, monkeypatch, capsys):
    monkeypatch.setattr(compile, "data_update", lambda *_: NoUpdate())
    c = run_path(str(REPO / "configs/sft.py"))["get_config"]("lora")
    report = report_of(c, DEVICE)
    show_report(report)
    out = " ".join(capsys.readouterr().out.split())
    assert "Rentals: one agent on 5,000 chats. Services: two agents of 2,000 to 5,000" in out


class NoUpdate:
    def lower(self, *_):
        return "update"


def test_a_rental_that_costs_nothing_and_a_stage_after_another(uncompiled, capsys):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    c.stages = ("stage1", "stage2")
    known = read_providers()
    free = known._replace(rentals=(known.rentals[0]._replace(usd_per_device_hour=0.0),))
    report = make_report(c, LLAMA, Load(1024), DEVICE, 8, free, read_devices().links)
    show_report(report)
    out = capsys.readouterr().out
    assert "Hours and cost are those of stage2 alone; stage1 before it" in out
    assert report.savings[0].dollars == 0


@pytest.mark.parametrize(
    ("name", "section", "tokens"),
    [("stage2", "embedded", 256 - 56), ("rlvr_naive", "embedded_maths", 52)],
)
def test_a_base_that_the_run_builds_itself(tmp_path, name, section, tokens):
    c = run_path(str(REPO / f"configs/{name}.py"))["get_config"]("tiny")
    directory = main.model_directory(c, tmp_path, readers(c))
    cfg = generator_config(c, directory)
    assert (cfg.layers, cfg.width) == (c[section].layers, c[section].width)
    assert main.usual_prompt(c, directory, readers(c), 1024) == tokens
    assert main.usual_prompt(c, directory, readers(c), 8) == 8


def test_a_change_that_is_not_enough_does_not_fit(uncompiled, capsys):
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    uncompiled["update"] = 2**40
    report = report_of(c, dataclasses.replace(DEVICE, memory_gib=22.4))
    assert report.remedy and not report.fits
    show_report(report)
    out = capsys.readouterr().out
    assert "and not with adapters over one base (:lora) either" in out and "it does;" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_what_nearly_fits_by_arithmetic_is_compiled(uncompiled):
    """As compiled here, without temporary bytes, it needs less than was counted."""
    c = run_path(str(REPO / "configs/stage2.py"))["get_config"]("")
    cfg = generator_config(c, LLAMA)
    least = min(choice.peak_bytes for choice in choices(c, cfg, Load(1024), DEVICE, 8))
    nearly = dataclasses.replace(DEVICE, memory_gib=0.99 * least / USABLE / 2**30)
    report = report_of(c, nearly)
    assert report.fits and report.remedy is None and not report.chosen.fits(nearly)
    assert report_of(c, dataclasses.replace(nearly, memory_gib=0.8 * nearly.memory_gib)).remedy


def test_growth_is_a_table_of_a_hundred_columns(capsys):
    size = Size(256, (32, 8, 1), {}, 1024, 2**36, "arithmetic", False, 273.0, 53.0, 22.7, 13.3,
                0.93, 0.47, {"update": 22.7}, 1.0, None)  # fmt: skip
    show_growth([size], LLAMA, "stage2", "H100 PCIe")
    out = capsys.readouterr().out
    assert "32x8x1" in out and "64.0 !" in out and "arithmetic" in out
    assert max(map(len, out.splitlines())) <= 100
