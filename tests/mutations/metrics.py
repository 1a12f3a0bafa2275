"""Faults of what watches a run: following a file, rules, time left, alerts told once."""

from mutations.mutation import Mutation

EPISODES, FOLLOW = "waltzjax/metrics/episodes.py", "waltzjax/metrics/follow.py"
PACE, BOOK = "waltzjax/metrics/pace.py", "waltzjax/monitor/book.py"
OF_EPISODES = ("tests/metrics/test_episodes.py",)

MUTATIONS = (
    Mutation(
        "rule-other-side", EPISODES,
        "sign, limit = (1.0 if rule.above else -1.0), rule.threshold",
        "sign, limit = 1.0, rule.threshold",
        OF_EPISODES,
        "what must not be low alarms when it is high",
    ),
    Mutation(
        "standard-error-of-one", EPISODES,
        "past * past * (1 - squares) > sure * var * squares",
        "past * past > sure * var * squares",
        OF_EPISODES,
        "the standard error of few records is too small",
    ),
    Mutation(
        "no-hysteresis", EPISODES,
        "clear = clear + 1 if past <= -margin else 0",
        "clear = clear + 1 if past <= 0 else 0",
        OF_EPISODES,
        "an episode ends at its threshold, and begins again",
    ),
    Mutation(
        "no-wait", EPISODES,
        "if held >= patience and not waits:",
        "if held >= patience:",
        OF_EPISODES,
        "what the base model does is alarmed",
    ),
    Mutation(
        "what-is-high-is-usual", EPISODES,
        "if held >= patience:\n                is_open, held = True, 0\n"
        "                changes.append((i, True, limit))\n        else:\n            held = 0\n"
        "            if n > least",
        "if held >= patience:\n                is_open, held = True, 0\n"
        "                changes.append((i, True, limit))\n            base = mean\n"
        "        else:\n            held = 0\n            if n > least",
        OF_EPISODES,
        "a loss that stays high becomes its own average",
    ),
    Mutation(
        "half-a-line", FOLLOW,
        'whole, end, rest = (rest + block).rpartition(b"\\n")',
        'whole, end, rest = rest + block, b"\\n", b""',
        ("tests/metrics/test_follow.py",),
        "a line that is being written is taken for whole",
    ),
    Mutation(
        "same-file-other-content", FOLLOW,
        "if inode == self._inode and file.read(len(self._tail)) == self._tail:",
        "if inode == self._inode:",
        ("tests/metrics/test_follow.py",),
        "a file that was rewritten in place is read on in its middle",
    ),
    Mutation(
        "range-too-narrow", PACE,
        "math.sqrt(1 / len(blocks) + size / left)",
        "math.sqrt(size / left)",
        ("tests/metrics/test_pace.py",),
        "the range of the time left knows nothing of its own mean's error",
    ),
    Mutation(
        "told-again", BOOK,
        "self._pass, self._of_earlier = passes, [*self._told]",
        "self._pass, self._of_earlier = passes, []",
        ("tests/monitor/test_book.py",),
        "a resume tells every alert again",
    ),
)  # fmt: skip
