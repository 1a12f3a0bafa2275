"""The data files, and costs by hand."""

import numpy as np
import pytest

from waltzjax.plan.providers import Rental, costs, lost_hours, read_providers
from waltzjax.plan.search import usable_bytes
from waltzjax.run.devices import TABLE, known_device, read_devices

SPOT = Rental("spot", 1.0, "", preempted_every_h=10.0, restart_h=1.0)


def test_the_sources_prices_of_52_hours_on_eight_devices():
    listed = {cost.name: cost.cost for cost in costs(read_providers(), 52, 8, 5, tuning=False)}
    spot = listed.pop("RunPod spot")
    assert {name: round(cost) for name, cost in listed.items()} == {
        "Lambda": 832, "RunPod on demand": 1036, "Hyperstack": 1040, "Vertex AI": 1526,
    }  # fmt: skip
    assert spot > 911  # what pre-emptions lose comes on top


def test_services_are_offered_for_supervised_tuning_alone():
    listed = costs(read_providers(), 1, 8, 1, tuning=True)
    ranges = {cost.name: cost.note.split(",")[0] for cost in listed if cost.hours is None}
    assert ranges == {
        "Mistral fine-tuning API": "$4 to $16", "Hugging Face AutoTrain": "$1 to $4",
        "Together": "$5 to $15", "Fireworks": "$4 to $12", "Claude Haiku": "$16 to $32",
        "OpenAI": "$100 to $240", "own GPU (16 GB+) with LoRA": "$4 to $16",
    }  # fmt: skip


@pytest.mark.parametrize("checkpoint_h", [1.0, 5.0, 25.0])
def test_preemptions_lose_what_was_not_saved_and_a_restart_each(checkpoint_h):
    """Against an interval that is begun anew until no pre-emption comes, drawn often."""
    rng, hours = np.random.default_rng(0), []
    for _ in range(4000):
        hours.append(checkpoint_h)
        while (until := rng.exponential(10.0)) < checkpoint_h:
            hours[-1] += until + 1.0
    lost = lost_hours(SPOT, checkpoint_h, checkpoint_h)
    assert lost == pytest.approx(np.mean(hours) - checkpoint_h, rel=0.1)


def test_a_run_that_hardly_ends_has_a_price_and_one_that_loses_nothing_restarts():
    assert lost_hours(SPOT, 80, 0) == pytest.approx(80 * 1.0 / 10.0, rel=1e-6)
    assert 80 * 1000 < lost_hours(SPOT, 80, 1e6) < 1e9  # finite, so that JSON has it
    assert lost_hours(Rental("own", 1.0, ""), 80, 2) == 0


def test_devices_are_those_of_the_data_sheets():
    devices = read_devices()
    pcie, sxm = devices.device(""), devices.device("h100-sxm")
    assert (pcie.name, pcie.tflops["bfloat16"], pcie.gb_per_s) == ("H100 PCIe", 756.0, 2000.0)
    assert (sxm.tflops["bfloat16"], sxm.gb_per_s) == (989.4, 3350.0)
    assert usable_bytes(sxm) == pytest.approx(0.92 * 81_559 * 2**20, rel=1e-3)  # by nvidia-smi
    assert pcie.link.gb_per_s < 0.2 * sxm.link.gb_per_s
    assert devices.device("", mfu=0.5, bandwidth_share=None).mfu == 0.5


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"), ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM"), ("NVIDIA H200", "H200"), ("cpu", None),
    ],
)  # fmt: skip
def test_a_device_is_known_by_jaxs_name(kind, name):
    known = known_device(kind)
    assert (known.name if known else None) == name


def changed(tmp_path, old, new):
    text = TABLE.read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mfu = 0.40", "mfu = 1.5", "'H100 PCIe': mfu: got 1.5, allowed is > 0 and <= 1"),
        ("gb_per_s = 2000.0", "gb_per_s = -1.0", "gb_per_s: got -1, allowed is > 0 and"),
        ('link = "pcie5"', 'link = "string"', "h100-pcie.link: got 'string', allowed are nvlink4"),
        ("memory_gib = 79.6", "", "the entry 'memory_gib' is missing"),
        ('default = "h100-pcie"', 'default = "x"', "default: got 'x', allowed are h100-pcie"),
        ("[measured]", "[measured", "mine.toml: "),
    ],
)
def test_a_file_that_cannot_be(tmp_path, old, new, message):
    with pytest.raises(ValueError) as error:
        read_devices(changed(tmp_path, old, new))
    assert message in str(error.value)


def test_an_own_price_counts(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'date = "2027-01-01"\ndevice = "own"\nsft = []\nreported = {}\n[[rental]]\nname = "own"\n'
        'usd_per_device_hour = 0.5\nnote = "paid for"\n'
    )
    [cost] = costs(read_providers(path), 10, 4, 1, tuning=True)
    assert (cost.name, cost.cost, cost.note) == ("own", 20.0, "$0.50 a device-hour; paid for")
    path.write_text(path.read_text().replace("note", "remark"))
    with pytest.raises(ValueError, match=r"mine.toml: .*remark"):
        read_providers(path)
