"""Rates that are found again, errors by hand, points of a file."""

import json

import numpy as np
import pytest

from waltzjax.plan import calibration
from waltzjax.plan.fit import Point, Rates, fit, fit_rates, leave_one_out, predict
from waltzjax.plan.parts import FEATURES, Part

TRUE = {
    "decode": Rates(2e-4, 1e-10, 3e-10, 0.0),
    "update": Rates(0.0, 2e-11, 0.0, 4e-10),
}


def points(count, noise=0.0, rates=TRUE, seed=0):
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        parts = tuple(
            Part("policy", phase, *(10 ** draw.uniform((2, 8, 7, 6), (4, 11, 9, 9))))
            for phase in rates
        )
        seconds = tuple(
            rates[p.phase].seconds(p) * (1 + noise * draw.standard_normal()) for p in parts
        )
        made.append(Point(parts, seconds, sum(seconds)))
    return made


def test_seconds_are_the_sum_of_what_each_unit_costs():
    part = Part("policy", "update", calls=10, flops=1e9, bytes=2e6, values=3e6)
    assert Rates(1e-3, 1e-9, 1e-7, 1e-8).seconds(part) == pytest.approx(0.01 + 1 + 0.2 + 0.03)


def test_known_rates_are_found_again():
    fitted = fit(points(12))
    for phase, rates in TRUE.items():
        assert fitted[phase] == pytest.approx(rates, rel=1e-6, abs=1e-16)


def test_noise_moves_them_little_and_never_below_zero():
    fitted = fit(points(60, noise=0.05))
    assert fitted["decode"][:3] == pytest.approx(TRUE["decode"][:3], rel=0.1)
    assert all(rate >= 0 for rates in fitted.values() for rate in rates)


def test_relative_errors_are_minimised():
    """One rate, two points: t/n is 1 and 3. The relative errors r - 1 and r/3 - 1 have their least
    squares where r - 1 + (r/3 - 1)/3 = 0, at 1.2; absolute ones would have it at 2."""
    parts = [Part("policy", "update", 0, 1, 0, 0)] * 2
    assert fit_rates(parts, [1.0, 3.0]).flops == pytest.approx(1.2)


def test_left_out_points_by_hand(monkeypatch):
    """Three points of one unit each, 1, 2 and 4 s. For seconds a, b: 1/a + 1/b over 1/a² + 1/b²."""
    monkeypatch.setattr("waltzjax.plan.fit.FEATURES", FEATURES[:1])
    part = Part("policy", "update", 0, 1, 0, 0)
    errors = leave_one_out([Point((part,), (s,), s * 1.5) for s in (1.0, 2.0, 4.0)])
    without = [0.75 / 0.3125, 1.25 / 1.0625, 1.5 / 1.25]  # 2 and 4; 1 and 4; 1 and 2
    wanted = [w / s - 1 for w, s in zip(without, (1, 2, 4), strict=True)]
    assert errors.phases["update"] == pytest.approx(wanted)
    of_step = [w / s / 1.5 - 1 for w, s in zip(without, (1, 2, 4), strict=True)]
    assert errors.step == pytest.approx(of_step)
    assert errors.worst_step == pytest.approx(max(map(abs, of_step)))
    assert errors.median_step == pytest.approx(sorted(map(abs, of_step))[1])


def test_a_point_that_is_off_is_off_where_it_is_left_out_alone():
    made = points(10)
    spoilt = made[3]._replace(
        seconds=tuple(2 * s for s in made[3].seconds), step_s=2 * made[3].step_s
    )
    errors = leave_one_out([*made[:3], spoilt, *made[4:]])
    assert errors.step[3] == pytest.approx(-0.5, abs=1e-6)


def test_too_few_points_and_unknown_phases():
    with pytest.raises(ValueError, match=r"4 points: a fit of 4 rates .* needs at least 5"):
        leave_one_out(points(4))
    with pytest.raises(ValueError, match="no measured point has the phase prefill"):
        predict(TRUE, [Part("policy", "prefill", 1, 1, 1, 1)])


def write(directory, made, kind="Some CPU, 2 cores"):
    record = {
        "device": kind, "date": "2026-11-30", "command": "scripts/calibrate.py",
        "matmul_flop_per_s": 1e11,
        "points": [
            {"size": {}, "step_s": p.step_s,
             "parts": {part.phase: {**dict(zip(FEATURES, part[2:], strict=True)), "seconds": s}
                       for part, s in zip(p.parts, p.seconds, strict=True)}}
            for p in made
        ],
    }  # fmt: skip
    path = directory / calibration.file_name(kind)
    path.write_text(json.dumps(record))
    return path


def test_the_points_of_a_device_kind(tmp_path):
    kind = "Some CPU, 2 cores"
    assert calibration.file_name(kind) == "some-cpu-2-cores.json"
    assert calibration.efficiencies(kind, tmp_path) is None
    assert calibration.held_out(kind, tmp_path) is None
    assert calibration.trust(kind, tmp_path) == calibration.NOT_MEASURED
    calibration.held_out.cache_clear()
    made = points(8)
    path = write(tmp_path, made)
    known = calibration.efficiencies(kind, tmp_path)
    assert (known.device, known.points) == (kind, 8)
    assert known.rates["decode"] == pytest.approx(TRUE["decode"], rel=1e-6, abs=1e-16)
    best = max(p.parts[1].flops / p.seconds[1] for p in made)
    assert known.shares["update"] == pytest.approx(best / 1e11)
    assert calibration.held_out(kind, tmp_path).worst_step < 1e-6
    assert "8 steps measured on 2026-11-30" in calibration.trust(kind, tmp_path)
    write(tmp_path, made[:4], "Small CPU")
    assert "4 steps measured on 2026-11-30" in calibration.trust("Small CPU", tmp_path)
    whole = path.read_text()
    first = f'"seconds": {made[0].seconds[0]}'
    path.write_text(whole.replace(first, '"seconds": 0.0'))
    with pytest.raises(ValueError, match="a part took no time"):
        calibration.efficiencies(kind, tmp_path)
    path.write_text(whole.replace('"flops"', '"flop"'))
    with pytest.raises(ValueError, match=r"not calibration points .* scripts/calibrate.py"):
        calibration.efficiencies(kind, tmp_path)


def test_points_are_found_by_the_plans_name_of_a_device(tmp_path):
    write(tmp_path, points(8), kind="NVIDIA H100 80GB HBM3")
    write(tmp_path, points(9), kind="Some CPU, 2 cores")
    assert calibration.efficiencies("H100 SXM", tmp_path).points == 8
    assert calibration.efficiencies("H100 PCIe", tmp_path) is None


def test_the_points_that_are_kept_here():
    """Every file can be read, and predicts the points it leaves out."""
    kinds = [json.loads(path.read_text()) for path in calibration.POINTS.glob("*.json")]
    assert kinds
    for record in kinds:
        assert calibration.file_name(record["device"]) in {
            path.name for path in calibration.POINTS.glob("*.json")
        }
        errors = calibration.held_out(record["device"])
        assert errors.worst_step < 0.2, record["device"]
