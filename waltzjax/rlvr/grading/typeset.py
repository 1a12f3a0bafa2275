r"""One plain form of maths however it is typeset: fonts, colours, sizes, spaces, other characters.

Nothing here changes a value. All of it is linear in the text but for short lookaheads.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

CHARACTERS = str.maketrans(
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
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n")
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|lg|exp|max|min|gcd|lcm|det"
)
_LOOKS = (  # commands that only change how what follows looks
    "displaystyle|textstyle|scriptstyle|limits|nolimits|nonumber|notag|boldmath|boldsymbol|bold|bm|"
    "pmb|mathbf|mathit|mathsf|mathtt|mathnormal|mathop|mathord|ensuremath|underline|uline|uuline|"
    "uwave|ul|hl|smash|framebox|emph|mathstrut|strut|negthinspace|em|normalfont|"
    "(?:rm|sf|tt|bf)family|(?:bf|md)series|(?:it|sl|up)shape|tiny|scriptsize|footnotesize|small|"
    "normalsize|[lL]arge|LARGE|[hH]uge|bf|rm|it|sf|tt|boxed|fbox"
)
_TEXTS = r"\\(?:mathrm|text(?:rm|bf|it|sf|tt|sl|sc|normal|up|md)?|[mh]box)"
_E = r"(?![A-Za-z])"  # the end of a command
_GROUP = r" *\{[^{}]*\}"
_SEPARATES = rf"(?:\{{\\?,\}}|, *\\!|\\[,:;! ]|\\thinspace{_E}|~)"  # groups of three digits

_Change = str | Callable[[re.Match[str]], str]
# All rules are applied in their order.
_BEFORE_CHARACTERS: list[tuple[str, _Change]] = [
    (r"√ *(\d+(?:\.\d+)?)", r"\\sqrt{\1}"),
    ("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+", lambda m: f"^{{{m[0].translate(RAISED)}}}"),
    ("[₀₁₂₃₄₅₆₇₈₉₊₋]+", lambda m: f"_{{{m[0].translate(LOWERED)}}}"),
]
_LAYOUT: list[tuple[str, _Change]] = [
    (rf"\\(?:h?phantom|vphantom|[hv]space\*?|label|tag\*?|mspace){_GROUP}", ""),
    (rf"\\(?:(?:text|math)color|colorbox|color) *(?:\[[^][{{}}]*\])?{_GROUP}", ""),
    (rf"\\(?:{_LOOKS}){_E}", ""),
    (rf"\\(?:left|right|middle|[bB]igg?[lrm]?){_E} *\.?", ""),
    (rf"\\operatorname\*? *\{{ *({_FUNCTIONS}) *\}}", r"\\\1 "),
    (_TEXTS + _E, r"\\text"),
    (rf"\\text *\{{ *({_FUNCTIONS}) *\}}(?= *[\w\\({{^])", r"\\\1 "),  # at the end: minutes
    (r"\\text *\{ *([A-Za-z]) *\}(?= *=)", r"\1"),  # the unknown
    (r"\\text *\{ *([ei]) *\}", r"{\1}"),
    (r"\\text *\{ *\\?% *\}", r"\\%"),
    (r"\\text *\{([\s,;]*)\}", r"\1"),
    (r"\\text *\{([^{}A-Za-z]*)\}", r"{\1}"),  # numbers and signs
    (r"(?<!\\)\{ *\}", ""),
    (r"\{\{(\d+)\}\}", r"{\1}"),
    (r"(?:\\text *)?\{ *(\^ *\\circ) *\}", r"\1"),
    (r"\((\d+)\)(?= *_)", r"\1"),
    (r"\\text *(?=\{[^{}]*[{\\])", ""),  # maths
    (
        rf"(?<![\d.])(?:(?<!,)|(?<=\\,))(\d{{1,3}}(?:(?: *{_SEPARATES} *)\d{{3}})+)(?!\d)",
        lambda m: re.sub(r"\D", "", m[1]),
    ),
    (r"\\!", ""),
    (r"(?<!\\)\\[()\[\]]", " "),  # delimiters of maths; "\\[" ends a matrix's row
    (rf"(?<!\\)\\[,;:> ]|~|\\(?:q?quad|enspace|thinspace){_E}|\s+", " "),
    (r" {2,}", " "),
]
_OTHER_NAMES: list[tuple[str, _Change]] = [
    (rf"\\(?:[dtcsx]|nice)frac{_E}", r"\\frac"),
    (rf"(?:^|\{{)([^{{}}]*)\\over{_E}([^{{}}]*)(?:\}}|$)", r"\\frac{\1}{\2}"),
    (rf"\\[dt]binom{_E}", r"\\binom"),
    (r"\\frac *(\d) *(\d)", r"\\frac{\1}{\2}"),
    (r"\\frac *(\d) *\{", r"\\frac{\1}{"),
    (r"(\\frac *\{[^{}]*\}) *(\d)", r"\1{\2}"),
    (r"\\dot *\{?(\d)\}?(\d*)\\dot *\{?(\d)\}?", r"\\overline{\1\2\3}"),
    (rf"\\(?:leqslant|leq|le){_E}|<=", r"\\le "),
    (rf"\\(?:geqslant|geq|ge){_E}|>=", r"\\ge "),
    (rf"\\(?:neq|ne){_E}|!=", r"\\ne "),
    (rf"\\lt{_E}", "<"),
    (rf"\\gt{_E}", ">"),
    (rf"\\(?:varnothing|empty){_E}", r"\\emptyset"),
    (rf"\\lbrace{_E}", r"\\{"),
    (rf"\\rbrace{_E}", r"\\}"),
    (rf"\\[lr]vert{_E}", "|"),
    (rf"\\colon{_E}", ":"),
    (rf"\\mathbb *R{_E}", r"\\mathbb{R}"),
    (rf"\\degree{_E}|\^ *\\circ{_E}|\^ *\{{ *\\circ *\}}|(?<=\d)\^(?:o|\{{ *o *\}})$", r"^\\circ "),
    (rf"(?<![A-Za-z\\])pi{_E}", r"\\pi"),
    (rf"(?<![A-Za-z\\])infinity{_E}", r"\\infty"),
    (rf"(?<![A-Za-z\\])(sqrt|{_FUNCTIONS})(?= *\()", r"\\\1"),
    (rf"(?i:(?:\\text *\{{ *|(?<![A-Za-z]))per ?cent{_E}(?: *\}})?)", r"\\%"),
    # Marks of other languages than LaTeX's.
    (r"(?<!\S)\*\*([^*]+)\*\*(?![\w(])", r"\1"),  # bold
    (r"(?<=[\w)}])\*\*(?=[\w({-])", "^"),
    (r"^(\\text *\{)? *(?i:option|choice) +(?=\(?[A-E]\)?(?: *\})?$)", r"\1"),
    (r"`+", ""),
    (r"(?<![A-Za-z])US *(?=\\?\$)", ""),
    (r"(?<!\\)\$+", ""),
]
_FIRST = [(re.compile(pattern), plain) for pattern, plain in _BEFORE_CHARACTERS]
_THEN = [(re.compile(pattern), plain) for pattern, plain in _LAYOUT + _OTHER_NAMES]
_ESCAPED = re.compile(r"\\{2,}(?=[A-Za-z{}$%!,;])")  # once too often
_STOP = re.compile(r"(?<![.\\])[.,;:]$")  # a sentence's, not that of 0.333...
_BEFORE = re.compile(
    r"(?:\\therefore|\\implies|\\Rightarrow|\\text *\{ *exactly *\}|exactly(?= )|"
    r"(?:\\text *\{ *)?(?:the )?(?:final )?answer *(?:(?:is *)?:(?: *\})?|is(?: *\}| )|\}? *=)) *",
    re.I,
)
_BASE = re.compile(
    r"(?<=\d) *(?:_ *\{ *)?[({]* *(?:\\text *\{ *)?\(?base *\}? *(\d+)(?: *[)}])*$"
    r"|_ *\{ *\((\d+)\) *\}$"
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
    for pattern, plain in _FIRST:
        text = pattern.sub(plain, text)
    text = text.translate(CHARACTERS)
    for pattern, plain in _THEN:
        text = pattern.sub(plain, text)
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
