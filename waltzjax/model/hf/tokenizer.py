"""A Hugging Face directory's tokenizer, in and out: ``tokenizer.json`` says how texts are split.

transformers 5 takes only the vocabulary from that file and rebuilds the rest from a class, which it
chooses by ``tokenizer_config.json`` and the model's type: a Llama with GPT-2's class reads "12345"
as one token where the file, and the model's training, have five. So no class is asked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from waltzjax.model.hf.config import read_json

FILE, CONFIG, GENERATION = "tokenizer.json", "tokenizer_config.json", "generation_config.json"
FILES_OWN = "PreTrainedTokenizerFast"  # the class of transformers 4 and 5 that keeps to FILE
MAKE_FILE = (
    "which AutoTokenizer.from_pretrained(...).save_pretrained(...) makes of a tokenizer.model "
    "where sentencepiece is installed"
)
# Errors that the transformers library ends in where a tokenizer's files are not as it expects.
MALFORMED = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError,
)  # fmt: skip
# Where tokenizers differ: digits, spaces, case, accents in both forms, scripts, code, emoji, lines.
PROBES = (
    "0 7 42 123 2024 12345 1234567 3.14159 1,000,000 x2 v10b 50% 2²",
    " leading  two   three trailing ",
    "\ttab\t\ttabs\n\n\nlines\r\n  indented\n",
    "I'm, you're, HE'LL; don't! CamelCase UPPER lower_snake-kebab ...",
    "naïve café cafe\u0301 ÀÉÎ straße \ufb01ne \u00a0\u200b\ufeff",
    "今天天气很好。東京 カタカナ 한국어 Привет, мир! γειά שלום مرحبا नमस्ते ไทย",
    "def f(x):\n    return x**2 + {'a': [1, 2]}['a'][0]  # <tag/> && || != \\frac{1}{2}",
    "🙂👍🏽👩‍👩‍👧 — “quotes” …",
)


def read_tokenizer(directory: Path) -> Any:
    """The tokenizer of ``directory/tokenizer.json``, with the special tokens and the chat template
    of the files beside it; where that file is missing, what transformers makes of the others.

    Raises:
      ValueError: the files are unusable, want code of their own to run, or contradict each other.
    """
    # Late: it is slow to import, see run.cli._quiet_libraries.
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    with _one_error(directory):
        path = directory / CONFIG
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        wants_code = _names_code(config.get("auto_map"))
    if wants_code:
        raise ValueError(
            f"{path}: auto_map names code of the model's own, which is never run here; where "
            f"{FILE} alone is this tokenizer, delete that field in a copy of the directory"
        )
    if not (directory / FILE).is_file():
        with _one_error(directory, f"without {FILE}, {MAKE_FILE}"):
            return AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False)
    with _one_error(directory):
        file = Tokenizer.from_file(str(directory / FILE))
        given = _given_tokens(config)
        # Only in place of the config's own: given this argument, transformers does not read
        # special_tokens_map.json, in which older directories name their special tokens.
        forms = {"added_tokens_decoder": _token_forms(given, file)} if given else {}
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            str(directory), clean_up_tokenization_spaces=False, **forms
        )
    if problem := next(_contradictions(given, file, tokenizer), None):
        raise ValueError(f"{directory}: {CONFIG} contradicts {FILE}: {problem}; correct the former")
    return tokenizer


def write_tokenizer(directory: Path, tokenizer: Any) -> None:
    """Write a tokenizer's files so that transformers 4 and 5 read them alike.

    As transformers 5 names things, 4 ends in errors: it has no class TokenizersBackend and wants
    ``extra_special_tokens`` to be an object.
    """
    tokenizer.save_pretrained(directory)
    if not (directory / FILE).is_file():
        return  # of another backend, which its own class reads
    config = read_json(path := directory / CONFIG)
    config["tokenizer_class"] = FILES_OWN
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def misread(directory: Path) -> bool:
    """Whether ``AutoTokenizer`` splits texts otherwise than FILE. For some types of model, Qwen2
    among them, transformers 5 takes a class of its own, whichever CONFIG names."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    file = PreTrainedTokenizerFast.from_pretrained(str(directory))
    try:
        other = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False)
    except MALFORMED:  # the class has no use for such a vocabulary
        return True
    return any(
        other(text, add_special_tokens=False)["input_ids"]
        != file(text, add_special_tokens=False)["input_ids"]
        for text in PROBES
    )


def write_beside_weights(directory: Path, tokenizer: Any, generation: dict[str, Any]) -> None:
    """Write what a server needs beside the weights: tokenizer, chat template, generation settings
    without those that are None."""
    settings = {key: value for key, value in generation.items() if value is not None}
    (directory / GENERATION).write_text(json.dumps(settings, indent=2) + "\n")
    write_tokenizer(directory, tokenizer)


def generation_settings(base: Path, stops: tuple[int, ...]) -> dict[str, Any]:
    """``generation_config.json`` of a model trained from ``base``: the base's settings, by default
    with sampling, and ``stops``, the ids that end a turn."""
    path = base / GENERATION
    kept = read_json(path) if path.is_file() else {}
    # With this mark, transformers makes new settings from config.json when that has changed.
    kept.pop("_from_model_config", None)
    return {"do_sample": True, **kept, "eos_token_id": list(stops) or None}


@contextmanager
def _one_error(directory: Path, why: str = "") -> Iterator[None]:
    """Raise ValueError for any error that malformed files end in. The tokenizers library's errors
    have no class of their own, they are plain Exceptions."""
    try:
        yield
    except Exception as error:
        if not (isinstance(error, MALFORMED) or type(error) is Exception):
            raise
        reasons = "; ".join(filter(None, [why, repr(error)]))
        raise ValueError(f"{directory}: no usable tokenizer ({reasons})") from error


def _names_code(auto_map: Any) -> bool:
    """Whether ``auto_map`` has a tokenizer's class; older files have a list of two of them."""
    return bool(auto_map.get("AutoTokenizer") if isinstance(auto_map, dict) else auto_map)


def _given_tokens(config: dict[str, Any]) -> dict[int, AddedToken]:
    tokens = config.get("added_tokens_decoder") or {}
    return {int(number): AddedToken(**token) for number, token in tokens.items()}


def _token_forms(given: dict[int, AddedToken], file: Tokenizer) -> dict[int, AddedToken]:
    """Added tokens by id: the file's form of those that it has, else as ``given``."""
    vocabulary = file.get_vocab()
    more = {i: token for i, token in given.items() if token.content not in vocabulary}
    return {**more, **file.get_added_tokens_decoder()}


def _contradictions(given: dict[int, AddedToken], file: Tokenizer, tokenizer: Any) -> Iterator[str]:
    """Yield each text or id that ``tokenizer`` reads otherwise than ``file`` or ``given`` do."""
    for number, token in given.items():
        if (token_id := tokenizer.backend_tokenizer.token_to_id(token.content)) != number:
            yield f"{token.content!r} has the id {number} there and {token_id} here"
    file.no_truncation()
    file.no_padding()
    added = [token.content for token in file.get_added_tokens_decoder().values()]
    for text in (*PROBES, *(f"a {token} b{token}\n" for token in added)):
        want = file.encode(text, add_special_tokens=False).ids
        got = tokenizer(text, add_special_tokens=False)["input_ids"]
        if got != want:
            yield f"with it {text!r} becomes {got}, not {want}"
