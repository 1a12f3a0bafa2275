r"""Other forms of a label, by kind: its value as people and models write it.

Nothing of the graders is used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Forms = Iterator[tuple[str, str]]  # kind, answer

_AROUND = {
    "font": (
        r"\boldsymbol{%s}", r"\mathbf{%s}", r"\bm{%s}", r"{\bf %s}", r"\boldsymbol{{%s}}",
    ),
    "colour": (
        r"\textcolor{red}{%s}", r"\color{blue}{%s}", r"\color{red} %s", r"{\color{green}%s}",
        r"\textcolor[rgb]{1,0,0}{%s}",
    ),
    "size": (
        r"\Large %s", r"{\large %s}", r"\displaystyle %s", r"\underline{%s}", r"\huge{%s}",
    ),
    "space": (r"\,%s\,", r"\;%s", r"%s\quad", "  %s  ", r"~%s", r"%s\!"),
    "delimiters": ("$%s$", "$$%s$$", r"\(%s\)", r"\[%s\]", "{%s}"),
    "words around": (r"\text{Answer: }%s", r"\therefore %s", "%s.", r"\boxed{%s}"),
}  # fmt: skip
_UNITS = (
    "apples", "dollars", "miles per hour", "cm", "students", "USD", "square feet", "hrs", "kg",
    "units", "people", "m/s", "ounces", "litres", "meals", "cents per pound",
)  # fmt: skip
_UNICODE = {
    r"\pi": "π", r"\infty": "∞", r"\cup": "∪", r"\le ": "≤", r"\ge ": "≥", r"\pm": "±",
    r"\in ": "∈", "-": "−", "^2": "²", "^3": "³", "^5": "⁵", r"^\circ": "°",
}  # fmt: skip


def right_forms(label: str) -> Forms:
    """(kind, answer) of the label's value written otherwise."""
    for kind, patterns in _AROUND.items():
        for pattern in patterns:
            yield kind, pattern.replace("%s", label)
    if "frac" in label:
        for name in ("dfrac", "tfrac", "cfrac"):
            yield "fraction", re.sub(r"\\[dt]?frac", rf"\\{name}", label)
        yield "fraction", re.sub(r"\\[dt]?frac *\{(\d)\} *\{(\d)\}", r"\\frac\1\2", label)
        yield (
            "fraction",
            re.sub(r"\\[dt]?frac *\{(\d+)\} *\{(\d+)\}(?!.)", r"{\1 \\over \2}", label),
        )
    if "(" in label and r"\left" not in label:
        yield "brackets", label.replace("(", r"\left(").replace(")", r"\right)")
        yield "brackets", label.replace("(", r"\bigl( ").replace(")", r" \bigr)")
    for latex, character in _UNICODE.items():
        if latex in label and not (latex == "-" and "text" in label):
            yield "unicode", label.replace(latex, character)
    if match := re.fullmatch(r"\\sqrt\{?(\d+)\}?|(\d+) ?\\sqrt\{?(\d+)\}?", label):
        front, inside = match[2] or "", match[1] or match[3]
        yield "root", rf"{front}√{inside}"
        yield "root", rf"{front or 1}\cdot {inside}^{{1/2}}"
        yield "root", rf"\sqrt{{{int(front or 1) ** 2 * int(inside)}}}"
    for kind, maker in (
        (r"-?\d+", _right_integer),
        (r"-?\\[dt]?frac *\{\d+\} *\{\d+\}", _right_fraction),
        (r"-?\d*\.\d+", _right_decimal),
        (r"\d+\^\\circ", _right_degrees),
        (r"\d+_\{?\d\}?", _right_base),
        (r"\\begin\{pmatrix\}.*", _right_matrix),
        (r"[^()\[\]{}=]+,[^()\[\]{}=]+", _right_list),
        (r"[(\[][^,]+,[^,]+[)\]]", _right_interval),
        (r"\\text\{\(?\w+\)?\}", _right_word),
    ):
        if re.fullmatch(kind, label) and not re.fullmatch(r".*,\\!.*", label):
            yield from maker(label)


def _right_integer(label: str) -> Forms:
    n = int(label)
    for form in (f"{n}.0", f"{n}.", f"x = {n}", f"= {n}", f"({n})", rf"\text{{{n}}}", f"+{n}"):
        yield "number", form.replace("+-", "-")
    yield "number", f"exactly {n}"
    if abs(n) >= 1000:
        for mark in (",", "{,}", r",\!", r"\,", " ", r"\ ", "~", r"\;"):
            yield "thousands", f"{n:,}".replace(",", mark)
    for unit in _UNITS:
        yield "unit", f"{n} {unit}"
        yield "unit", rf"{n}\text{{ {unit}}}"
    for form in (rf"\${n}", rf"{n}\$", rf"{n}\text{{ cm}}^2", rf"{n}\ \mathrm{{m}}"):
        yield "unit", form
    yield "unit", rf"{n} \text{{ (units)}}"
    for form in (
        f"{n - 3} + 3",
        rf"\frac{{{2 * n}}}{{2}}",
        rf"{n}\times 1",
        rf"{n}\times 10^{{0}}",
        rf"\sqrt{{{n * n}}} - {abs(n) - n}",
        rf"{n}.0 \cdot 10^0",
        f"{10 * n}/10",
        f"{n}e0",
    ):
        yield "arithmetic", form


def _right_fraction(label: str) -> Forms:
    sign = "-" if label.startswith("-") else ""
    over, under = map(int, re.findall(r"\d+", label))
    for form in (
        f"{sign}{over}/{under}",
        f"{sign}{over} / {under}",
        rf"\frac{{{sign}{over}}}{{{under}}}",
        rf"{sign}\frac{{{3 * over}}}{{{3 * under}}}",
        rf"{sign}{over} \div {under}",
        rf"{sign}{over}\cdot {under}^{{-1}}",
        rf"{sign}({over}/{under})",
        f"−{over}/{under}" if sign else f"{over}⁄{under}",
        rf"{sign}\left(\frac{{{over}}}{{{under}}}\right)",
    ):
        yield "fraction", form
    if over > under and over % under:
        whole, rest = divmod(over, under)
        yield "mixed number", rf"{sign}{whole}\frac{{{rest}}}{{{under}}}"
        yield "mixed number", rf"{sign}{whole} \dfrac{{{rest}}}{{{under}}}"
        yield "mixed number", f"{sign}{whole} {rest}/{under}"
    if 10**8 % under == 0:
        yield "decimal", f"{sign}{over / under:.8f}".rstrip("0")
        yield "percent", rf"{sign}{100 * over / under:.6f}".rstrip("0").rstrip(".") + r"\%"
        yield "percent", f"{sign}{100 * over / under:.6f}".rstrip("0").rstrip(".") + " percent"
    if under in (3, 9, 11, 33, 99):
        digits = f"{over % under * 99 // under:02d}"
        yield "repeating", rf"{sign}{over // under}.\overline{{{digits}}}"
    yield "unit", rf"{label}\text{{ cm}}"
    yield "unit", f"{label} hours"


def _right_decimal(label: str) -> Forms:
    yield "decimal", f"{label}0"
    yield "decimal", label.replace("-", "").lstrip("0") if label[0] == "0" else f"{label}00"
    yield "arithmetic", rf"{label}\times 10^0"
    yield "arithmetic", f"{label}e0"
    yield "unit", rf"{label}\text{{ m}}"


def _right_degrees(label: str) -> Forms:
    n = label.split("^")[0]
    for form in (n, rf"{n}\degree", f"{n}°", rf"{n}^{{\circ}}", rf"{n}\text{{ degrees}}"):
        yield "degrees", form
    yield "degrees", f"{n} degrees"


def _right_base(label: str) -> Forms:
    n, base = re.findall(r"\d+", label)
    for form in (n, f"{n}_{base}", f"{n}_{{{base}}}", rf"{n}_{{\text{{{base}}}}}", f"({n})_{base}"):
        yield "base", form
    yield "base", n + chr(ord("₀") + int(base))


def _right_matrix(label: str) -> Forms:
    yield "matrix", label.replace("pmatrix", "bmatrix")
    yield "matrix", label.replace(r"\end", r"\\ \end")
    yield "matrix", label.replace(" ", "")
    array = label.replace(r"\begin{pmatrix}", r"\begin{array}{ccc}")
    yield "matrix", rf"\left({array.replace('pmatrix', 'array')}\right)"


def _right_list(label: str) -> Forms:
    parts = [part.strip() for part in label.split(",")]
    for joint in (
        " and ",
        r" \text{ and } ",
        " or ",
        r"\text{ or }",
        ";",
        r",\,",
        r",\text{ and }",
    ):
        yield "list", joint.join(parts)
    yield "list", ",".join(reversed(parts))
    yield "list", ", ".join(f"x = {part}" for part in parts)
    yield "list", rf"\{{{label}\}}"


def _right_interval(label: str) -> Forms:
    low, high = (part.strip() for part in label[1:-1].split(","))
    yield "interval", f"{label[0]}{low} , {high}{label[-1]}"
    if r"\infty" not in label and label[0] == "(" and label[-1] == ")":
        return  # may be a point
    more, less = ("<" if label[0] == "(" else r"\le"), ("<" if label[-1] == ")" else r"\leq")
    if r"\infty" not in label:
        yield "interval", f"{low} {more} x {less} {high}"
    elif high == r"\infty":
        yield "interval", f"x {more.replace('<', '>').replace('le', 'ge')} {low}"
        yield "interval", f"{low} {more} x"
    elif low == r"-\infty":
        yield "interval", f"x {less} {high}"
    yield "interval", rf"x \in {label}"
    yield "interval", rf"\{{x \mid x \in {label}\}}"


def _right_word(label: str) -> Forms:
    word = label.removeprefix(r"\text{").removesuffix("}")
    for form in (word, rf"\textbf{{{word}}}", rf"\mathrm{{{word}}}", rf"\text{{{word}.}}"):
        yield "word", form


def every(forms: Callable[[str], Forms], label: str) -> list[tuple[str, str]]:
    """The forms of a label that differ from it, each once."""
    return [(kind, form) for form, kind in {f: k for k, f in forms(label)}.items() if form != label]
