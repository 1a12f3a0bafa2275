"""Faults of the served guard: who decides, what is withheld, whose fault a failure is."""

from mutations.mutation import Mutation

FLOW, REVIEW, REVIEWER, GUARD = (
    f"waltzjax/serve/{name}.py" for name in ("flow", "review", "reviewer", "guard")
)
OF_FLOW = ("tests/serve/test_flow.py", "tests/serve/test_policy.py")
OF_REVIEW, OF_GUARD = (("tests/serve/test_review.py",), ("tests/serve/test_guard.py",))

MUTATIONS = (
    Mutation(
        "withheld-goes-out", FLOW,
        "text=self._parts.refusal if blocked else", "text=", OF_FLOW,
        "a withheld answer goes out all the same",
    ),
    Mutation(
        "blocked-by-label-alone", FLOW,
        "action = self._flags.action((UNSAFE, *report.categories))",
        "action = self._flags.action((UNSAFE,))", OF_FLOW,
        "an unsafe answer of a category that is to be blocked goes out",
    ),
    Mutation(
        "the-last-is-not-reviewed", FLOW,
        "if history and len(history) >= most and not withhold:",
        "if history and len(history) >= most:", OF_FLOW,
        "under blocking a revised answer goes out without a review",
    ),
    Mutation(
        "failing-reviews-open", FLOW,
        "suspect = why.by_user or", "suspect = False and", OF_FLOW,
        "a user gets an unsafe answer out by making its review fail",
    ),
    Mutation(
        "categories-of-the-first-answer", FLOW,
        "categories = await self._categories(reply.text)",
        "categories = report.categories if history else await self._categories(reply.text)",
        OF_FLOW,
        "a failing review of a revision goes by what the first answer said",
    ),
    Mutation(
        "users-open-the-breaker", REVIEWER,
        "verdict = self.breaker.succeeded\n            why = f",
        "verdict = self.breaker.failed\n            why = f",
        OF_FLOW,
        "long prompts of one user turn the feedback agent off for all",
    ),
    Mutation(
        "half-a-review-is-one", REVIEW,
        "return labels is not None and not labels.objects", "return labels is not None", OF_REVIEW,
        "a review that objects ends before its advice is written",
    ),
    Mutation(
        "frames-are-open", REVIEW,
        'texts = [quoted(m["content"], frame) for m in turns]',
        'texts = [m["content"] for m in turns]', OF_REVIEW,
        "a user's text passes for the answer that the feedback agent is to review",
    ),
    Mutation(
        "held-too-little", GUARD,
        "blocks = flags.blocking or BLOCK in flags.policy.values()", "blocks = flags.blocking",
        OF_GUARD,
        "an answer that a policy may withhold is streamed before the guard has decided",
    ),
)  # fmt: skip
