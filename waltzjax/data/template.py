"""A tokenizer's chat template: messages as text, and which of the tokens are the template's own."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jinja2

from waltzjax.data.thoughts import is_thought_tag

Message = Mapping[str, str]

NO_KWARGS: Mapping[str, Any] = MappingProxyType({})
# Names that tokenizer.apply_chat_template takes for itself, or hands every template.
RESERVED = frozenset((
    "conversation", "messages", "tools", "documents", "chat_template", "add_generation_prompt",
    "continue_final_message", "tokenize", "sanitize_control_tokens", "padding", "truncation",
    "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
    "tokenizer_kwargs",
))  # fmt: skip
# Errors that a template's own code may end in.
RAISES = (
    jinja2.TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RecursionError,
)  # fmt: skip
CLOCK = "strftime_now"  # the function by which templates tell the date
DIRECTIVES = "aAbBcdDeFgGhHIjklmMnpPrRsSTuUVwWxXyYzZ"  # of strftime
# Marks in a template's output, tokens or not, and the form that only control tokens have.
TAG = re.compile(r"<{1,2}[^\s<>]+>{1,2}|\[/?[A-Z_]+\]")
BARRED = re.compile(r"<[|｜]\S+[|｜]>")
# Texts of probes: words, in which no control token can be.
SYSTEM, USER, ANSWER, NEXT = "alpha", "beta", "gamma", "delta"


class Template:
    """The chat template of ``tokenizer``, with what it reads besides the messages.

    kwargs: values that it is given by name, such as enable_thinking.
    date: what it takes for today, at 0:00, where it tells the date; None: today.
    """

    def __init__(
        self,
        tokenizer: Any,
        kwargs: Mapping[str, Any] = NO_KWARGS,
        date: datetime.date | None = None,
    ):
        """Raises ValueError where the tokenizer has no template, or this one reads no such
        ``kwargs``."""
        self._tokenizer, self._kwargs = tokenizer, dict(kwargs)
        self.directory = tokenizer.name_or_path or "the tokenizer"
        try:
            self.source: str = tokenizer.get_chat_template()
        except ValueError as error:  # there are several, and none is the default
            raise ValueError(f"{self.directory}: no usable chat template ({error})") from error
        if not isinstance(self.source, str):
            raise ValueError(
                f"{self.directory}: no usable chat template (got {self.source!r}, expected a text)"
            )
        for name in kwargs:
            if name in RESERVED or not re.search(rf"\b{re.escape(name)}\b", self.source):
                raise ValueError(
                    f"config.model.template_kwargs: got {name!r}, which the chat template of "
                    f"{self.directory} does not read; leave it out"
                )
        today = date or datetime.date.today()
        self._dated = _clock(today) + self.source if self.tells_date else self.source

    @property
    def tells_date(self) -> bool:
        """Whether its text may depend on the day."""
        return CLOCK in self.source

    def render(self, messages: Sequence[Message], *, to_speak: bool) -> str:
        """The messages as text; ``to_speak``: up to where the assistant is to speak.

        Raises:
          ValueError: the template takes no such messages, or is broken.
        """
        try:
            return self._tokenizer.apply_chat_template(
                [*messages],
                tokenize=False,
                add_generation_prompt=to_speak,
                chat_template=self._dated,
                **self._kwargs,
            )
        except RAISES as error:
            roles = [message["role"] for message in messages]
            advice = "mend the template there"
            if "system" in roles:
                advice += (
                    "; one that takes no system message wants prompt files (config.prompts) with "
                    "nothing before the line '---'"
                )
            reason = " ".join(str(error).split()) or "no reason given"
            raise ValueError(
                f"{self.directory}: the chat template cannot write a chat of {', '.join(roles)} "
                f"({type(error).__name__}: {reason}): {advice}"
            ) from error

    def control_texts(self) -> frozenset[str]:
        """The texts that only the template may write: the tokens marked special; of the added ones
        those in its source or output, those between bars and the tags of thoughts; and the tags of
        its output that are no tokens, such as Llama 2's ``[INST]``, which would be the same text
        from anyone. Words, single signs and white space are text of any chat."""
        output = [*self._probes()]
        written = "\0".join([self.source, *output])
        tokens = {
            token.content
            for token in self._tokenizer.added_tokens_decoder.values()
            if token.special or _is_control(token.content, written)
        }
        return frozenset(tokens.union(*map(TAG.findall, output)))

    def end_of_turn(self) -> int | None:
        """The token that ends what the assistant says: the first one added to the vocabulary that
        the template writes behind an answer, special ones before others; at the chat's end or, if
        there is none, before the user's next message. None: the template writes nothing there.

        Raises:
          ValueError: plain text ends the turn, or the answer is not written.
        """
        chat = [_message("user", USER), _message("assistant", ANSWER)]
        for messages, ends in ((chat, None), ([*chat, _message("user", NEXT)], NEXT)):
            _, answer, behind = self.render(messages, to_speak=False).rpartition(ANSWER)
            if not answer:
                raise ValueError(
                    f"{self.directory}: the chat template does not write what the assistant said"
                )
            behind = behind.partition(ends)[0] if ends else behind
            tokens = {
                (not token.special, behind.find(token.content), -len(token.content)): number
                for number, token in self._tokenizer.added_tokens_decoder.items()
                if token.content in behind and not token.content.isspace()
            }
            if tokens:
                return tokens[min(tokens)]
            if behind.strip():
                raise ValueError(
                    f"{self.directory}: the chat template ends the assistant's turn with the plain "
                    f"text {behind!r}, which is no token that could stop it: have the template "
                    "write the tokenizer's eos_token there, or add that text to the tokenizer as a "
                    "token"
                )
        return None

    def _probes(self) -> Iterator[str]:
        """Chats with every role there is, as far as the template takes them."""
        chat = [_message("user", USER), _message("assistant", ANSWER), _message("user", NEXT)]
        for messages in (chat, chat[:2], [_message("system", SYSTEM), *chat]):
            try:
                yield self.render(messages, to_speak=messages[-1]["role"] == "user")
            except ValueError:
                continue


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def _is_control(token: str, written: str) -> bool:
    """Whether an added token is the template's, by what it looks like and what that one has
    ``written``. A word, a number or a single sign is not: people write those."""
    sign = len(token.strip()) > 1 and not token.strip().isalnum()
    return (sign and token in written) or bool(BARRED.fullmatch(token)) or is_thought_tag(token)


def _clock(date: datetime.date) -> str:
    """A macro in the place of the function that tells the time: it is always ``date``, 0:00. The
    line break belongs to the macro: it leaves what follows at the beginning of a line."""
    now = datetime.datetime.combine(date, datetime.time())
    text = "format | replace('%%', '\\0')"
    for flag in ("-", ""):
        for letter in DIRECTIVES:
            directive = f"%{flag}{letter}"
            text += f" | replace({directive!r}, {now.strftime(directive)!r})"
    text += " | replace('\\0', '%')"
    return f"{{% macro {CLOCK}(format) %}}{{{{ {text} }}}}{{% endmacro %}}\n"
