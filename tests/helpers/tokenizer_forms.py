"""Small tokenizers in the forms that models on the hub have, and the files around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
START, END = "<|im_start|>", "<|im_end|>"
TEXTS = [
    "In 2024 there were 12345 people, 42 dogs and 1,000,000 ants: 3.14 each, 12345 again.",
    "def f(x):\n    return x + 12345\n\n\nnaïve café naïve café 今天天气很好 今天 🙂🙂",
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", r"[\r\n]|\s?\p{L}+|\s?\p{P}+|\s+$")


def byte_level(*first: Any, rule: bool = False) -> Tokenizer:
    """Byte-level BPE whose texts are split by ``first``, or by GPT-2's ``rule``, or by both."""
    tokenizer = Tokenizer(models.BPE())
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule or not first)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, last]) if first else last
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def split(*patterns: str) -> list[Any]:
    return [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]


def metaspace() -> Tokenizer:
    """As Llama 2 has it, and with digits of their own."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def composed() -> Tokenizer:
    """Accents in one form, whatever the text has: Qwen2's normaliser, and lower case."""
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    return tokenizer


DIGITS = pre_tokenizers.Digits(individual_digits=True)
# The model's type, the class that tokenizer_config.json names, the tokenizer of tokenizer.json.
FORMS: dict[str, tuple[str, str | None, Callable[[], Tokenizer]]] = {
    "llama, GPT-2's class, single digits": (
        "llama", "GPT2Tokenizer", lambda: byte_level(DIGITS, rule=True)
    ),
    "qwen2, DeepSeek's": ("qwen2", "LlamaTokenizerFast", lambda: byte_level(*split(*DEEPSEEK))),
    "qwen2, its own class, three digits": (
        "qwen2", "Qwen2Tokenizer", lambda: byte_level(*split(LLAMA3))
    ),
    "qwen2, no class": ("qwen2", None, lambda: byte_level(*split(r"\d"))),
    "qwen3, Llama 3's": ("qwen3", "PreTrainedTokenizerFast", lambda: byte_level(*split(LLAMA3))),
    "qwen3, lower case": ("qwen3", "Qwen2TokenizerFast", composed),
    "llama, byte level": ("llama", "LlamaTokenizer", lambda: byte_level(*split(LLAMA3))),
    "llama, Metaspace": ("llama", "LlamaTokenizerFast", metaspace),
    "mistral, Metaspace": ("mistral", "LlamaTokenizer", metaspace),
    "llama, a class of transformers 5": ("llama", "TokenizersBackend", lambda: byte_level(DIGITS)),
    "llama, a class that is nowhere": ("llama", "SuperTokenizer", lambda: byte_level(DIGITS)),
}  # fmt: skip


def write_form(directory: Path, name: str, **changes: Any) -> Tokenizer:
    """A form's files, with ``changes`` in tokenizer_config.json; the tokenizer of the file."""
    model_type, kind, make = FORMS[name]
    tokenizer = make()
    tokenizer.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=["<unk>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False)])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in (START, END)])
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": kind, "eos_token": END, "chat_template": TEMPLATE, **changes}
    if kind is None:
        del config["tokenizer_class"]
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    (directory / "chat_template.jinja").unlink(missing_ok=True)  # another's would come first
    (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
    return tokenizer
