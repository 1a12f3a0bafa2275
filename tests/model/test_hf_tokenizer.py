"""The tokenizer in use is that of tokenizer.json, and an export of it is read by all alike."""

import json
import re
import shutil

import pytest
from tokenizer_forms import END, FORMS, START, TEMPLATE, TEXTS, write_form
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from waltzjax.model.hf.tokenizer import (
    FILE,
    PROBES,
    generation_settings,
    misread,
    read_tokenizer,
    write_tokenizer,
)
from waltzjax.toy.base_model import train_tokenizer

# Texts other than those compared at load.
OTHERS = (
    "12345", "5 + 17 = 22, 3.5e-10", "année 1999\nÅngström", "void main() {\n\treturn 0;\n}",
    f"{START}user\n99 red balloons{END}\n", "a <tool_call> b<tool_call>{}\n", "漢字かな交じり文 🚀",
    " ", "\n\n", "e\u0301t\u00e9  e\u0301",
)  # fmt: skip
MESSAGES = [{"role": "user", "content": "What is 12345 + 1?"}]
FIRST = next(iter(FORMS))


def ids(tokenizer, texts=(*PROBES, *OTHERS)):
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def ids_of_file(directory, texts=(*PROBES, *OTHERS)):
    file = Tokenizer.from_file(str(directory / FILE))
    return [file.encode(text, add_special_tokens=False).ids for text in texts]


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", FORMS)
def test_texts_become_the_ids_of_the_file(name, tmp_path):
    write_form(tmp_path, name)
    tokenizer, want = read_tokenizer(tmp_path), ids_of_file(tmp_path)
    assert ids(tokenizer) == want
    file = Tokenizer.from_file(str(tmp_path / FILE))
    for row in want:
        assert tokenizer.decode(row) == file.decode(row, skip_special_tokens=False)
    assert tokenizer.eos_token == END and tokenizer.chat_template == TEMPLATE


def test_classes_would_read_otherwise(tmp_path):
    """The forms are not vacuous: of these, transformers makes other ids than the file."""
    misread = [
        name for i, name in enumerate(FORMS)
        if write_form(tmp_path / str(i), name)
        and ids(AutoTokenizer.from_pretrained(tmp_path / str(i))) != ids_of_file(tmp_path / str(i))
    ]  # fmt: skip
    assert len(misread) >= 5


CHANGES = {  # of tokenizer_config.json; none of them may change how a text is split
    "a padding token that the file lacks": {"pad_token": "[PAD]"},
    "a space put before": {"add_prefix_space": True},
    "spaces cleaned up": {"clean_up_tokenization_spaces": True},
    "beginning added": {"add_bos_token": True, "bos_token": START},
    "older names": {"additional_special_tokens": [START], "use_fast": False, "legacy": True},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_settings_do_not_change_the_ids(changes, tmp_path):
    write_form(tmp_path, FIRST, **changes)
    tokenizer = read_tokenizer(tmp_path)
    assert ids(tokenizer) == ids_of_file(tmp_path)
    assert tokenizer.decode(ids(tokenizer, ["no , not 12 !"])[0]) == "no , not 12 !"


def test_tokens_have_the_form_of_the_file(tmp_path):
    size = write_form(tmp_path, FIRST).get_vocab_size()
    other = {"lstrip": True, "rstrip": True, "normalized": True, "single_word": True}
    tokens = {size - 3: {"content": "<tool_call>", **other}, size: {"content": "<more>"}}
    write_form(tmp_path, FIRST, added_tokens_decoder=tokens)
    tokenizer = read_tokenizer(tmp_path)
    assert ids(tokenizer) == ids_of_file(tmp_path)
    assert ids(tokenizer, ["<more>"]) == [[size]]


def test_lengths_kept_in_the_file_are_not_kept_to(tmp_path):
    file = write_form(tmp_path, FIRST)
    file.enable_truncation(4)
    file.enable_padding(length=64)
    file.save(str(tmp_path / FILE))
    tokenizer = read_tokenizer(tmp_path)
    file.no_truncation()
    file.no_padding()
    assert ids(tokenizer, OTHERS) == [file.encode(t, add_special_tokens=False).ids for t in OTHERS]


def test_special_tokens_of_an_older_directory(tmp_path):
    write_form(tmp_path, FIRST)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": END}))
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.eos_token == END and ids(tokenizer) == ids_of_file(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split_special_tokens": True}, r"with it 'a .* becomes \[.*\], not \["),
        ({"added_tokens_decoder": {"7": {"content": END}}}, "'<|im_end|>' has the id 7 there and"),
        ({"added_tokens_decoder": {"8": {"content": "<new>"}}}, "'<new>' has the id 8 there and"),
        ({"added_tokens_decoder": {"999": {"content": "<new>"}}}, "'<new>' has the id 999 there"),
    ],
    ids=["control tokens split", "another id", "an id that is taken", "an id after a gap"],
)
def test_files_that_contradict_each_other(changes, says, tmp_path):
    write_form(tmp_path, FIRST, **changes)
    begins = f"{tmp_path}: tokenizer_config.json contradicts tokenizer.json: "
    with pytest.raises(ValueError, match=re.escape(begins) + says.replace("|", r"\|")) as error:
        read_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


CODE = ["tokenization_super.Super", None]


@pytest.mark.parametrize("auto_map", [{"AutoTokenizer": CODE}, CODE, CODE[::-1]])
@pytest.mark.parametrize("file", [True, False], ids=["with a file", "without"])
def test_code_of_a_model_is_never_run_nor_asked_about(auto_map, file, tmp_path, monkeypatch):
    write_form(tmp_path, FIRST, tokenizer_class="Super", auto_map=auto_map)
    (tmp_path / "tokenization_super.py").write_text("raise SystemExit('it ran')")
    if not file:
        (tmp_path / FILE).unlink()
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    with pytest.raises(ValueError, match="auto_map names code of the model's own") as error:
        read_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def test_code_for_other_things_is_no_matter(tmp_path):
    write_form(tmp_path, FIRST, auto_map={"AutoProcessor": "processing.Super"})
    edit(tmp_path / "config.json", auto_map={"AutoConfig": "configuration.Super"})
    assert ids(read_tokenizer(tmp_path)) == ids_of_file(tmp_path)


def test_without_the_file_the_vocabulary_is_read(tmp_path):
    file = write_form(tmp_path, "llama, a class that is nowhere", tokenizer_class="GPT2Tokenizer")
    file.model.save(str(tmp_path))
    (tmp_path / FILE).unlink()
    ids_of_vocabulary = ids(read_tokenizer(tmp_path), TEXTS)
    assert [file.decode(row) for row in ids_of_vocabulary] == TEXTS


EXPORTED = {
    "plain": {},
    "special tokens as 4 names them": {"additional_special_tokens": [START, "<tool_call>"]},
    "as 5 names them": {"extra_special_tokens": [START], "tokenizer_class": "TokenizersBackend"},
    "tokens of forms": {"bos_token": {"__type": "AddedToken", "content": START, "lstrip": False}},
    "tokens that the file lacks": {"pad_token": "[PAD]", "image_token": "<image>"},
}


@pytest.mark.parametrize("changes", EXPORTED.values(), ids=EXPORTED)
@pytest.mark.parametrize("name", [FIRST, "llama, Metaspace", "qwen3, lower case"])
def test_exports_are_read_by_all_alike(name, changes, tmp_path):
    write_form(tmp_path / "base", name, **changes)
    tokenizer = read_tokenizer(tmp_path / "base")
    out = tmp_path / "out"
    out.mkdir()
    write_tokenizer(out, tokenizer)
    shutil.copy(tmp_path / "base/config.json", out)
    config = json.loads((out / "tokenizer_config.json").read_text())
    # transformers 4 ends in an error at a class it lacks, or at a list where it wants an object.
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not isinstance(config.get("extra_special_tokens"), list)
    wanted = {START, "<tool_call>"} & {
        *changes.get("additional_special_tokens", []), *changes.get("extra_special_tokens", [])
    }  # fmt: skip
    assert {*config.get("additional_special_tokens", [])} == wanted
    for again in (read_tokenizer(out), AutoTokenizer.from_pretrained(out)):
        assert ids(again) == ids(tokenizer) == ids_of_file(tmp_path / "base")
        assert again.special_tokens_map == tokenizer.special_tokens_map
        assert {*again.all_special_tokens} == {*tokenizer.all_special_tokens}
        rendered = again.apply_chat_template(MESSAGES, tokenize=False)
        assert rendered == tokenizer.apply_chat_template(MESSAGES, tokenize=False)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_misread_in_spite_of_the_class_is_told(name, tmp_path):
    write_form(tmp_path / "base", name)
    (out := tmp_path / "out").mkdir()
    write_tokenizer(out, read_tokenizer(tmp_path / "base"))
    shutil.copy(tmp_path / "base/config.json", out)
    assert misread(out) == name.startswith("qwen2,")


def test_a_fresh_tokenizer_is_exported_alike(tmp_path):
    fresh = train_tokenizer(TEXTS, 400, single_digits=True)
    write_tokenizer(tmp_path, fresh)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] == ["<|system|>", "<|user|>", "<|assistant|>"]
    again = read_tokenizer(tmp_path)
    assert ids(again) == ids(fresh) and again.chat_template == fresh.chat_template


SETTINGS = {"temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.05}


@pytest.mark.parametrize(
    ("given", "stops", "right"),
    [
        (None, (2,), {"do_sample": True}),
        (SETTINGS, (2, 5), {"do_sample": True, **SETTINGS}),
        ({"do_sample": False, "eos_token_id": 2}, (2, 7), {"do_sample": False}),
        ({"_from_model_config": True, "eos_token_id": [2]}, (2,), {"do_sample": True}),
        (
            {"min_p": 0.1, "bos_token_id": 9},
            (3,),
            {"do_sample": True, "min_p": 0.1, "bos_token_id": 9},
        ),
        ({"max_length": 99}, (), {"do_sample": True, "max_length": 99}),
    ],
)
def test_generation_settings_are_the_bases(given, stops, right, tmp_path):
    if given is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(given))
    want = {**right, "eos_token_id": list(stops) or None}
    assert generation_settings(tmp_path, stops) == want


def test_generation_settings_that_are_no_object(tmp_path):
    (tmp_path / "generation_config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"generation_config\.json: expected a JSON object"):
        generation_settings(tmp_path, (2,))
