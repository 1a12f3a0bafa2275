"""Faults in generation: pages, the schedule, stops, and what is recorded of a draw."""

from mutations.mutation import Mutation

SCHEDULER, PAGES = "waltzjax/engine/scheduler.py", "waltzjax/engine/page_pool.py"
PROGRAMS, SESSION = "waltzjax/engine/programs.py", "waltzjax/engine/session.py"
OF_SCHEDULER = ("tests/engine/test_scheduler.py",)
OF_ENGINE = ("tests/engine/test_engine.py",)

MUTATIONS = (
    Mutation(
        "shared-page-still-idle", PAGES,
        "self._users[page] += 1\n        self._idle.pop(page, None)",
        "self._users[page] += 1",
        OF_SCHEDULER,
        "a page in use is given to another row",
    ),
    Mutation(
        "newest-idle-page-first", PAGES,
        "self._idle.popitem(last=False)",
        "self._idle.popitem(last=True)",
        (*OF_SCHEDULER, *OF_ENGINE),
        "the page that was just left, the likeliest to be asked for again, is overwritten",
    ),
    Mutation(
        "page-forgets-late", PAGES,
        "page, _ = self._idle.popitem(last=False)\n                self._forget(page)",
        "page, _ = self._idle.popitem(last=False)",
        OF_SCHEDULER,
        "a page is found by what it held before it was overwritten",
    ),
    Mutation(
        "pages-of-any-model", SCHEDULER,
        "before = self._keys[-1] if self._keys else self.request.model.encode()",
        'before = self._keys[-1] if self._keys else b""',
        OF_SCHEDULER,
        "an agent reads keys and values that the other agent's weights computed",
    ),
    Mutation(
        "page-short-while-growing", SCHEDULER,
        "(missing := last // self.page_size + 1 - len(row.pages)) > 0",
        "(missing := last // self.page_size - len(row.pages)) > 0",
        (*OF_SCHEDULER, *OF_ENGINE),
        "tokens beyond a page's border are written into another row's page",
    ),
    Mutation(
        "spoilt-pages-found-again", SCHEDULER,
        "self._pages[group].discard(row.pages)",
        "self._pages[group].release(row.pages)",
        OF_SCHEDULER,
        "one row's NaN reaches all that share its beginning",
    ),
    Mutation(
        "preempted-row-last", SCHEDULER,
        "self.waiting.appendleft(row)",
        "self.waiting.append(row)",
        (*OF_SCHEDULER, *OF_ENGINE),
        "a row sent back waits behind all others, its pages long overwritten",
    ),
    Mutation(
        "noise-repeats-every-call", PROGRAMS,
        "drawn = draw(logits_BV, rows.settings, rows.seed_B, rows.drawn_B + count_B)",
        "drawn = draw(logits_BV, rows.settings, rows.seed_B, count_B)",
        OF_ENGINE,
        "tokens depend on how often the host looks, and their noise repeats",
    ),
    Mutation(
        "one-token-too-many", PROGRAMS,
        "jnp.where(live_B & (count_B >= rows.left_B), FULL, state_B)",
        "jnp.where(live_B & (count_B > rows.left_B), FULL, state_B)",
        OF_ENGINE,
        "answers exceed max_new_tokens",
    ),
    Mutation(
        "fresh-page-not-cleared", PROGRAMS,
        "cache = cache._replace(v=values)",
        "del values",
        OF_ENGINE,
        "NaN that another row left behind is multiplied with zero",
    ),
    Mutation(
        "prefill-positions-from-zero", PROGRAMS,
        "position_BP = start_B[:, None] + jnp.arange(token_BP.shape[1])",
        "position_BP = 0 * start_B[:, None] + jnp.arange(token_BP.shape[1])",
        OF_ENGINE,
        "all but a prompt's first page are cached in the wrong place",
    ),
    Mutation(
        "no-stops-means-the-default", "waltzjax/engine/batches.py",
        "stops = stop_ids if s.stop_ids is None else s.stop_ids",
        "stops = s.stop_ids or stop_ids",
        OF_ENGINE,
        "a request that asks for no stop is stopped all the same",
    ),
    Mutation(
        "stop-text-one-early", "waltzjax/engine/stop_strings.py",
        "for n in range(total - new + 1, total + 1) if holds(n))",
        "for n in range(total - new, total) if holds(n + 1))",
        OF_ENGINE,
        "the token that completes a stop text is cut off",
    ),
    Mutation(
        "text-after-the-stop", SESSION,
        "row.cut(stop)\n            state = STOPPED",
        "state = STOPPED",
        OF_ENGINE,
        "tokens drawn behind a stop text stay in the answer and are trained on",
    ),
    Mutation(
        "logprobs-kept-after-the-cut", SCHEDULER,
        "for column in (self.token_ids, self.logprobs, self.cutoff_gap):",
        "for column in (self.token_ids, self.cutoff_gap):",
        OF_ENGINE,
        "an answer has more log-probabilities than tokens",
    ),
    Mutation(
        "length-read-as-stop", SESSION,
        'result = row.result("stop" if state == STOPPED else "length")',
        'result = row.result("length" if state == STOPPED else "stop")',
        OF_ENGINE,
        "answers that were cut off count as finished",
    ),
)  # fmt: skip
