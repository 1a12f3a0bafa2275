"""Messages to token ids, for both agents, through the tokenizer's own chat template."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waltzjax.data.control import Control
from waltzjax.data.template import NO_KWARGS, Template
from waltzjax.data.thoughts import ends_thought, is_thought_tag, opens_thought

PROMPTS = Path(__file__).parent.parent / "prompts"
SEPARATOR = "\n---\n"


@dataclasses.dataclass(frozen=True)
class AgentPrompt:
    """An agent's system prompt, and the user message that shows it the other agent's words."""

    system: str
    message: str


PLAIN = AgentPrompt("", "{problem}")
MATHS_FIELDS = ("problem",)
TAG_TOKENS = 32  # a thought's opening tag, with the white space behind it, is no more


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
        places = [(rest.find("{" + f + "}"), f) for f in fields]
        at, field = min(((i, f) for i, f in places if i >= 0), default=(len(rest), None))
        pieces.append(rest[:at])
        if field is None:
            break
        pieces.append(fields[field])
        rest = rest[at + len(field) + 2 :]
    return "".join(pieces)


class Chat:
    """The texts that each agent, or the one policy, is shown. ``tokenizer`` is a fast Hugging Face
    tokenizer with a template; ``template`` is that one, with what else it reads."""

    def __init__(
        self,
        tokenizer: Any,
        conversation: AgentPrompt,
        feedback: AgentPrompt,
        maths: AgentPrompt = PLAIN,
        *,
        template: Template | None = None,
    ):
        self.tokenizer = tokenizer
        self.conversation = conversation
        self.feedback = feedback
        self.maths = maths
        self.template = template or Template(tokenizer)
        control = self.template.control_texts()
        self._control = Control(tokenizer, control)
        # An assistant may think, where what it said is trained on.
        self._turns = Control(tokenizer, {text for text in control if not is_thought_tag(text)})
        self._unspoken = frozenset(
            number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special and not is_thought_tag(token.content)
        )

    @classmethod
    def from_files(
        cls,
        tokenizer: Any,
        conversation: Path,
        feedback: Path,
        maths: Path = PROMPTS / "maths.txt",
        *,
        template: Template | None = None,
    ) -> Chat:
        return cls(
            tokenizer,
            read_agent_prompt(conversation, ["feedback"]),
            read_agent_prompt(feedback, ["prompt", "answer"]),
            read_agent_prompt(maths, MATHS_FIELDS),
            template=template,
        )

    def conversation_text(self, prompt: str, history: Sequence[tuple[str, str]] = ()) -> str:
        """State (p, H_{t-1}): the prompt, then each (answer, feedback text) so far."""
        messages = opening(self.conversation.system, prompt)
        for answer, comment in history:
            shown = fill(self.conversation.message, feedback=comment)
            messages += [
                # Without the thought before it: a tag left over is one it spelled out.
                {"role": "assistant", "content": self._control.removed(answer)},
                {"role": "user", "content": shown},
            ]
        return self.render(messages)

    def feedback_text(self, prompt: str, answer: str) -> str:
        """State (p, c_t), without earlier history, as the paper trains the feedback agent."""
        shown = fill(self.feedback.message, prompt=prompt, answer=answer)
        return self.render(opening(self.feedback.system, shown))

    def problem_text(self, problem: str, prompt: AgentPrompt | None = None) -> str:
        """A problem as the policy is shown it, by another ``prompt`` if one is given."""
        return self.render(self.problem_messages(problem, prompt))

    def problem_messages(
        self, problem: str, prompt: AgentPrompt | None = None
    ) -> list[dict[str, str]]:
        """The messages of ``problem_text``, before the template writes them."""
        prompt = prompt or self.maths
        return opening(prompt.system, fill(prompt.message, problem=problem))

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Token ids of rendered texts; nothing is added to them."""
        if not texts:
            return []
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [tuple(row) for row in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text that a policy wrote, its thought included: without control tokens, but with the
        tags around a thought, which are special tokens in some vocabularies."""
        return self.decode_part(ids).strip()

    def decode_part(self, ids: Sequence[int]) -> str:
        """``decode`` for some of the tokens: the white space around them stays."""
        return self.tokenizer.decode([i for i in ids if i not in self._unspoken])

    def in_thought(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a policy that continues the prompt begins within a thought, as the template has
        opened one."""
        return opens_thought(self.tokenizer.decode(prompt_ids[-TAG_TOKENS:]))

    def after_thought(self, prompt_ids: Sequence[int]) -> bool:
        """Whether the prompt ends behind a thought, as the template has closed it: the policy is
        not to think."""
        return ends_thought(self.tokenizer.decode(prompt_ids[-TAG_TOKENS:]))

    def render(self, messages: Sequence[Mapping[str, str]], *, to_speak: bool = True) -> str:
        """Messages as text, up to where the assistant is to speak, unless it has.

        Control texts come from the template alone: spelled out in a prompt or by an agent they
        are removed, or either could open a turn in the other agent's name. Only a thought's tags
        stay in what an assistant said.

        Raises:
          ValueError: the template takes no such messages, or is broken.
        """
        plain = [
            {**m, "content": (self._turns if _speaks(m) else self._control).removed(m["content"])}
            for m in messages
        ]
        return self.template.render(plain, to_speak=to_speak)


def opening(system: str, user: str) -> list[dict[str, str]]:
    """The first messages of a chat; a system message only where there is something in it: some
    templates take none."""
    shown = {"role": "user", "content": user}
    return [*([{"role": "system", "content": system}] if system else []), shown]


def _speaks(message: Mapping[str, str]) -> bool:
    return message["role"] == "assistant"


def stop_ids(
    tokenizer: Any, model_dir: Path | None = None, template_kwargs: Mapping[str, Any] = NO_KWARGS
) -> tuple[int, ...]:
    """Tokens that end a turn: the tokenizer's ``eos_token``, the one that its chat template, if
    it has any, ends an answer with, and those of ``generation_config.json`` or, where there is no
    such file, of ``config.json``: what transformers stops at too.

    Raises:
      ValueError: there is none, plain text ends a turn, or a file is malformed.
    """
    ids = {tokenizer.eos_token_id}
    if tokenizer.chat_template is not None:
        ids.add(Template(tokenizer, template_kwargs).end_of_turn())
    if model_dir:
        ids |= _configured(model_dir)
    stops = tuple(sorted(i for i in ids if i is not None))
    if not stops:
        raise ValueError(
            f"{model_dir or tokenizer.name_or_path or 'the tokenizer'}: no token ends a turn: the "
            "tokenizer has no eos_token, its chat template ends no answer with a token, and "
            "generation_config.json names none; give the tokenizer the eos_token that the model "
            "was trained with (tokenizer_config.json)"
        )
    return stops


def _configured(model_dir: Path) -> set[int]:
    """``eos_token_id`` as the model's directory has it: one number, several or none."""
    path = model_dir / "generation_config.json"
    if not path.exists():
        path = model_dir / "config.json"
    if not path.exists():
        return set()
    try:
        settings = json.loads(path.read_text())
        given = settings.get("eos_token_id")
        if given is None:  # of a model with several parts, the one that speaks
            given = (settings.get("text_config") or {}).get("eos_token_id")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path}: expected a JSON object ({error})") from error
    numbers = [i for i in (given if isinstance(given, list) else [given]) if i is not None]
    if any(type(i) is not int for i in numbers):
        raise ValueError(f"{path}: eos_token_id={given!r}, expected integers")
    return {*numbers}
