"""Characters outside of ASCII that stand for maths, and what LaTeX writes for them."""

from __future__ import annotations

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
