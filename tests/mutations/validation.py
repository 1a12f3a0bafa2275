"""Faults of the eleven checks."""

from mutations.mutation import Mutation

CHECKS, SCORES, LOAD, FLAGS, SERVED, SWITCHES = (
    f"waltzjax/validation/{name}.py"
    for name in ("checks", "scores", "load", "flags_file", "served", "switches")
)
OF_CHECKS, OF_SCORES, OF_LOAD, OF_FLAGS, OF_SERVED, OF_GUARD = (
    (f"tests/validation/test_{name}.py",)
    for name in ("checks", "scores", "load", "flags_file", "served", "guarded")
)

MUTATIONS = (
    Mutation(
        "nothing-passes-as-something", CHECKS,
        "holds = finite and RELATIONS", "holds = RELATIONS", OF_CHECKS,
        "an infinite figure passes a check",
    ),
    Mutation(
        "the-threshold-is-missed", CHECKS,
        '"blocking_rate", "Requests whose answer is withheld", "<"',
        '"blocking_rate", "Requests whose answer is withheld", "≤"', OF_CHECKS,
        "a blocking rate of just 10 % passes",
    ),
    Mutation(
        "refusals-of-harm-help", SCORES,
        "if verdict is None or episode.prompt.harmful:", "if verdict is None:", OF_SCORES,
        "refusals of harmful prompts count as helpful answers",
    ),
    Mutation(
        "silence-helps", SCORES,
        "float(not (verdict.overrefuse or verdict.degenerate))", "float(not verdict.overrefuse)",
        OF_SCORES,
        "an answer that says nothing counts as help",
    ),
    Mutation(
        "bad-answers-are-flagged-wrongly", SCORES,
        "verdict is None or not verdict.good or feedback is None",
        "verdict is None or feedback is None", OF_SCORES,
        "feedback on a bad answer counts as a false positive",
    ),
    Mutation(
        "flagged-is-withheld", LOAD,
        "[report.action == BLOCK]", '[report.action != "pass"]', OF_LOAD,
        "what is only flagged counts as withheld",
    ),
    Mutation(
        "late-reviews-are-not-timed", LOAD,
        "for a in _asked(answers)]\n\n\ndef percentile",
        "for a in _decided(answers)]\n\n\ndef percentile", OF_LOAD,
        "requests whose review failed or was late are left out of the latency",
    ),
    Mutation(
        "a-rank-too-low", LOAD,
        "ordered[low - 1], ordered[high]", "ordered[low], ordered[low]", OF_LOAD,
        "the interval of a percentile is a point",
    ),
    Mutation(
        "flags-are-left", FLAGS,
        "os.replace(before, self.path)", "before.unlink()", OF_FLAGS,
        "a service keeps the flags that the checks have set",
    ),
    Mutation(
        "labels-of-another-answer", SERVED,
        "reviewed = first if answer.report.revised else answer", "reviewed = answer", OF_SERVED,
        "the labels of a first answer are held against its revision",
    ),
    Mutation(
        "withheld-is-an-answer", SERVED,
        "        if number not in hidden\n", "", OF_SERVED,
        "the service's refusal counts as the conversation agent's answer",
    ),
    Mutation(
        "any-stage-will-do", SWITCHES,
        "if not _by_flags(report, stage):", "if report is None:", OF_GUARD,
        "a guard that ignores its flags passes",
    ),
    Mutation(
        "a-silent-fallback", SWITCHES,
        " and a.report.failure is not None", "", OF_GUARD,
        "requests that stage 1 was set to decide pass as a fallback",
    ),
)  # fmt: skip
