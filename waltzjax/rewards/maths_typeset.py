r"""One plain form of maths however it is typeset: fonts, colours, sizes, spaces, other characters.

Nothing here changes a value. All of it is linear in the text but for short lookaheads.
"""

from __future__ import annotations

import functools
import re

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "－": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ",
        "∙": r"\cdot ", "∗": "*", "÷": r"\div ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ",
        "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ",
        "±": r"\pm ", "∓": r"\mp ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "º": r"^\circ ",
        "％": r"\%", "＝": "=", "，": ",", "（": "(", "）": ")", "∣": "|", "∖": r"\setminus ",
        "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ",
        "λ": r"\lambda ", "μ": r"\mu ", "φ": r"\phi ", "ω": r"\omega ", "δ": r"\delta ",
        "ε": r"\epsilon ", "σ": r"\sigma ", "τ": r"\tau ", "ρ": r"\rho ", "∠": r"\angle ",
        "⟨": r"\langle ", "⟩": r"\rangle ", "√": r"\sqrt ", "∛": r"\sqrt[3] ", "⁄": "/", "∕": "/",
        "\u200b": "", "\u200c": "", "\u2060": "", "\ufeff": "", "\u00a0": "~", "\u202f": "~",
        "\u2009": "~", "\u2005": "~", "\u2006": "~", "\u200a": "~", "’": "'",
        **{half: rf"\frac{{{a}}}{{{b}}}" for half, a, b in (
            ("½", 1, 2), ("⅓", 1, 3), ("⅔", 2, 3), ("¼", 1, 4), ("¾", 3, 4), ("⅕", 1, 5),
            ("⅖", 2, 5), ("⅗", 3, 5), ("⅘", 4, 5), ("⅙", 1, 6), ("⅚", 5, 6), ("⅛", 1, 8),
            ("⅜", 3, 8), ("⅝", 5, 8), ("⅞", 7, 8), ("⅐", 1, 7), ("⅑", 1, 9), ("⅒", 1, 10),
        )},
    }
)  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|lg|exp|max|min|gcd|lcm|det"
)
_END = r"(?![A-Za-z])"

# In this order.
_RULES = [
    (re.compile(r"√ *(\d+(?:\.\d+)?)"), r"\\sqrt{\1}"),
    (re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+"), lambda m: f"^{{{m[0].translate(_RAISED)}}}"),
    (re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]+"), lambda m: f"_{{{m[0].translate(_LOWERED)}}}"),
    (re.compile(""), None),  # the characters
    # What is not seen, or only how it looks.
    (re.compile(r"\\(?:h?phantom|vphantom|[hv]space\*?|label|tag\*?|mspace) *\{[^{}]*\}"), ""),
    (
        re.compile(
            rf"\\(?:(?:text|math)color|colorbox|color) *(?:\[[^][{{}}]*\])? *\{{[^{{}}]*\}}"
        ),
        "",
    ),
    (
        re.compile(
            r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|nonumber|notag|boldmath|"
            r"boldsymbol|bold|bm|pmb|mathbf|mathit|mathsf|mathtt|mathnormal|mathop|mathord|"
            r"ensuremath|underline|uline|uuline|uwave|ul|hl|smash|framebox|emph|mathstrut|strut|negthinspace|em|normalfont|(?:rm|sf|tt|bf)family|tiny|scriptsize|footnotesize|small|normalsize|[lL]arge|"
            rf"LARGE|[hH]uge|bf|rm|it|sf|tt|(?:bf|md)series|(?:it|sl|up)shape|boxed|fbox){_END}"
        ),
        "",
    ),
    (re.compile(rf"\\(?:left|right|middle|[bB]igg?[lrm]?){_END} *\.?"), ""),
    (re.compile(rf"\\operatorname\*? *\{{ *({_FUNCTIONS}) *\}}"), r"\\\1 "),
    (
        re.compile(r"\\(?:mathrm|text(?:rm|bf|it|sf|tt|sl|sc|normal|up|md)?|[mh]box)" + _END),
        r"\\text",
    ),
    (re.compile(rf"\\text *\{{ *({_FUNCTIONS}) *\}}"), r"\\\1 "),
    (re.compile(r"\\text *\{ *([ei]) *\}"), r"{\1}"),
    (re.compile(r"\\text *\{ *\\?% *\}"), r"\\%"),
    (re.compile(r"\\text *\{([\s,;]*)\}"), r"\1"),
    (re.compile(r"\\text *\{([^{}A-Za-z]*)\}"), r"{\1}"),  # numbers and signs
    (re.compile(r"(?<!\\)\{ *\}"), ""),
    (re.compile(r"\{\{(\d+)\}\}"), r"{\1}"),
    (re.compile(r"(?:\\text *)?\{ *(\^ *\\circ) *\}"), r"\1"),
    (re.compile(r"\\dot *\{?(\d)\}?(\d*)\\dot *\{?(\d)\}?"), r"\\overline{\1\2\3}"),
    (re.compile(r"\((\d+)\)(?= *_)"), r"\1"),
    (re.compile(r"\\text *(?=\{[^{}]*[{\\])"), ""),  # maths
    # Groups of three digits.
    (
        re.compile(
            r"(?<![\d.])(?:(?<!,)|(?<=\\,))(\d{1,3}(?:(?: *(?:\{\\?,\}|, *\\!|\\[,:;! ]|\\thinspace(?![A-Za-z])|~) *)\d{3})+)(?!\d)"
        ),
        lambda m: re.sub(r"\D", "", m[1]),
    ),
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<!\\)\\[()\[\]]"), " "),  # delimiters of maths; "\\[" ends a matrix's row
    (re.compile(r"(?<!\\)\\[,;:> ]|~|\\(?:q?quad|enspace|thinspace)(?![A-Za-z])|\s+"), " "),
    (re.compile(r" {2,}"), " "),
    # Other names.
    (re.compile(r"\\(?:[dtcsx]|nice)frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"(?:^|\{)([^{}]*)\\over(?![A-Za-z])([^{}]*)(?:\}|$)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    (re.compile(r"\\frac *(\d) *(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac *(\d) *\{"), r"\\frac{\1}{"),
    (re.compile(r"(\\frac *\{[^{}]*\}) *(\d)"), r"\1{\2}"),
    (re.compile(r"\\(?:leqslant|leq|le)(?![A-Za-z])|<="), r"\\le "),
    (re.compile(r"\\(?:geqslant|geq|ge)(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\(?:neq|ne)(?![A-Za-z])|!="), r"\\ne "),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:varnothing|empty)(?![A-Za-z])"), r"\\emptyset"),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\[lr]vert(?![A-Za-z])"), "|"),
    (re.compile(r"\\colon(?![A-Za-z])"), ":"),
    (re.compile(r"\\mathbb *R(?![A-Za-z])"), r"\\mathbb{R}"),
    (
        re.compile(
            r"\\degree(?![A-Za-z])|\^ *\\circ(?![A-Za-z])|\^ *\{ *\\circ *\}|(?<=\d)\^(?:o|\{ *o *\})$"
        ),
        r"^\\circ ",
    ),
    (re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])"), r"\\pi"),
    (re.compile(r"(?<![A-Za-z\\])infinity(?![A-Za-z])"), r"\\infty"),
    (re.compile(rf"(?<![A-Za-z\\])(sqrt|{_FUNCTIONS})(?= *\()"), r"\\\1"),
    (re.compile(r"(?:\\text *\{ *|(?<![A-Za-z]))per ?cent(?![A-Za-z])(?: *\})?", re.I), r"\\%"),
    # Marks of other languages than LaTeX's.
    (re.compile(r"(?<!\S)\*\*([^*]+)\*\*(?![\w(])"), r"\1"),  # bold; elsewhere ** is a power
    (re.compile(r"`+"), ""),
    (re.compile(r"(?<!\\)\$+"), ""),
]
_ESCAPED = re.compile(r"\\{2,}(?=[A-Za-z{}$%!,;])")  # once too often
_STOP = re.compile(r"(?<![.\\])[.,;:]$")  # a sentence's, not that of 0.333...
_BEFORE = re.compile(
    r"(?:\\therefore|\\implies|\\Rightarrow|\\text *\{ *exactly *\}|exactly(?= )|"
    r"(?:\\text *\{ *)?(?:the )?(?:final )?answer *(?:(?:is *)?:(?: *\})?|is(?: *\}| )|\}? *=)) *",
    re.I,
)
_BASE = re.compile(
    r"(?<=\d) *(?:_ *\{ *)?[({]* *(?:\\text *\{ *)?\(?base *\}? *(\d+)(?: *[)}])*$|_ *\{ *\((\d+)\) *\}$"
)
_EQUALS = re.compile(r" *\\text *\{ *(?:equals|is equal to) *\} *| +(?:equals|is equal to) +")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_DEGREES = re.compile(r" *\^\\circ *(?:\\text *\{ *)?([CF]?)(?: *\})?$")
_SCALES = {"": "degrees", "C": "degrees celsius", "F": "degrees fahrenheit"}


@functools.lru_cache(4096)
def tidy(text: str) -> str:
    """``text`` without typesetting that changes no value: delimiters of maths, spaces, bold, the
    sentence's full stop; fractions in one form. Idempotent but for its last stop."""
    if "\\begin" not in text:
        text = _ESCAPED.sub(r"\\", text)
    for pattern, plain in _RULES:
        text = text.translate(_CHARACTERS) if plain is None else pattern.sub(plain, text)
    text = _STOP.sub("", text.strip(" *")).strip(" *")
    text = _EQUALS.sub(" = ", _BEFORE.sub("", text, count=1) if _BEFORE.match(text) else text)
    text = _BASE.sub(lambda m: f"_{m[1] or m[2]}", _without_braces(text))
    if not _TRIGONOMETRY.search(text):
        text = _DEGREES.sub(lambda m: rf" \text{{{_SCALES[m[1]]}}}", text)
    return text


def _without_braces(text: str) -> str:
    r"""The content of "{12}", of "{{12}}", and of "\text{12 apples}" if that is all."""
    whole = re.fullmatch(r"\\text *\{ *([^{}]*(?:\d|=)[^{}]*)\}", text)
    if whole:
        return whole[1].strip()
    while text.startswith("{") and closing(text, 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def closing(text: str, start: int) -> int:
    """Where the brace at ``start`` closes; -1 if nowhere."""
    depth, place = 0, start
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            if not depth:
                return place
        place += 1
    return -1
