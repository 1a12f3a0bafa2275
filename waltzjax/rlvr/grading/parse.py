r"""One expression of maths, LaTeX or plain, as a tree; nothing is guessed and nothing left out."""

from __future__ import annotations

from fractions import Fraction

from waltzjax.rlvr.grading.tree import (
    FUNCTIONS,
    TRIGONOMETRY,
    Cursor,
    Token,
    Tree,
    Unreadable,
    is_name,
    is_number,
    names,
    number,
)

_TIMES = ("*", "\\cdot", "\\times", "\\ast")
_OVER = ("/", "\\div")
_ROUNDS = {"\\lfloor": "floor", "\\lceil": "ceil"}
_CLOSES = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_STARTS = frozenset(
    ("\\pi", "e", "i", "\\frac", "\\binom", "\\sqrt", "\\lfloor", "\\lceil")
) | frozenset(f"\\{name}" for name in FUNCTIONS)
_MOST_DEPTH = 60


def parse(text: str) -> Tree:
    """The tree of a tidy text. Raises Unreadable."""
    reader = _Reader(text)
    tree = reader.sum()
    if reader.peek() is not None:
        raise Unreadable(text)
    return tree


class _Reader(Cursor):
    """Recursive descent over the tokens; each method reads what it is named after."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._bars = 0, 0

    def peek(self, ahead: int = 0) -> Token | None:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def _take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("it ends too early")
        self.place += 1
        return token

    def _expect(self, token: str) -> None:
        if self.take() != token:
            raise Unreadable(f"no {token}")

    def sum(self) -> Tree:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Unreadable("too deep")
        tree = self._signed()
        while self.peek() in ("+", "-"):
            sign, term = self.take(), self._signed()
            tree = ("+", tree, term if sign == "+" else ("neg", term))
        self._depth -= 1
        return tree

    def _signed(self) -> Tree:
        if self.peek() in ("+", "-"):
            sign, term = self.take(), self._product()
            return term if sign == "+" else ("neg", term)
        return self._product()

    def _product(self) -> Tree:
        tree = self._mixed() or self._factor()
        while True:
            token = self.peek()
            if token in _TIMES or token in _OVER:
                self.take()
                negative = self.peek() == "-"
                if negative:
                    self.take()
                factor = self._mixed() or self._factor()
                factor = ("neg", factor) if negative else factor
                tree = ("/" if token in _OVER else "*", tree, factor)
            elif self._starts_factor():
                tree = ("*", tree, self._factor())
            else:
                return tree

    def _starts_factor(self) -> bool:
        """Whether a factor follows without a sign between. A number does so only behind a closed
        bracket: "2 3" and "x5" are no products."""
        token = self.peek()
        if token is None:
            return False
        if is_number(token):
            if self.tokens[self.place - 1] not in (")", "]", "}"):
                raise Unreadable("a number follows")
            return True
        if token == "{" and (
            (inside := self.peek(1)) in ("+", "-", "\\frac") or is_number(inside or "?")
        ):
            raise Unreadable("2{3} is typeset as 23, 2{+3} as 2+3, 2{\\frac12} as a mixed number")
        if token == "|":
            return not self._bars
        return token in ("(", "[", "{") or is_name(token) or token in _STARTS

    def _mixed(self) -> Tree | None:
        r"""2\frac{1}{3}: the sum of a whole number and a fraction; None if it is none."""
        whole, rest = self.peek(), self.tokens[self.place + 1 : self.place + 8]
        if not (isinstance(whole, str) and whole.isdigit() and rest[:1] == ["\\frac"]):
            return None
        if len(rest) < 7 or [rest[1], rest[3], rest[4], rest[6]] != ["{", "}", "{", "}"]:
            return None
        above, below = rest[2], rest[5]
        if not all(isinstance(part, str) and part.isdigit() for part in (above, below)):
            return None
        self.place += 8
        if self.peek() == "^":
            raise Unreadable("a power of a mixed number")
        return ("+", number(whole), ("/", number(str(above)), number(str(below))))

    def _factor(self) -> Tree:
        tree = self._atom()
        if self.peek() == "!":
            self.take()
            tree = ("!", tree)
        if self.peek() == "^" and not self._at_degrees():
            self.take()
            tree = ("^", tree, self._exponent())
        if self.peek() in ("!", "^", "_") and not self._at_degrees():
            raise Unreadable("two of these in a row")
        return tree

    def _exponent(self) -> Tree:
        if self.peek() in ("+", "-"):
            sign, tree = self.take(), self._exponent()
            return tree if sign == "+" else ("neg", tree)
        token = self.peek()
        if isinstance(token, str) and token.isdigit():
            self.take()
            return number(token)
        return self._argument()

    def _argument(self) -> Tree:
        """A command's argument: a group, a digit, a letter or a command with its own."""
        token = self.peek()
        if token == "{":
            return self._bracketed()
        if isinstance(token, str) and token.isdigit():
            self.tokens[self.place : self.place + 1] = (
                [token[0], token[1:]] if token[1:] else [token]
            )
            self.take()
            return number(token[0])
        return self._atom()

    def _bracketed(self, *, angle: bool = False) -> Tree:
        opened = str(self.take())
        bars, self._bars = self._bars, 0
        tree = self._degrees(self.sum()) if angle else self.sum()
        self.expect(_CLOSES[opened])
        self._bars = bars
        return tree

    def _atom(self) -> Tree:
        token = self.peek()
        if token in _CLOSES:
            tree = self._bracketed()
            return (_ROUNDS[str(token)], tree) if token in _ROUNDS else tree
        if token == "|" and not self._bars:
            self.take()
            self._bars = 1
            tree = self.sum()
            self.expect("|")
            self._bars = 0
            return ("abs", tree)
        token = self.take()
        if isinstance(token, Fraction):
            return ("number", token)
        if is_number(token):
            return number(token)
        if token in ("\\pi", "e", "i"):
            return ("constant", token.lstrip("\\"))
        if is_name(token):
            return ("name", token + self._subscript())
        if token == "\\frac":
            return ("/", self._argument(), self._argument())
        if token == "\\binom":
            return ("binom", self._argument(), self._argument())
        if token == "\\sqrt":
            return self._root()
        if token.lstrip("\\") in FUNCTIONS:
            return self._function(token.lstrip("\\"))
        raise Unreadable(token)

    def _subscript(self) -> str:
        if self.peek() != "_":
            return ""
        self.take()
        if self.peek() != "{":
            token = self.take()
            if not (is_name(token) or is_number(token)):
                raise Unreadable("a subscript")
            return f"_{token}"
        end = self.tokens.index("}", self.place) if "}" in self.tokens[self.place :] else 0
        inside = self.tokens[self.place + 1 : end]
        self.place = end + 1
        if not inside or any(token in ("{", "_", "^") for token in inside):
            raise Unreadable("a subscript")
        return "_" + "".join(map(str, inside))

    def _root(self) -> Tree:
        degree = self._bracketed() if self.peek() == "[" else None
        token = self.peek()
        if isinstance(token, str) and token.isdigit():
            self.take()
            inside = number(token)
        else:
            inside = self._argument()
        return ("root", inside, degree) if degree else ("sqrt", inside)

    def _function(self, name: str) -> Tree:
        base, power = number("10"), None
        if name in ("log", "lg") and self.peek() == "_":
            self.take()
            base = self._argument()
        if self.peek() == "^":
            self.take()
            power = self._exponent()
        if power == ("neg", number("1")) and name in TRIGONOMETRY[:3]:
            name, power = "arc" + name, None
        if power is not None and names(power) == frozenset() and power[0] == "neg":
            raise Unreadable("a negative power of a function's name")
        angle = name in TRIGONOMETRY
        if angle and self.peek() in ("(", "[", "{"):
            inside = self._bracketed(angle=True)
        else:
            inside = self._function_argument()
        inside = self._degrees(inside) if angle else inside
        tree: Tree = ("log", inside, base) if name in ("log", "lg") else (name, inside)
        return tree if power is None else ("^", tree, power)

    def _at_degrees(self) -> bool:
        return (self.peek(), self.peek(1)) == ("^", "\\circ")

    def _degrees(self, angle: Tree) -> Tree:
        """``angle`` in radians, if a sign of degrees follows."""
        if not self._at_degrees():
            return angle
        self.place += 2
        return ("/", ("*", angle, ("constant", "pi")), number("180"))

    def _function_argument(self) -> Tree:
        """A function's argument: brackets, or else factors up to a sign or a function: sin 2x."""
        if self.peek() in ("(", "[", "{", "|"):
            return self._atom()
        tree = self._plain_factor()
        while self._is_plain():
            tree = ("*", tree, self._plain_factor())
        if self.peek() in _OVER:
            raise Unreadable("sin x/2 may be two things")
        return tree

    def _is_plain(self) -> bool:
        token = self.peek()
        return token is not None and (
            is_name(token) or token in ("\\pi", "e", "i", "\\frac", "\\sqrt")
        )

    def _plain_factor(self) -> Tree:
        tree = self._atom()
        if self.peek() == "^" and not self._at_degrees():
            self.take()
            tree = ("^", tree, self._exponent())
        return tree
