"""Templates in the forms that published models have: what ends a turn, what is trained, what
nobody but the template writes, what a thought is."""

import json
import time

import pytest
from chat_models import CHATML, NEXT, PHI, R1, read_chat, write_tokenizer
from tokenizers import AddedToken, normalizers

from waltzjax.data.chat import stop_ids
from waltzjax.data.packing import chat_tokens
from waltzjax.data.template import Template
from waltzjax.data.thoughts import (
    ends_thought,
    is_thought_tag,
    names_thought,
    opens_thought,
    without_thought,
)
from waltzjax.run.runtime import load_tokenizer

LLAMA2 = (
    "{% set ns = namespace(start='') %}{% for m in messages %}{% if m.role == 'system' %}"
    "{% set ns.start = '<<SYS>>\n' + m.content + '\n<</SYS>>\n\n' %}{% elif m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + ns.start + m.content.strip() + ' [/INST]' }}"
    "{% set ns.start = '' %}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
# Mistral's of 2024: the system message stands in the last message of the user.
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set start = messages[0].content %}"
    "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}{% if m.role == 'user' %}"
    "[INST]{{ ' ' + (start + '\n\n' if start is defined and loop.last else '') + m.content }}"
    "[/INST]{% else %}{{ ' ' + m.content | trim + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    + NEXT
    + "{{ '<|assistant|>\n' }}{% endif %}"
)
OLMO = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + (eos_token if "
    "m.role == 'assistant' else '') }}{% if not loop.last or add_generation_prompt %}{{ '\n' }}"
    "{% endif %}{% endfor %}" + NEXT + "{{ '<|assistant|>\n' }}{% endif %}"
)
# Phi-4's: what a user says ends with the beginning of an answer.
PHI4 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + '<|im_end|>' }}{% else %}"
    "{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}"
    "{% if m.role == 'user' %}<|im_start|>assistant<|im_sep|>{% endif %}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + "
    "'<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    + NEXT
    + "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
COMMAND = (
    "{{ bos_token }}{% for m in messages %}{{ '<|TURN|><|' + {'user': 'USER', 'system': 'SYSTEM', "
    "'assistant': 'CHATBOT'}[m.role] + '|>' + m.content.strip() + '<|END|>' }}{% endfor %}"
    + NEXT
    + "<|TURN|><|CHATBOT|>{% endif %}"
)
BOS = {"bos_token": "<s>"}
FORMS = {  # template, special, added, eos, more settings; stops; what is trained; marks
    "Llama 2": (LLAMA2, ("<s>",), (), "</s>", BOS, {"</s>"}, " yes </s>",
        ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>", "[/IN[INST]ST]")),
    "Mistral": (MISTRAL, ("<s>", "[INST]", "[/INST]"), (), "</s>", BOS, {"</s>"}, " yes</s>",
        ("[/INST]", "</s>", "<s>")),
    "Zephyr": (ZEPHYR, ("<s>",), (), "</s>", BOS, {"</s>"}, "yes</s>",
        ("<|user|>", "<|assistant|>", "<|system|>", "</s>", "<|us</s>er|>")),
    "OLMo": (OLMO, (), (), "<|endoftext|>", {"bos_token": "<|endoftext|>"}, {"<|endoftext|>"},
        "yes<|endoftext|>", ("<|user|>", "<|assistant|>", "<|endoftext|>")),
    "Phi-3": (PHI, ("<|end|>", "<|user|>", "<|assistant|>"), (), "<|endoftext|>", {},
        {"<|end|>", "<|endoftext|>"}, "yes<|end|>", ("<|end|>", "<|system|>")),
    "Phi-4": (PHI4, ("<|im_start|>", "<|im_end|>", "<|im_sep|>"), (), "<|endoftext|>", {},
        {"<|im_end|>", "<|endoftext|>"}, "yes<|im_end|>", ("<|im_sep|>",)),
    "Llama 3": (LLAMA3, ("<s>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), (),
        "<|end_of_text|>", BOS, {"<|eot_id|>", "<|end_of_text|>"}, "yes<|eot_id|>",
        ("<|eot_id|>", "<|start_header_id|>", "<s>")),
    "Command R": ([{"name": "default", "template": COMMAND}, {"name": "rag", "template": "a"}],
        ("<s>", "<|TURN|>", "<|END|>"), ("<|USER|>", "<|CHATBOT|>", "<|TOOL|>"), "<|END|>", BOS,
        {"<|END|>"}, "yes<|END|>", ("<|USER|>", "<|CHATBOT|>", "<|SYSTEM|>", "<|TOOL|>")),
    "DeepSeek V3": (R1.replace("<think>\n", ""), ("<s>",),
        ("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜tool▁sep｜>"), "<｜end｜>",
        BOS, {"<｜end｜>"}, "yes<｜end｜>",
        ("<｜User｜>", "<think>", "</think>", "<｜tool▁sep｜>")),
}  # fmt: skip
TWO_TURNS = [
    {"role": "user", "content": "a?"}, {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "b?"}, {"role": "assistant", "content": "yes"},
]  # fmt: skip


@pytest.fixture(scope="module", params=FORMS)
def form(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("form")
    template, special, plain, eos, more, *wanted = FORMS[request.param]
    write_tokenizer(directory, template, special, plain, eos, **more)
    return read_chat(directory), *wanted


def test_what_ends_a_turn(form):
    chat, stops, *_ = form
    assert {*chat.tokenizer.convert_ids_to_tokens(stop_ids(chat.tokenizer))} == stops


@pytest.mark.parametrize("turns", [1, 2])
def test_each_turn_is_trained_with_its_end(form, turns):
    chat, _, trained, _ = form
    got = chat_tokens(chat, TWO_TURNS[: 2 * turns], stop_ids(chat.tokenizer))
    ids = [token for token, now in zip(got.token_ids, got.trained, strict=True) if now]
    assert chat.tokenizer.decode(ids) == trained * turns
    last = max(at for at, now in enumerate(got.trained) if now) + 1
    [shown] = chat.encode([chat.render(TWO_TURNS[: 2 * turns - 1])])
    assert got.token_ids[: len(shown)] == shown  # as in a rollout, also what stood behind a turn
    assert last - len(shown) == len(ids) // turns


def test_nobody_but_the_template_writes_its_marks(form):
    chat, *_, marks = form
    for mark in marks:
        for text in (f"hello {mark}you", f'{{"feedback": "hello {mark}you"}}'):
            honest = text.replace(mark, "")
            assert chat.problem_text(text) == chat.problem_text(honest)
            assert chat.feedback_text(text, text) == chat.feedback_text(honest, honest)
            assert chat.conversation_text(text, [(text, text)]) == (
                chat.conversation_text(honest, [(honest, honest)])
            )


READ_AS = {  # by a normaliser
    "capitals": (normalizers.Lowercase(), "<|IM_START|>"),
    "full width": (normalizers.NFKC(), "＜｜ｉｍ_start|＞"),
    "accents": (
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "<|ím_start|>"
    ),
    "no width": (normalizers.Replace("\u200b", ""), "<|im\u200b_start|>"),
    "joined": (normalizers.Lowercase(), "<|im_<|IM_START|>START|>"),
}  # fmt: skip


@pytest.mark.parametrize(("normalizer", "spelled"), READ_AS.values(), ids=READ_AS)
def test_what_a_normaliser_reads_as_a_token_is_one(tmp_path, normalizer, spelled):
    tokenizer = write_tokenizer(tmp_path, CHATML, ("<|im_end|>",))
    tokenizer.normalizer = normalizer
    tokenizer.add_tokens([AddedToken("<|im_start|>", special=False, normalized=True)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    chat = read_chat(tmp_path)
    honest, attack = (chat.problem_text(text) for text in ("say it", f"say {spelled}it"))
    assert chat.encode([attack]) == chat.encode([honest])


def test_tokens_deep_within_one_another_take_linear_time(tmp_path):
    """Where a level costs a pass, or a token the length of the text, it takes a minute."""
    tokenizer = write_tokenizer(tmp_path, CHATML, ("<|im_end|>",))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.add_tokens([AddedToken("<|im_start|>", special=False, normalized=True)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    chat = read_chat(tmp_path)
    deep = "<|IM_" * 5000 + "START|>" * 5000
    began = time.perf_counter()
    texts = [chat.problem_text(text) for text in (deep, "<|IM_START|>" * 10_000, "")]
    assert time.perf_counter() - began < 15
    start = tokenizer.token_to_id("<|im_start|>")
    counts = [list(ids).count(start) for ids in chat.encode(texts)]
    assert counts[0] == counts[1] == counts[2] > 0


@pytest.mark.parametrize(
    "text", ["x < y > z", "a[i] [A] [x, y]", "<b>bold</b>", "<div>", "I [sic]"]
)
def test_brackets_of_people_stay(tmp_path, text):
    write_tokenizer(tmp_path, LLAMA2, ("<s>",), eos="</s>", bos_token="<s>")
    assert text in read_chat(tmp_path).problem_text(text)


@pytest.mark.parametrize(
    ("template", "special", "system", "says"),
    [
        (MISTRAL, ("<s>",), True, "put the system message's text at the beginning of the user's"),
        (CHATML.replace("m.content", "(m.content if loop.last or m.role == 'user' else '')"),
         ("<|im_start|>",), False, "train on chats of one turn"),
        (CHATML.replace("m.content", "(m.content if loop.last else '')"), ("<|im_start|>",), False,
         "take a template that leaves what was shown alone"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_into_turns_gets_true_advice(tmp_path, template, special, system, says):
    write_tokenizer(tmp_path, template, (*special, "<|im_end|>"), eos="</s>", bos_token="<s>")
    chat = read_chat(tmp_path)
    messages = [{"role": "system", "content": "Be kind."}] * system + TWO_TURNS
    with pytest.raises(ValueError, match=says) as error:
        chat_tokens(chat, messages, stop_ids(chat.tokenizer))
    assert str(error.value).startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("template", [5, [{"name": "rag", "template": CHATML}]])
def test_a_template_that_is_none_is_told(tmp_path, template):
    write_tokenizer(tmp_path, CHATML)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**settings, "chat_template": template})
    )
    with pytest.raises(ValueError, match="no usable chat template") as error:
        Template(load_tokenizer(tmp_path))
    assert str(error.value).startswith(f"{tmp_path}: ")


TAGS = [
    ("<think>", "</think>"), ("<THINK>", "</Think>"), ("< thinking >", "< / thinking >"),
    ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"), ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|START_THINKING|>", "<|END_THINKING|>"),
]  # fmt: skip


@pytest.mark.parametrize(("opener", "closer"), TAGS)
def test_thoughts_between_the_tags_of_published_models(opener, closer):
    assert without_thought(f"{opener}so\n{closer}\n yes ") == "yes"
    assert without_thought(f"so{closer}yes", opened=True) == "yes"
    assert without_thought(f"{opener}so") is None and without_thought("so", opened=True) is None
    assert is_thought_tag(opener) and is_thought_tag(closer)
    assert opens_thought(f"a {opener}\n") and not opens_thought(closer)


def test_whether_a_policy_may_think_unasked():
    assert ends_thought("<think>\n\n</think>\n\n") and not ends_thought("</think> so")
    assert names_thought(R1) and not names_thought(CHATML)
