"""A tokenizer that cannot be read is one error with its directory; the random choices of a step."""

import json

import pytest
import transformers

from waltzjax.run.runtime import load_tokenizer, step_rng
from waltzjax.toy.base_model import train_tokenizer


def edited(**changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


MALFORMED = {  # file, what becomes of its text, the error that transformers or tokenizers ends in
    "cut short": ("tokenizer.json", lambda text: text[:-1], "Exception"),
    "no fields": ("tokenizer.json", lambda _: "{}", "Exception"),
    "a list": ("tokenizer.json", lambda _: "[]", "Exception"),
    "another version": ("tokenizer.json", edited(version="9"), "Exception"),
    "no model": ("tokenizer.json", edited(model={}), "Exception"),
    "config a list": ("tokenizer_config.json", lambda _: "[]", "AttributeError"),
    "token a number": ("tokenizer_config.json", edited(eos_token=3), "TypeError"),
    "too deep": ("tokenizer_config.json", lambda _: "[" * 100_000, "RecursionError"),
    "tokens of no form": (
        "tokenizer_config.json",
        edited(added_tokens_decoder={"7": "<x>"}),
        "TypeError",
    ),
}


@pytest.fixture
def directory(tmp_path):
    train_tokenizer(["a short text"], 300).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    return tmp_path


def test_a_tokenizer_is_read(directory):
    assert load_tokenizer(directory).encode("a") == train_tokenizer(["a"], 300).encode("a")


@pytest.mark.parametrize(("name", "change", "kind"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_files_are_one_error(directory, name, change, kind):
    path = directory / name
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match="no usable tokenizer") as caught:
        load_tokenizer(directory)
    assert str(caught.value).startswith(f"{directory}: ")
    assert type(caught.value.__cause__).__name__ == kind


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), MemoryError()])
def test_what_files_do_not_cause_is_not_said_of_them(directory, monkeypatch, error):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "from_pretrained", broken)
    with pytest.raises(type(error)):
        load_tokenizer(directory)


def test_a_chat_template_is_wanted(directory):
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        load_tokenizer(directory)
    assert load_tokenizer(directory, template=False).chat_template is None


def test_the_choices_of_a_step_are_of_seed_and_step_alone():
    drawn = {(s, n): step_rng(s, n).integers(2**60) for s in (3, 4) for n in (0, 1, 5)}
    assert len({*drawn.values()}) == len(drawn)
    assert drawn[4, 5] == step_rng(4, 5).integers(2**60)
