"""Messages to token ids, for both agents, through the tokenizer's own chat template."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROMPTS = Path(__file__).parent.parent / "prompts"
SEPARATOR = "\n---\n"


@dataclasses.dataclass(frozen=True)
class AgentPrompt:
    """An agent's system prompt, and the user message that shows it the other agent's words."""

    system: str
    message: str


PLAIN = AgentPrompt("", "{problem}")
MATHS_FIELDS = ("problem",)


def read_agent_prompt(path: Path, fields: Sequence[str]) -> AgentPrompt:
    """Read ``system``, a line of three dashes, ``message``; the message must use ``fields``. With
    no ``system`` the chat has no such message: some models' templates then put their own.

    Raises:
      ValueError: no separator line, or a ``{field}`` is missing.
    """
    text = path.read_text(encoding="utf-8").strip()
    system, separator, message = f"\n{text}".partition(SEPARATOR)
    system = system.strip()
    if not separator:
        raise ValueError(f"{path}: expected a system prompt, a line '---', a message template")
    missing = [f for f in fields if "{" + f + "}" not in message]
    if missing:
        raise ValueError(f"{path}: the message template lacks {{{'}, {'.join(missing)}}}")
    return AgentPrompt(system, message)


def fill(template: str, **fields: str) -> str:
    """Replace each ``{field}`` once; braces in the values, or elsewhere, are left alone."""
    pieces, rest = [], template
    while rest:
        found = [(rest.find("{" + f + "}"), f) for f in fields]
        at, field = min(((i, f) for i, f in found if i >= 0), default=(len(rest), None))
        pieces.append(rest[:at])
        if field is None:
            break
        pieces.append(fields[field])
        rest = rest[at + len(field) + 2 :]
    return "".join(pieces)


class Chat:
    """What each agent, or the one policy, is shown. ``tokenizer`` is a fast Hugging Face tokenizer
    with a template."""

    def __init__(
        self, tokenizer: Any, conversation: AgentPrompt, feedback: AgentPrompt,
        maths: AgentPrompt = PLAIN,
    ):  # fmt: skip
        self.tokenizer = tokenizer
        self.conversation = conversation
        self.feedback = feedback
        self.maths = maths
        added = tokenizer.added_tokens_decoder.values()
        control = sorted((t.content for t in added if t.special), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, control)) or "(?!)")

    @classmethod
    def from_files(
        cls, tokenizer: Any, conversation: Path, feedback: Path, maths: Path = PROMPTS / "maths.txt"
    ) -> Chat:
        return cls(
            tokenizer,
            read_agent_prompt(conversation, ["feedback"]),
            read_agent_prompt(feedback, ["prompt", "answer"]),
            read_agent_prompt(maths, MATHS_FIELDS),
        )

    def conversation_text(self, prompt: str, history: Sequence[tuple[str, str]] = ()) -> str:
        """State (p, H_{t-1}): the prompt, then each (answer, feedback text) so far."""
        messages = [
            {"role": "system", "content": self.conversation.system},
            {"role": "user", "content": prompt},
        ]
        for answer, comment in history:
            shown = fill(self.conversation.message, feedback=comment)
            messages += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": shown},
            ]
        return self.render(messages)

    def feedback_text(self, prompt: str, answer: str) -> str:
        """State (p, c_t), without earlier history, as the paper trains the feedback agent."""
        shown = fill(self.feedback.message, prompt=prompt, answer=answer)
        return self.render(
            [
                {"role": "system", "content": self.feedback.system},
                {"role": "user", "content": shown},
            ]
        )

    def problem_text(self, problem: str, prompt: AgentPrompt | None = None) -> str:
        """A problem as the policy is shown it, by another ``prompt`` if one is given."""
        return self.render(self.problem_messages(problem, prompt))

    def problem_messages(
        self, problem: str, prompt: AgentPrompt | None = None
    ) -> list[dict[str, str]]:
        """The same before the template writes it."""
        prompt = prompt or self.maths
        shown = {"role": "user", "content": fill(prompt.message, problem=problem)}
        return [*([{"role": "system", "content": prompt.system}] if prompt.system else []), shown]

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Token ids of rendered texts; nothing is added to them."""
        if not texts:
            return []
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [tuple(row) for row in ids]

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def render(self, messages: list[dict[str, str]], *, to_speak: bool = True) -> str:
        """Messages as text, up to where the assistant is to speak, unless it has.

        Control tokens come from the template alone: spelled out in a prompt or by an agent they
        are removed, or either could open a turn in the other agent's name.
        """
        plain = [{**m, "content": self._without_control(m["content"])} for m in messages]
        return self.tokenizer.apply_chat_template(
            plain, tokenize=False, add_generation_prompt=to_speak
        )

    def _without_control(self, text: str) -> str:
        while (shorter := self._control.sub("", text)) != text:  # a removal may join another one
            text = shorter
        return text


def stop_ids(tokenizer: Any, model_dir: Path | None = None) -> tuple[int, ...]:
    """Tokens that end a turn: the tokenizer's, and those of ``generation_config.json``."""
    ids = {tokenizer.eos_token_id}
    path = model_dir / "generation_config.json" if model_dir else None
    if path and path.exists():
        try:
            extra = json.loads(path.read_text()).get("eos_token_id")
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path}: expected a JSON object ({error})") from error
        more = extra if isinstance(extra, list) else [extra]
        if any(type(i) is not int for i in more if i is not None):
            raise ValueError(f"{path}: eos_token_id={extra!r}, expected integers")
        ids |= set(more)
    return tuple(sorted(i for i in ids if i is not None))
