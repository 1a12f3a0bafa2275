"""The choice of a layout, cheaper choices and growth, by arithmetic on a model of 8B."""

import dataclasses
import itertools
from pathlib import Path
from runpy import run_path

import pytest
from support import REPO

from waltzjax.plan import growth as plan_growth
from waltzjax.plan.forecast import LEARNING, Load
from waltzjax.plan.generator import generator_config
from waltzjax.plan.providers import read_providers
from waltzjax.plan.report import _remedy
from waltzjax.plan.search import changed, choices, shapes, split_choice, usable_bytes
from waltzjax.plan.what_if import Scenario, cheaper, checkpoint_hours, spot
from waltzjax.run.devices import read_devices

PCIE, SXM = (read_devices().device(name) for name in ("", "h100-sxm"))
MODELS = REPO / "configs/models"


def config(name="stage2", arg="", **more):
    c = run_path(str(REPO / f"configs/{name}.py"))["get_config"](arg)
    c.update_from_flattened_dict(more)
    return c


def layouts(device=PCIE, devices=8, name="stage2", arg="", model="llama-3.1-8b", **more):
    c = config(name, arg, **more)
    cfg = generator_config(c, MODELS / model)
    return choices(c, cfg, Load(1024 if c.rollout.max_new_tokens == 512 else 512), device, devices)


def scenario(device=PCIE, devices=8, name="stage2", arg="", model="llama-3.1-8b", **more):
    load = Load(1024)
    rental = read_providers().rentals[0]
    return Scenario(config(name, arg, **more), MODELS / model, load, device, devices, rental)


def test_every_mesh_of_the_devices_is_tried():
    cfg = generator_config(config(), MODELS / "llama-3.1-8b")
    meshes = shapes(cfg, 8)
    assert sorted(meshes) == sorted(
        mesh
        for mesh in itertools.product((1, 2, 4, 8), repeat=3)
        if mesh[0] * mesh[1] * mesh[2] == 8
    )
    assert all(t <= 8 and 64 % t == 0 for _, _, t in shapes(cfg, 64))


def test_the_first_layout_fits_and_none_that_fits_is_faster():
    for device in (PCIE, SXM):
        found = layouts(device)
        fitting = [choice for choice in found if choice.fits(device)]
        assert found[: len(fitting)] == fitting and 0 < len(fitting) < len(found)
        best = min(choice.forecast.step_s for choice in fitting)
        assert found[0].forecast.step_s <= 1.01 * best
        assert not found[-1].fits(device) and found[-1].peak_bytes > usable_bytes(device)


def test_decoding_wants_tensor_parallelism_and_slow_links_do_not():
    """Four rows a device read all weights at every token; split over tensor a device reads its part
    of them, for more rows."""
    best = {device.name: layouts(device)[0].mesh for device in (PCIE, SXM)}
    assert best["H100 PCIe"][2] > 1 and best["H100 SXM"][2] > best["H100 PCIe"][2]
    slow = dataclasses.replace(PCIE, link=PCIE.link._replace(latency_us=3000.0))
    assert layouts(slow)[0].mesh[2] == 1


def test_fewer_microbatches_gather_weights_less_often():
    by_count = {}
    for choice in layouts():
        if choice.mesh == (1, 8, 1) and choice.settings["model.remat"] == "full":
            seconds = sum(p.collective_s for p in choice.forecast.phases if p.phase in LEARNING)
            by_count[choice.settings["rl.microbatches"]] = (seconds, choice.peak_bytes)
    assert by_count[1][0] < by_count[2][0] < by_count[4][0]
    assert by_count[1][1] >= by_count[4][1]


def test_another_mesh_for_generation_is_never_slower():
    c = config()
    cfg, load = generator_config(c, MODELS / "llama-3.1-8b"), Load(1024)
    found = choices(c, cfg, load, PCIE, 8)
    split = split_choice(c, cfg, load, PCIE, found)
    assert split.generation != split.learning.mesh and split.learning.fits(PCIE)
    assert split.forecast.step_s < found[0].forecast.step_s
    assert split_choice(config("sft"), cfg, load, PCIE, found) is None


def test_as_given_is_the_configs_own_layout():
    c = config(mesh=(1, 4, -1))
    cfg = generator_config(c, MODELS / "llama-3.1-8b")
    [own] = choices(c, cfg, Load(1024), PCIE, 8, as_given=True)
    assert own.mesh == (1, 4, 2) and own.settings == {}


@pytest.mark.parametrize(
    ("name", "arg", "model"),
    [
        ("sft", "", "llama-3.1-8b"), ("sft", "lora", "llama-3.1-8b"),
        ("stage1", "", "llama-3.1-8b"), ("stage1", "lora", "llama-3.1-8b"),
        ("stage2", "lora", "llama-3.1-8b"), ("rlvr_multisignal", "", "qwen2.5-1.5b"),
        ("rlvr_naive", "", "qwen2.5-1.5b"), ("regime_w_dpo", "", "mistral-7b"),
    ],
)  # fmt: skip
def test_every_training_config_has_a_plan_on_eight_h100(name, arg, model):
    first = layouts(name=name, arg=arg, model=model)[0]
    assert first.fits(PCIE) and first.forecast.hours > 0
    changed(config(name, arg), {"mesh": first.mesh, **first.settings})  # keys that there are


def test_each_cheaper_choice_costs_less_and_is_fewer_of_one_thing():
    s = scenario()
    cfg = generator_config(s.config, s.directory)
    planned = choices(s.config, cfg, s.load, s.device, s.devices)[0]
    first, *rest = cheaper(s, planned)
    by_name = {saving.name: saving for saving in rest}
    assert {*by_name} == {
        "adapters over one base (:lora)", "a smaller model: qwen2.5-1.5b", "half of the prompts",
        "answers of 256 tokens", "early stop: 3 of 5 epochs", "4 devices",
        "packed updates (rl.token_budget)",
    }  # fmt: skip
    assert all(saving.dollars < first.dollars for saving in rest)
    assert first.dollars == pytest.approx(first.hours * 8 * 2.00)
    assert by_name["half of the prompts"].hours == pytest.approx(first.hours / 2, rel=0.01)
    assert by_name["early stop: 3 of 5 epochs"].hours == pytest.approx(first.hours * 0.6, rel=0.01)
    assert by_name["4 devices"].hours > first.hours
    learning = sum(p.seconds for p in planned.forecast.phases if p.phase in LEARNING)
    packed = by_name["packed updates (rl.token_budget)"]
    assert first.step_s - packed.step_s == pytest.approx(learning / 2)


def test_spot_loses_what_lies_after_a_checkpoint():
    s = scenario()
    cfg = generator_config(s.config, s.directory)
    planned = choices(s.config, cfg, s.load, s.device, s.devices)[0]
    rental = next(r for r in read_providers().rentals if r.preempted_every_h)
    step_s = planned.forecast.step_s
    # An epoch, 469 steps, is shorter than config.train.checkpoint_every = 1000.
    assert checkpoint_hours(s.config, s.load, planned.forecast) == pytest.approx(
        469 * step_s / 3600
    )
    seldom, often = spot(s, planned, rental)
    assert often.hours < seldom.hours and often.dollars < seldom.dollars
    # Half of that for each pre-emption, and more than half a bit: the lost hours may be lost too.
    share = (469 * step_s / 3600 / 2 + rental.restart_h) / rental.preempted_every_h
    assert seldom.hours == pytest.approx(planned.forecast.hours / (1 - share), rel=0.02)
    collecting = Load(1024, collects=True)
    assert (
        checkpoint_hours(s.config, collecting, planned.forecast) == 0
    )  # it goes on question by question


def test_devices_that_a_mesh_leaves_idle_are_not_counted():
    s = scenario(mesh=(1, 4, 1))
    cfg = generator_config(s.config, s.directory)
    [planned] = choices(s.config, cfg, s.load, SXM, 8, as_given=True)
    assert planned.forecast.devices == 4
    rental = next(r for r in read_providers().rentals if r.preempted_every_h)
    for saving in spot(s, planned, rental):
        assert saving.device_hours == pytest.approx(4 * saving.hours)
        assert saving.dollars == pytest.approx(4 * saving.hours * rental.usd_per_device_hour)
    names = [saving.name for saving in cheaper(s, planned)]
    assert "2 devices" in names and "4 devices" not in names


def test_what_does_not_fit_is_told_what_to_change():
    small = dataclasses.replace(PCIE, memory_gib=22.4)
    with_adapters = _remedy(scenario(small))
    assert with_adapters.settings["lora.rank"] == 64 and with_adapters.devices == 8
    more = _remedy(scenario(dataclasses.replace(PCIE, memory_gib=6.5)))
    assert more.devices > 8


def test_growth_keeps_the_work_of_a_device():
    args = (config(), MODELS / "llama-3.1-8b", Load(1024), SXM, [8, 16, 64], 0.0)
    sizes = plan_growth.grow(*args)
    assert [size.batch for size in sizes] == [32, 64, 256]
    assert {size.memory_by for size in sizes} == {plan_growth.ARITHMETIC}
    assert sizes[0].efficiency == 1 and sizes[0].network_gb == 0
    for size in sizes[1:]:
        assert size.efficiency == pytest.approx(sizes[0].step_s / size.step_s)
        assert size.network_gb > 0 and size.hours < sizes[0].hours
    assert sizes[0].same_batch_step_s == sizes[0].step_s
    answer = plan_growth.growth_json(sizes, args[0], args[2], read_providers())
    assert sum(answer["step_seconds"].values()) == pytest.approx(sizes[0].step_s)
    assert (answer["hours"], answer["peak_gib"]) == (sizes[0].hours, sizes[0].peak_bytes / 2**30)
    assert answer["providers"][0]["cost"] == pytest.approx(8 * 2.00 * sizes[0].hours)
    assert len(answer["growth"]) == 3 and len(answer["providers"]) == 5


def test_growth_of_tuning_keeps_the_room_of_a_group_and_grows_beyond_the_batch():
    args = (MODELS / "llama-3.1-8b", Load(1024), SXM, [8, 256], 0.0)
    c = config("sft")
    sizes = plan_growth.grow(c, *args)
    assert sizes[1].batch == 32 * sizes[0].batch and sizes[1].same_batch_step_s is not None
    scaled = plan_growth._scaled(c, args[1], 4.0)
    assert scaled["rollout.cache_tokens"] == 4 * c.rollout.cache_tokens
    assert scaled["sft.batch"] == 4 * c.sft.batch and "rollout.batch" not in scaled


def test_growth_of_collecting_answers_the_same_questions():
    c, load = config("regime_w_collect"), Load(512, collects=True)
    sizes = plan_growth.grow(c, MODELS / "mistral-7b", load, SXM, [8, 16, 64], 0.0)
    assert {size.batch for size in sizes} == {500}
    for size in sizes:
        assert size.efficiency == pytest.approx(sizes[0].step_s * 8 / size.step_s / size.devices)
        assert 0 < size.efficiency <= 1.05


def test_where_there_is_time_the_update_is_compiled(monkeypatch):
    asked = []

    def peak(config, directory, mesh, prompt_tokens):
        asked.append(mesh.size)
        return 2**30 * 74, None

    monkeypatch.setattr(plan_growth, "learning_peak", peak)
    args = (config(), MODELS / "llama-3.1-8b", Load(1024), SXM, [4, 8], 1e9)
    sizes = plan_growth.grow(*args)
    assert {*asked} == {4, 8} and asked.count(8) == plan_growth.TRIES  # none of them fits
    assert {size.memory_by for size in sizes} == {plan_growth.COMPILED}
    assert {size.peak_bytes for size in sizes} == {2**30 * 74}
    assert not sizes[0].fits  # 0.92 of 79.6 GiB


def test_a_model_of_70b_is_there():
    cfg = generator_config(config(), Path(MODELS / "llama-3.1-70b"))
    assert (cfg.layers, cfg.width, cfg.heads, cfg.kv_heads) == (80, 8192, 64, 8)
    found = layouts(SXM, devices=64, model="llama-3.1-70b", **{"rollout.cache_tokens": 524288})
    assert found[0].fits(SXM)
    assert not layouts(SXM, devices=8, model="llama-3.1-70b")[0].fits(SXM)
