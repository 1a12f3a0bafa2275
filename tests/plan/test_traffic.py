"""Volumes by hand and against compiled programs; seconds by hand."""

import collections
import dataclasses
import math
from importlib.metadata import version

import pytest
from support import mesh_of, tiny_config

from waltzjax.plan.traffic import (
    Axes,
    Traffic,
    decode_traffic,
    forward_traffic,
    seconds,
    update_traffic,
    weights_traffic,
)
from waltzjax.run.devices import Device, Link

CFG = tiny_config(layers=3)
KERNELS = [CFG.width * CFG.heads * CFG.head_dim] * 2 + [
    CFG.width * CFG.kv_heads * CFG.head_dim] * 2 + [CFG.width * CFG.mlp_width] * 3  # fmt: skip


def total(traffic):
    counts = collections.Counter()
    for each in traffic:
        counts[each.kind, each.axis] += each.bytes
    return dict(counts)


def test_nothing_moves_on_one_device():
    alone = Axes(1, 1, 1)
    assert not forward_traffic(CFG, alone, 2, 64) and not update_traffic(CFG, alone, 2, 64)
    assert not decode_traffic(CFG, alone, 4, 8) and not weights_traffic(CFG, alone, 100)


def test_weights_are_gathered_over_fsdp_alone():
    # Two microbatches gather 3 layers' matrices, each device three quarters of them; the
    # unembedding once.
    gathered = 2 * 3 * sum(KERNELS) * 4 * 3 / 4 + CFG.vocab_size * CFG.width * 4 * 3 / 4
    embedded = 2 * 64 * CFG.width * 4 * 3 / 4
    assert total(forward_traffic(CFG, Axes(1, 4, 1), 2, 64)) == {
        ("all-gather", "fsdp"): pytest.approx(gathered + embedded)
    }


def test_products_are_summed_over_tensor_alone():
    # The outputs of attention and MLP and the embedded tokens: twice half of them among two.
    summed = (2 * 3 + 1) * 64 * CFG.width * 4
    assert total(forward_traffic(CFG, Axes(1, 1, 2), 1, 64)) == {
        ("all-reduce", "tensor"): pytest.approx(summed)
    }
    each = decode_traffic(CFG, Axes(1, 1, 2), rows=4, steps=8)[0]
    assert each == Traffic("all-reduce", "tensor", 8 * 7 * 4 * CFG.width * 4, 8 * 7)


def test_a_frozen_base_scatters_no_gradient():
    full, adapter = (total(update_traffic(CFG, Axes(1, 4, 1), 2, 64, size)) for size in (0, 100))
    assert ("reduce-scatter", "fsdp") in full and ("reduce-scatter", "fsdp") not in adapter
    assert adapter["all-reduce", "rows"] == 2 * 2 * 400 * 3 / 4


NEAR, FAR = Link("near", 100.0, 10.0), Link("far", 10.0, 1000.0)
DEVICE = Device("some", {"float32": 1.0}, 1.0, 1.0, 1.0, 1.0, NEAR, FAR)


@pytest.mark.parametrize(
    ("mesh", "axis", "expected"),
    [
        (Axes(1, 8, 1), "fsdp", 5 * 10e-6 + 1.0),  # 100 GB at 100 GB/s
        (Axes(2, 8, 1), "fsdp", 5 * 10e-6 + 1.0),
        (Axes(2, 8, 1), "data", 5 * 1010e-6 + 10.0),  # one device a host: one port
        (Axes(1, 16, 1), "fsdp", 5 * 1010e-6 + 100 / 80),  # eight ports
        (Axes(4, 4, 2), "fsdp", 5 * 10e-6 + 1.0),
        (Axes(1, 8, 4), "fsdp", 5 * 3010e-6 + 100 / 20),  # two of its devices on each of four hosts
        (Axes(2, 4, 2), "rows", 5 * 1010e-6 + 100 / 40),
        (Axes(4, 2, 1), "rows", 5 * 10e-6 + 1.0),
    ],
)
def test_an_axis_is_as_fast_as_the_links_of_its_devices(mesh, axis, expected):
    traffic = [Traffic("all-gather", axis, 100e9, 5)]
    assert seconds(DEVICE, mesh, traffic) == pytest.approx(expected)


@pytest.mark.parametrize(
    "shape", [(1, 8, 1), (1, 4, 2), (2, 2, 2), (1, 1, 8)], ids=lambda s: "x".join(map(str, s))
)
def test_volumes_are_those_of_the_compiled_programs(shape, lowered_update):
    """In float32, as CPUs move everything. jax 0.12's XLA moves up to a fifth less, and more."""
    near = 0.05 if version("jaxlib").startswith("0.10.") else 0.25
    cfg, programs, microbatches, rows, tokens = lowered_update(shape)
    groups = shape[0] * shape[1]
    mesh = Axes(*shape)
    for name, counted in (
        ("log-probs", forward_traffic(cfg, mesh, microbatches, rows * tokens // groups)),
        ("update", update_traffic(cfg, mesh, microbatches, rows * tokens // groups)),
    ):
        sent = sum(each.bytes for each in counted)
        assert math.isclose(sent, sum(programs[name].moved_bytes.values()), rel_tol=near), name


@pytest.fixture
def lowered_update():
    """The programs of an update of several microbatches, compiled for a mesh."""
    from waltzjax.config import defaults
    from waltzjax.plan.compile import _compiled, _learning_programs, _trained, _weights
    from waltzjax.plan.work import update_shape

    def compiled(shape):
        mesh = mesh_of(*shape)
        c = defaults.default()
        c.update_from_flattened_dict(
            {"rollout.batch": 32, "rollout.max_new_tokens": 32, "rollout.pad_to_multiple_of": 64,
             "rl.microbatches": 4, "model.dtype": "float32"}
        )  # fmt: skip
        cfg = dataclasses.replace(
            tiny_config(layers=3, remat="full", heads=8, kv_heads=8, mlp_width=128, width=64,
                        head_dim=8, vocab_size=512, tied_embeddings=False), mesh=mesh,
        )  # fmt: skip
        agent = _trained(c, cfg, mesh, _weights(cfg, mesh), "conversation")
        programs = _compiled(_learning_programs(c, cfg, mesh, agent, 32))
        return cfg, programs, *update_shape(c, mesh, 32)

    return compiled
