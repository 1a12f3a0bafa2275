"""Right answers and right reviews of scored episodes, as chats for fine-tuning."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from waltzjax.data.shown import Examples, Shown
from waltzjax.types import CONVERSATION, FEEDBACK, Episode


def shown_prompts(template: str, message: str) -> Iterator[str]:
    """Yield each text that may be the prompt of a message filled from ``template``: several where
    what is to stand around it is also in it, none where the message is of another template."""
    parts = re.split(r"(\{(?:prompt|answer)\})", template)
    at = parts.index("{prompt}")
    opening = (r"\A" if at == 1 else "") + re.escape(parts[at - 1])
    closing = re.escape(parts[at + 1]) + (r"\Z" if at + 2 == len(parts) else "")
    ends = [match.start() for match in re.finditer(closing, message)]
    for start in (match.end() for match in re.finditer(opening, message)):
        yield from (message[start:end] for end in ends if start < end)


def from_episodes(shown: Shown, episodes: Sequence[Episode]) -> tuple[Examples, dict[str, int]]:
    """The good answers and the right reviews of scored episodes, and what was left out."""
    out: Examples = {CONVERSATION: [], FEEDBACK: []}
    left_out: Counter[str] = Counter()
    for episode in episodes:
        prompt = episode.prompt
        for t, (answer, verdict) in enumerate(zip(episode.answers, episode.verdicts, strict=True)):
            if not answer.text.strip():
                left_out["empty answers, and what was said of them"] += 1
                continue
            if verdict is None:
                left_out["answers without a verdict, and what was said of them"] += 1
                continue
            if verdict.good:
                kind = "declined" if prompt.harmful else "helped"
                out[CONVERSATION].append(shown.answer(prompt.text, answer.text, kind))
            else:
                left_out["answers that were not good"] += 1
            if t == len(episode.feedbacks):
                continue
            parsed = episode.parsed[t]
            if parsed and parsed.labels == verdict.labels:
                text = json.dumps(vars(parsed), ensure_ascii=False)
                out[FEEDBACK].append(shown.review(prompt.text, answer.text, verdict, text))
            else:
                left_out["feedbacks of wrong labels or format"] += 1
    for role, examples in out.items():
        out[role] = list({json.dumps(e.messages): e for e in reversed(examples)}.values())[::-1]
        left_out["repeated examples"] += len(examples) - len(out[role])
    return out, dict(left_out)
