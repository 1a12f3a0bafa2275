"""Tokens that become text as they come: the text of all of them, for the cost of the new ones."""

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from chat_models import CHATML, read_chat, write_tokenizer
from support import tiny_chat

from waltzjax.serve.detokenizer import UNREADABLE, Detokenizer


@cache
def byte_chat():
    with TemporaryDirectory() as directory:
        write_tokenizer(Path(directory), CHATML, ("<|im_start|>", "<|im_end|>", "<think>"))
        return read_chat(Path(directory))


@pytest.mark.parametrize("chat", [byte_chat, tiny_chat])
@pytest.mark.parametrize("seed", range(3))
def test_the_text_is_that_of_all_tokens(chat, seed):
    """Random tokens: half characters, white space and control tokens are among them."""
    rng = random.Random(seed)
    for _ in range(40):
        words = Detokenizer(chat().decode_part)
        ids = [rng.randrange(len(chat().tokenizer)) for _ in range(60)]
        ids += chat().tokenizer(" Grüße, 5 € für 日本", add_special_tokens=False)["input_ids"]
        end = 0
        while end < len(ids):
            end += rng.randint(1, 4)
            got, want = words.text(ids[:end]), chat().decode_part(ids[:end])
            assert got.rstrip(UNREADABLE) == want.rstrip(UNREADABLE)
        assert got == want


@pytest.mark.parametrize("text", ["a word ", "\n", "\x80"])
def test_each_token_is_decoded_a_few_times(text):
    """Also where a model repeats white space, or bytes that are no character."""
    chat, decoded = byte_chat(), 0

    def decode(ids):
        nonlocal decoded
        decoded += len(ids)
        return chat.decode_part(ids)

    [first, *_] = chat.tokenizer.convert_tokens_to_ids(["Ģ"]) if text == "\x80" else [0]
    ids = [first] * 2000
    if text != "\x80":
        ids = chat.tokenizer(text * 2000, add_special_tokens=False)["input_ids"][:2000]
    words = Detokenizer(decode)
    for end in range(1, 2001):
        words.text(ids[:end])
    print(decoded)
    assert decoded < 2000 * 40
