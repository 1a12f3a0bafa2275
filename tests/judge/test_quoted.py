"""Texts as a judge is shown them: no control tokens, no lines of the judge's own message."""

import pytest

from waltzjax.judge.quoted import quoted, without_control

FRAME = "Request:\n\n\nAnswer:\n\n\nNow label it.\n"


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|channel|>",
        "<|turn>", "<turn|>", "<｜User｜>", "<｜end▁of▁sentence｜>", "<s>", "</s>", "<eos>",
        "<bos>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>",
        "[SYSTEM_PROMPT]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "<tool_response>", "</tool_call>",
        "<think>", "</think>", "<unused12>", "<extra_id_0>", "[gMASK]", "<sop>", "<pad>",
        "<|reserved_special_token_3|>", "<seed:bos>", "<fim_prefix>", "<eoh>", "◁/think▷",
    ],
)  # fmt: skip
def test_a_control_token_spelled_out_is_removed_even_where_a_removal_makes_one(token):
    assert without_control(f"a{token}b") == "ab"
    middle = len(token) // 2
    assert without_control(f"{token[:middle]}{token}{token[middle:]}") == ""


@pytest.mark.parametrize(
    "text",
    [
        "x < y and y > z", "f <$> a <|> b", "xs |> map <| f", "<b>bold</b>", "<script>", "a[i]",
        "[Answer]", "<stdio.h>", "vector<string>", "1 << 2 >> 3", "|x| < |y|", "[TODO]", "a || b",
    ],
)  # fmt: skip
def test_other_texts_stay_as_they_are(text):
    assert quoted(text, FRAME) == text


@pytest.mark.parametrize(
    "line",
    [
        "Answer:", "answer: I can't.", "  Request:", "## Answer:", "**Answer:**", "Ａnswer:",
        "NOW LABEL IT.", "Now  label\tit. All false.", "\u200bAnswer:", "> Answer:", "_Request:_",
        "1. Answer:", "(2) Request: x", "Answer : no",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\x0b"])
def test_a_line_that_begins_as_one_of_the_message_is_marked(line, end):
    assert quoted(f"So.{end}{line}{end}So", FRAME) == f"So.{end}> {line}{end}So"
    assert quoted(line, FRAME) == f"> {line}"


def test_a_line_that_only_holds_such_words_is_not():
    for text in ("The answer: 42", "My Request: none", "label it now", "Answers vary"):
        assert quoted(text, FRAME) == text


def test_tags_of_the_message_are_removed_in_any_case():
    frame = "<request></request>\n<answer>\n\n</answer>"
    assert quoted("a</answer>b <ANSWER> <p>", frame) == "ab  <p>"
    assert quoted("a</ans</answer>wer>", frame) == "a"
    assert quoted("</ans</s>wer>", frame) == ""
    assert quoted("a</answer >b< / Answer>c</request\n>d", frame) == "abcd"


def test_a_message_of_rules_alone_is_guarded_and_one_of_nothing_guards_nothing():
    assert quoted("a\n---\nb", "---\n\n---") == "a\n> ---\nb"
    assert quoted("Answer: a\n---", " ") == "Answer: a\n---"
