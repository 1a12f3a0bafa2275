"""Directories with tokenizers of the forms that published models have, small enough for tests."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from waltzjax.data.chat import AgentPrompt, Chat
from waltzjax.data.template import Template
from waltzjax.run.runtime import load_tokenizer

NEXT = "{% if add_generation_prompt %}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}" + NEXT + "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Phi-3's: the chat's end has one more token than an answer's.
PHI = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    + NEXT
    + "{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# GLM's: nothing ends an answer but the next turn's beginning.
GLM = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    + NEXT
    + "<|assistant|>{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) "
    "+ '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    + NEXT
    + "{{ '<start_of_turn>model\n' }}{% endif %}"
)
# R1's: it opens a thought in the prompt, and drops those of what was said.
R1 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<｜Assistant｜>"
    "{{ m.content.split('</think>')[-1] + eos_token }}"
    "{% else %}<｜User｜>{{ m.content }}{% endif %}{% endfor %}"
    + NEXT
    + "<｜Assistant｜><think>\n{% endif %}"
)
# Qwen3's: the last answer has a thought before it, at least an empty one.
QWEN3 = (
    "{% for m in messages %}{% if m.role == 'assistant' and loop.last %}"
    "{% set parts = m.content.split('</think>') %}{{ '<|im_start|>assistant\n<think>\n' + "
    "(parts[0].split('<think>')[-1].strip() if parts | length > 1 else '') + '\n</think>\n\n' + "
    "parts[-1].strip() + '<|im_end|>\n' }}{% else %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    + NEXT
    + "{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
    "{# tools: <tool_response> #}"
)
PLAIN = (
    "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}"
    + NEXT
    + "### assistant:\n{% endif %}"
)
END = "<|endoftext|>"


def write_tokenizer(
    directory: Path, template: str, special: tuple[str, ...] = ("<|im_start|>", "<|im_end|>"),
    plain: tuple[str, ...] = (), eos: str | None = END, **more: object,
) -> Tokenizer:  # fmt: skip
    """Tokens of ``special`` are marked so, those of ``plain`` only added to the vocabulary; the
    ones of ``special`` and ``eos`` have the highest numbers."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["hello user assistant system"],
        trainers.BpeTrainer(
            vocab_size=280, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )  # fmt: skip
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in plain])
    marked = [*special, *([eos] if eos and eos not in special else [])]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in marked])
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, **more}
    settings |= {"eos_token": eos} if eos else {}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer


def read_chat(directory: Path, *, system: str = "", **reads: object) -> Chat:
    """The chat of a written tokenizer; its prompts have a system message only if one is given."""
    tokenizer = load_tokenizer(directory)
    return Chat(
        tokenizer, AgentPrompt(system, "{feedback}"), AgentPrompt(system, "{prompt} {answer}"),
        template=Template(tokenizer, **reads),
    )  # fmt: skip
