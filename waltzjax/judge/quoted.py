"""An exchange as a judge is shown it: its texts open no turn and do not end their quotation.

An agent that is trained against a judge could otherwise write the judge's labels itself.
"""

from __future__ import annotations

import re

from waltzjax.judge.imitation import frame_lines, plain

# The judge's tokenizer is the server's and not known here: what the tokenizers of common models
# read as one token wherever it stands (ChatML, Llama, Mistral, Gemma, DeepSeek, T5, GLM, BERT).
_CONTROL = re.compile(
    r"<[|｜][^<>|｜\s]+[|｜]?>|<[^<>|｜\s]+[|｜]>"  # <|im_end|>, <｜User｜>, <|turn>, <turn|>
    r"|</?(?:s|bos|eos|pad|unk|cls|sep|mask|sop|eop|eod|think|tools?|tool_\w+|function_\w+)>"
    r"|</?(?:start|end)_of_\w+>|<(?:unused\d+|reserved_\w*\d|extra_id_\d+)>|<<\s*(?:/\s*)?SYS\s*>>"
    r"|</?seed:\w+>|<fim_\w+>|<eo[ha]>|◁/?think▷"  # Seed, StarCoder, InternLM, Kimi
    r"|\[/?(?:INST|THINK|ARGS|CALL_ID|[gs]?MASK|CLS|SEP|PAD|UNK|BOS|EOS)\]"
    r"|\[/?(?:SYSTEM|TOOL|AVAILABLE)_[A-Z]+\]"  # [SYSTEM_PROMPT], [TOOL_CALLS], [AVAILABLE_TOOLS]
)
_TAG = re.compile(r"</?([^<>/\s]+)>")
JOINED = 3  # levels of tokens within one another whose removal joins what is around them
GAP = " … "  # stands for deeper ones: no pattern here matches it, so that it ends the joining


def without_control(text: str, others: str = "(?!)") -> str:
    """``text`` without control tokens that it spells out, nor what the pattern ``others`` finds,
    in time linear in ``text``."""
    pattern = re.compile(f"{_CONTROL.pattern}|(?i:{others})")
    levels = 0
    while (shorter := pattern.sub(GAP if levels >= JOINED else "", text)) != text:
        text, levels = shorter, levels + 1
    return text


def quoted(text: str, frame: str) -> str:
    """``without_control``, and so that ``text`` cannot pass for a part of ``frame``, the judge's
    message around it: tags of the frame are removed, and lines that begin as one of the frame's
    lines does, as ``frame_lines`` compares them, are marked with ``> ``."""
    names = "|".join(sorted({re.escape(name) for name in _TAG.findall(frame)})) or "(?!)"
    text = without_control(text, rf"<\s*(?:/\s*)?(?:{names})\s*>")
    begins = frame_lines(frame)
    lines = zip(text.splitlines(keepends=True), plain(text).splitlines(), strict=True)
    return "".join(f"> {line}" if begins.match(seen) else line for line, seen in lines)
