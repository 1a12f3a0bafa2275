r"""The reflect signal: an answer that was checked, by another computation, before it was given.

A check is announced ("Check:", "substituting back", "let me verify"), after a candidate for the
answer was reached, and before the first ``\boxed{}``. What it computes must be true, must begin
with numbers of the solution, must not have been computed before in any order or with any padding,
and must come back to where the solution came from: from the answer to a number that led to it
(``59 - 25 = 34``), or along another way to the answer once more. What cannot be evaluated exactly
earns nothing: answers in letters, checks in words. A signal that is not checked is one that a
policy learns to fake. [ours]
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from waltzjax.rlvr.grading.answer import boxes, loops
from waltzjax.rlvr.signals.algebra import (
    Form,
    Node,
    Number,
    agree,
    is_number,
    leaves,
    moved,
    pads,
    size,
)
from waltzjax.rlvr.signals.given import Grounds, given, ground
from waltzjax.rlvr.signals.relations import Chain, chains

_CUE = re.compile(
    r"\b(?:(?:double|re)?-?check|verif|confirm|valid(?:ate|ati)|re-?(?:comput|calculat)|substitut"
    r"|plug|sanity|test(?:ing|ed)?\b|make sure|making sure|proof|backwards?|(?:in )?reverse"
    r"|inverse|(?:an)?other way|alternatively|indeed|satisf)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?;](?!\S)|\n")
_MOST_VALUES = 4  # of one answer: the roots of an equation, a point
_MOST_SIGNS = 600  # + - * / = before the box: more is no check but a search for one
_MOST_DERIVED = 32  # numbers that a check goes through
_MOST_FORMS = 8  # of one value that are remembered
_SAME = 1e-6  # relative: rounding of float64 is far below, another answer moves a result far above
# π1's label, 12.8 for an exact 12.70, satisfies its equation to 2.4 %.
_ABOUT = 0.03


class _Solution(NamedTuple):
    """The part of a text before the check. ``computed``: a computation came to the answer;
    ``known``: the numbers up to where it did, or to where the answer was first stated: no later
    ones, which may have been made of it; ``grounds``: what the problem has to do with them."""

    computed: bool
    known: frozenset[Number]
    grounds: Grounds | None


class _Derived(NamedTuple):
    """A number that the check came to.

    origin: the numbers it was made of. otherwise: what it would be if the answer were another
    number: 59 * 34 / 59 would be the same, and so checks nothing. again: it uses a number that is
    already in what it goes on from, as 9 + 25 + 25 after 34 - 25 = 9: it takes away what it adds.
    """

    origin: frozenset[Number]
    otherwise: float
    again: bool


def reflect_score(text: str, problem: str | None = "") -> float:
    r"""How much of the final answer was checked before it was given, in [0, 1].

    1: a check of it, see above; with several values in the ``\boxed{}`` the share of them that
    were; further checks add nothing. 0 with false arithmetic in what follows the announcement, so
    that guessing until one is true does not pay, and for a text that loops.

    Args:
      text: the answer as decoded, without special tokens.
      problem: what it answers. All numbers of the check must then be the answer's, the problem's or
        made of these by the solution's own true computations, and enough of the problem's numbers
        must stand behind it (``signals.given.Grounds``); under a problem that gives no numbers
        nothing can be checked. None: any numbers of the solution will do.
    """
    boxed = boxes(text)
    if not boxed or not (content := boxed[-1].content) or loops(text):
        return 0.0
    values = _values(content)
    if not values:
        return 0.0
    before = text[: boxed[0].start]
    cues = [match.start() for match in _CUE.finditer(before)]
    if not cues or sum(map(before.count, "+-*/=")) > _MOST_SIGNS:
        return 0.0
    written = chains(before)
    grounds = None if problem is None else ground(written, given(problem))
    return sum(_checked(before, written, cues, v, grounds) for v in values) / len(values)


def _values(content: str) -> list[Number]:
    """The numbers that an answer consists of; [] if any part of it is not one."""
    content = re.sub(r"\\(?:left|right)(?![a-zA-Z])|\\[{}]|\\text\{[^{}]*\}", "", content).strip(
        " $"
    )
    if re.search(r"[,;]\s", content) and content[:1] in "([{" and content[-1:] in ")]}":
        content = content[1:-1]
    last = [chain.pieces[-1] for chain in chains(content)]
    nodes = [node for node in last if node is not None]
    if len(nodes) != len(last) or len(nodes) > _MOST_VALUES:
        return []
    return list(dict.fromkeys(node.value for node in nodes))


def _checked(
    text: str,
    written: Sequence[Chain],
    cues: Sequence[int],
    answer: Number,
    grounds: Grounds | None,
) -> bool:
    computed = next((c for c in written if _lands_on(c, answer)), None)
    stated = next((c for c in written if _states(c, answer)), None)
    if stated is None:
        return False
    starts = [(computed, True)] if computed else []
    if computed is None or stated.end < computed.end:
        starts.append((stated, False))
    for reach, is_computed in starts:
        after = max(reach.end, stated.end)
        cue = next((at for at in cues if at >= after), None)
        if cue is None:
            continue
        *_, sentence = [0, *(m.end() for m in _SENTENCE_END.finditer(text, after, cue))]
        begin = max(after, sentence)
        known = _numbers(c for c in written if c.start < reach.end)
        if grounds:
            known = grounds.gives.named.union(filter(grounds.holds, known))
        solution = _Solution(is_computed, known, grounds)
        if _passes(written, begin, solution, answer):
            return True
    return False


def _passes(written: Sequence[Chain], begin: int, solution: _Solution, answer: Number) -> bool:
    """Whether the chains from ``begin`` on check the answer."""
    forms: dict[Number, list[Form]] = {}
    derived: dict[Number, _Derived] = {}
    passed = False
    for chain in written:
        checks = chain.start >= begin
        nodes = [node for node in chain.pieces if node is not None]
        if checks and not _true(chain, nodes):
            return False
        ends = [size(n.value) for n in (nodes[:1] + nodes[-1:]) if is_number(n)]
        for node in nodes:
            if is_number(node):
                continue
            earlier = forms.setdefault(node.value, [])
            fresh = not any(pads(node.form, form) for form in earlier)
            if fresh and len(earlier) < _MOST_FORMS:
                earlier.append(node.form)
            allowed = solution.known | derived.keys() | {size(answer)}
            used = set(leaves(node.form))
            if checks and solution.grounds and not all(map(solution.grounds.holds, used - allowed)):
                return False  # a number from elsewhere
            if not (checks and ends and used <= allowed):
                continue
            came = _derive(node, derived, answer)
            for end in ends:
                if end in solution.known or end == size(answer):
                    behind = came.origin | used | {end, size(answer)}
                    grounded = not solution.grounds or solution.grounds.enough(behind, size(answer))
                    back = fresh and grounded and _returns(node, end, came, solution, answer)
                    passed = passed or back
                elif len(derived) < _MOST_DERIVED:
                    derived.setdefault(end, came)
    return passed


def _derive(node: Node, derived: Mapping[Number, _Derived], answer: Number) -> _Derived:
    """Where a computation comes from, and what it would come to with another answer."""
    used = set(leaves(node.form))
    through = frozenset(n for d in used & derived.keys() for n in derived[d].origin)
    numbers = {n: d.otherwise for n, d in derived.items()}
    numbers[size(answer)] = 1.37 * float(size(answer)) + 0.73
    try:
        otherwise = moved(node.form, numbers)
    except (OverflowError, ZeroDivisionError):
        otherwise = float(node.value)
    direct = frozenset(used - derived.keys())
    return _Derived(direct | through, otherwise, bool(direct & through))


def _returns(node: Node, end: Number, came: _Derived, solution: _Solution, answer: Number) -> bool:
    """A computation comes back: from the answer to what led to it, or to the answer anew."""
    value = float(node.value)
    depends = abs(came.otherwise - value) > _SAME * max(abs(value), 1.0)
    if end != size(answer):
        return depends
    return solution.computed and not (depends or came.again) and node.value == answer


def _true(chain: Chain, nodes: Sequence[Node]) -> bool:
    inexact = any(leaf != int(leaf) for node in nodes for leaf in leaves(node.form))
    tolerance = _ABOUT if chain.about and inexact else 0.0
    return all(agree(a, b, tolerance) for a, b in itertools.pairwise(nodes))


def _lands_on(chain: Chain, answer: Number) -> bool:
    return any(
        node is not None
        and node.value == answer
        and not is_number(node)
        and size(answer) not in leaves(node.form)
        for node in chain.pieces
    )


def _states(chain: Chain, answer: Number) -> bool:
    last = chain.pieces[-1]
    return last is not None and is_number(last) and last.value == answer


def _numbers(written: Iterable[Chain]) -> frozenset[Number]:
    """All numbers, without signs, that stand in these chains, and what their pieces come to."""
    return frozenset(n for chain in written for n in chain.numbers)
