"""A key of the config: its default, what it may be, who reads it, what it means.

Each section of the config is one file: a table ``KEYS`` of these records, and the relations that
its keys keep with others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from ml_collections import ConfigDict

from waltzjax.types import COLDEST, CONVERSATION, FEEDBACK, POLICY

EMBEDDED = "embedded"  # a model, or data, that is made from nothing
SFT = "sft"  # the stage of supervised fine-tuning
RLVR = "rlvr"  # the stage of RL from verifiable rewards on maths; it stands alone
DPO = "dpo"  # the stage of preferences; it stands alone

# Readers: a stage reads the keys of EVERY and TRAIN, of what it is made of (``StageSpec.reads``),
# of the roles it trains, and of its own name.
EVERY = "every command"
TRAIN = "training"
WALTZ = "WaltzRL"  # two agents, prompts, a judge
MATHS = "maths"  # problems with answers, and one policy
REINFORCE = "reinforcement"
SELF_PLAY = "reinforcement of WaltzRL"
VERIFIED = "reinforcement on maths"
CHATS = "supervised fine-tuning"
PREFERENCES = "preferences"
COLLECT = "waltzjax.collect"
SERVE = "waltzjax.serve"

COLLECT_READS = frozenset({EVERY, MATHS, COLLECT})
SERVE_READS = frozenset({EVERY, SERVE})
COMMAND_READS = {COLLECT: COLLECT_READS, SERVE: SERVE_READS}  # of commands that run no stage
ROLES = (CONVERSATION, FEEDBACK, POLICY)


class Bound(NamedTuple):
    """The values a key may have by itself: a test, and the same in words, after "allowed"."""

    holds: Callable[[Any], bool]
    words: str


class OnlyIf(NamedTuple):
    """A key that is read only where another one's value passes a test; ``words`` say which."""

    holds: Callable[[ConfigDict], bool]
    words: str


class Key(NamedTuple):
    """One knob.

    default: its value where nobody sets it; a given value has the same type.
    bound: what it may be by itself.
    readers: who reads it, of the names above, of roles and of stages; any of them is enough.
    meaning: what it does, in which unit. Sources: [paper] arXiv 2510.08240; [source] the project's
      reference runs; [ours] nothing says it.
    """

    default: Any
    bound: Bound
    readers: Collection[str]
    meaning: str
    only_if: OnlyIf | None = None


Keys = Mapping[str, Any]  # name -> Key, or a group of such


class Spec(Protocol):
    """The parts of a stage that the config's rules read; ``stages.stage.StageSpec`` has them."""

    @property
    def reads(self) -> Collection[str]: ...
    @property
    def roles(self) -> Callable[[ConfigDict], tuple[str, ...]]: ...
    @property
    def job(self) -> Any: ...


ANY = Bound(lambda v: True, "is anything")
FRACTION = Bound(lambda v: 0 <= v <= 1, "is [0, 1]")
BELOW_1 = Bound(lambda v: 0 <= v < 1, "is [0, 1)")
TEMPERATURE = Bound(lambda v: v >= COLDEST, f"is >= {COLDEST:g}")
GREEDY_OR_TEMPERATURE = Bound(lambda v: v == 0 or v >= COLDEST, f"is 0 or >= {COLDEST:g}")


def at_least(least: float) -> Bound:
    return Bound(lambda v: v >= least, f"is >= {least:g}")


def above(limit: float) -> Bound:
    return Bound(lambda v: v > limit, f"is > {limit:g}")


def one_of(*names: str) -> Bound:
    return Bound(lambda v: v in names, f"are {', '.join(names)}")


def flat(keys: Keys, path: str = "") -> Iterator[tuple[str, Key]]:
    """(dotted path, key) of every key of a table."""
    for name, value in keys.items():
        where = f"{path}.{name}" if path else name
        if isinstance(value, Key):
            yield where, value
        else:
            yield from flat(value, where)


def value_at(c: ConfigDict, path: str) -> Any:
    for name in path.split("."):
        c = c[name]
    return c


def readers_of(name: str, spec: Spec, c: ConfigDict) -> frozenset[str]:
    """The readers whose keys the stage ``name`` reads."""
    return frozenset({EVERY, TRAIN, name, *spec.reads, *spec.roles(c)})


def readers_in(c: ConfigDict, stages: Mapping[str, Spec]) -> frozenset[str]:
    """The readers whose keys the stages that ``c`` chooses read; unknown stages are ignored."""
    chosen = [name for name in c.stages if name in stages]
    return frozenset().union(*(readers_of(name, stages[name], c) for name in chosen))
