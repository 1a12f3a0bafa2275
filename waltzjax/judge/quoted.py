"""An exchange as a judge is shown it: its texts open no turn and do not end their quotation.

An agent that is trained against a judge could otherwise write the judge's labels itself.
"""

from __future__ import annotations

import re

from waltzjax.data.text import normalised

# The judge's tokenizer is the server's and not known here: what the tokenizers of common models
# read as one token wherever it stands (ChatML, Llama, Mistral, Gemma, DeepSeek, T5, GLM, BERT).
_CONTROL = re.compile(
    r"<[|｜][^<>|｜\s]+[|｜]?>|<[^<>|｜\s]+[|｜]>"  # <|im_end|>, <｜User｜>, <|turn>, <turn|>
    r"|</?(?:s|bos|eos|pad|unk|cls|sep|mask|sop|eop|eod|think|tools?|tool_\w+|function_\w+)>"
    r"|</?(?:start|end)_of_\w+>|<(?:unused|reserved_\w*?|extra_id_)\d+>|<<\s*/?SYS\s*>>"
    r"|</?seed:\w+>|<fim_\w+>|<eo[ha]>|◁/?think▷"  # Seed, StarCoder, InternLM, Kimi
    r"|\[/?(?:INST|THINK|ARGS|CALL_ID|[gs]?MASK|CLS|SEP|PAD|UNK|BOS|EOS)\]"
    r"|\[/?(?:SYSTEM|TOOL|AVAILABLE)_[A-Z]+\]"  # [SYSTEM_PROMPT], [TOOL_CALLS], [AVAILABLE_TOOLS]
)
_TAG = re.compile(r"</?([^<>/\s]+)>")


def without_control(text: str, others: str = "(?!)") -> str:
    """``text`` without control tokens that it spells out, nor what the pattern ``others`` finds."""
    pattern = re.compile(f"{_CONTROL.pattern}|(?i:{others})")
    while (shorter := pattern.sub("", text)) != text:  # a removal may join another one
        text = shorter
    return text


def quoted(text: str, frame: str) -> str:
    """``without_control``, and so that ``text`` cannot pass for a part of ``frame``, the judge's
    message around it: tags of the frame are removed, and lines that begin as one of the frame's
    lines does, in whatever case, width or emphasis, are marked with ``> ``."""
    names = "|".join(sorted({re.escape(name) for name in _TAG.findall(frame)})) or "(?!)"
    text = without_control(text, rf"<\s*/?\s*(?:{names})\s*>")
    own = tuple(filter(None, map(_bare, frame.splitlines())))
    lines = text.splitlines(keepends=True)
    return "".join(f"> {line}" if _bare(line).startswith(own) else line for line in lines)


def _bare(line: str) -> str:
    """A line without what may decorate or number it; a line of such marks alone is itself."""
    plain = re.sub(r"\s+:", ":", normalised(line))
    return re.sub(r"^[\W\d_]+", "", plain) or plain
