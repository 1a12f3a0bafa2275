"""An agent that this program's own engine speaks for."""

from __future__ import annotations

from waltzjax.data.chat import Chat
from waltzjax.data.thoughts import names_thought
from waltzjax.engine.requests import Sampling
from waltzjax.serve.detokenizer import Detokenizer
from waltzjax.serve.drafts import Drafts
from waltzjax.serve.records import Ask, Messages, PromptTooLong, Reply
from waltzjax.serve.speech import Speech
from waltzjax.serve.worker import Worker


class EngineAgent:
    """The model of ``role`` in ``worker``, spoken to through ``chat``'s template; see
    ``records.Agent``.

    drafts: guesses at its replies, where these are much alike.
    top_k, min_p: see ``Sampling``; they hold where a reply's temperature is not 0.
    """

    def __init__(
        self,
        worker: Worker,
        role: str,
        chat: Chat,
        name: str,
        drafts: Drafts | None = None,
        *,
        top_k: int = 0,
        min_p: float = 0.0,
    ):
        self._drafts, self._top_k, self._min_p = drafts, top_k, min_p
        self._worker, self._role, self._chat, self._name = worker, role, chat, name
        self._thinks = names_thought(chat.template.source)
        self._longest_token = max(map(len, chat.tokenizer.get_vocab()))  # characters

    @property
    def name(self) -> str:
        return self._name

    async def reply(self, messages: Messages, ask: Ask) -> Reply:
        """See ``records.Agent``. Control texts in the messages are removed, whoever wrote them.

        Raises:
          ValueError: the chat template takes no such messages.
        """
        chat, prompt = self._chat, self._prompt(messages, ask.max_new_tokens)
        speech = Speech(
            ask.on_text,
            opened=chat.in_thought(prompt),
            thinks=self._thinks and not chat.after_thought(prompt),
            stops=ask.stop,
        )
        how = Sampling(
            ask.max_new_tokens,
            ask.temperature,
            top_k=self._top_k,
            top_p=ask.top_p,
            min_p=self._min_p,
            stop_strings=ask.stop,
            logprobs=False,
        )
        words = Detokenizer(chat.decode_part)
        hear = (lambda ids: speech.hear(words.text(ids))) if ask.on_text else None
        guess = self._drafts.guesses(prompt) if self._drafts else None
        done = await self._worker.generate(
            self._role, prompt, how, ask.seed, hear, guess, admitted=ask.admitted
        )
        if self._drafts:
            self._drafts.learn(prompt, done.token_ids)
        text = speech.text(chat.decode(done.token_ids))
        return Reply(text, done.finish_reason, len(prompt), len(done.token_ids))

    def _prompt(self, messages: Messages, new: int) -> tuple[int, ...]:
        """Token ids of the messages, if ``new`` more have room."""
        room = max(0, self._worker.longest - new)
        characters = sum(len(message["content"]) for message in messages)
        if characters > room * self._longest_token:  # not worth reading
            raise PromptTooLong(
                f"the messages have {characters} characters; beside {new} new tokens there is room "
                f"for {room} tokens"
            )
        [prompt] = self._chat.encode([self._chat.render(messages)])
        if len(prompt) > room:
            raise PromptTooLong(
                f"the messages take {len(prompt)} tokens; beside {new} new ones there is room for "
                f"{room}"
            )
        return prompt
