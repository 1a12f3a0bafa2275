"""Faults of the plan's doctor, of its calibration, and of a run beside its prediction."""

from mutations.mutation import Mutation

FIT, PARTS, MACHINE = (f"waltzjax/plan/{name}.py" for name in ("fit", "parts", "machine"))
OF_FIT, OF_CHECK = ("tests/plan/test_fit.py",), ("tests/plan/test_check.py",)
OF_DOCTOR = ("tests/plan/test_doctor.py",)

MUTATIONS = (
    Mutation(
        "absolute-errors", FIT,
        "nnls(relative / scale, np.ones(len(parts)))",
        "nnls(counts / scale, np.array(seconds, float))", OF_FIT,
        "the longest step alone decides the rates",
    ),
    Mutation(
        "held-out-is-held-in", FIT,
        "fit([*points[:number], *points[number + 1 :]])", "fit(points)", OF_FIT,
        "a plan shows the errors of points that it was fitted to",
    ),
    Mutation(
        "one-wave", PARTS,
        "turns * -(-rows // min(engine.slots, room)) * r.max_new_tokens",
        "turns * r.max_new_tokens", OF_CHECK,
        "answers beyond the slots take no time",
    ),
    Mutation(
        "compiling-counts", "waltzjax/plan/check.py",
        'if r["stage"] == stage and "time_s" in r][1:]',
        'if r["stage"] == stage and "time_s" in r]', OF_CHECK,
        "the first step, which compiles, is compared with a step",
    ),
    Mutation(
        "nan-is-right", MACHINE,
        "if not error <= TOLERANCE[dtype]", "if error > TOLERANCE[dtype]", OF_DOCTOR,
        "a device that multiplies to NaN is fit",
    ),
    Mutation(
        "room-for-one-checkpoint", MACHINE,
        "if needed.disk > free:", "if needed.checkpoint > free:", OF_DOCTOR,
        "the disk fills up hours into a run",
    ),
    Mutation(
        "key-for-nobody", "waltzjax/plan/judge_line.py",
        '{"Authorization": f"Bearer {key or \'none\'}"}', "{}", OF_DOCTOR,
        "a judge that wants a key refuses",
    ),
)  # fmt: skip
