"""The wording of the embedded maths world: what somebody has, what happens, what is asked.

A problem is an opening, a body and a question, each from a list of its split. ``{n}`` has ``{a}``
``{t}``; ``{m}`` is somebody else, ``{b}`` the second number, ``{r}`` "more" or "fewer", ``{d}``
``{o}`` things that do not matter, ``{w}`` who is asked about; ``{S}`` and ``{s}`` are the pronoun
of ``{n}``.

Three sets of frames share none: training, development (the world and the recipe's settings were
chosen while looking at these) and validation (looked at only to report figures).
"""

from typing import NamedTuple

PRONOUNS = {"She": ("Mia", "Ann", "Eva", "Lea", "Zoe", "Ida"),
            "He": ("Tom", "Ben", "Max", "Leo", "Sam", "Jim")}  # fmt: skip
THINGS = ("pens", "cups", "balls", "cards", "books", "coins", "stones", "eggs", "shells", "stamps",
          "keys", "apples", "toys", "hats", "nuts", "beads")  # fmt: skip


class Frames(NamedTuple):
    """The parts of one split. ``now`` stands at the end of questions about a change."""

    openings: tuple[str, ...]
    gains: tuple[str, ...]
    losses: tuple[str, ...]
    compared: tuple[str, ...]  # the other one's number is told by the first one's
    inverse: tuple[str, ...]  # the first one's number is told by the other one's, which is asked
    distractors: tuple[str, ...]
    asked: tuple[str, ...]  # questions
    told: tuple[str, ...]  # orders


TRAIN = Frames(
    openings=(
        "{n} has {a} {t}.",
        "{n} owns {a} {t}.",
        "{n} keeps {a} {t} at home.",
        "In a box {n} has {a} {t}.",
        "{n} counts {a} {t}.",
        "Today {n} has {a} {t}.",
        "{n} has a box with {a} {t}.",
        "{n} has {a} {t} in a bag.",
        "{n} keeps {a} {t} on a table.",
        "On a table {n} keeps {a} {t}.",
        "At home {n} counts {a} {t}.",
    ),
    gains=(
        "{S} buys {b} more.",
        "{S} gets {b} more.",
        "{S} finds {b}.",
        "Then {s} buys {b}.",
        "{m} gives {n} {b} more.",
        "A friend gives {n} {b}.",
        "Then {s} wins {b} more.",
        "{S} makes {b} more.",
        "Later {s} finds {b} more.",
        "Then {m} brings {n} {b} more.",
    ),
    losses=(
        "{S} sells {b}.",
        "{S} loses {b}.",
        "{S} gives {m} {b}.",
        "Then {s} gives {b} away.",
        "{S} breaks {b}.",
        "Then {m} takes {b} of them.",
        "Later {s} loses {b}.",
        "Then {s} sells {b} to {m}.",
        "{S} throws {b} away.",
        "A friend takes {b} of them.",
    ),
    compared=(
        "{m} has {b} {r} than {n}.",
        "{m} has {b} {r} {t} than {n}.",
        "{m} owns {b} {r}.",
        "{m} keeps {b} {r} than that.",
        "{m} counts {b} {r} than {n} does.",
        "A friend, {m}, has {b} {r}.",
        "And {m} has {b} {r} than {s} has.",
        "At home {m} has {b} {r}.",
        "{m} owns {b} {r} than {n} has.",
        "Today {m} counts {b} {r}.",
    ),
    inverse=(
        "That is {b} {r} than {m} has.",
        "{S} has {b} {r} than {m}.",
        "This is {b} {r} than {m} owns.",
        "So {s} has {b} {r} {t} than {m}.",
        "{n} has {b} {r} than {m} has.",
        "These are {b} {r} than {m} keeps.",
        "So that is {b} {r} than {m} counts.",
        "{S} owns {b} {r} than {m} does.",
        "And so {s} has {b} {r} than {m} has.",
        "Those are {b} {r} than {m} has at home.",
    ),
    distractors=(
        "{S} also has {d} {o}.",
        "{m} has {d} {o}.",
        "There are {d} {o} too.",
        "{S} has {d} {o} as well.",
        "{n} owns {d} {o} too.",
        "And {m} keeps {d} {o} at home.",
        "In a bag are {d} {o}.",
        "Beside them are {d} {o}.",
    ),
    asked=(
        "How many {t} does {w} have{now}?",
        "How many {t} has {w}{now}?",
        "How many does {w} have{now}?",
        "So how many {t} are there{now} with {w}?",
        "How many {t} does {w} own{now}?",
        "And how many {t} does {w} have{now}?",
    ),
    told=(
        "Find how many {t} {w} has{now}.",
        "Tell me how many {t} {w} has{now}.",
        "Please work out how many {w} owns{now}.",
        "Say how many {t} {w} owns{now}.",
        "Work out how many {w} has{now}.",
        "Please tell me how many {w} has{now}.",
        "Please find how many {w} owns{now}.",
    ),
)

DEVELOPMENT = Frames(
    openings=(
        "At home {n} owns {a} {t}.",
        "Today {n} counts {a} {t}.",
        "{n} has {a} {t} on a table.",
        "In a bag {n} keeps {a} {t}.",
    ),
    gains=(
        "Then {s} gets {b} more.",
        "Later {s} wins {b}.",
        "Then a friend gives {n} {b} more.",
        "{m} brings {n} {b} of them.",
    ),
    losses=(
        "Later {s} sells {b}.",
        "Then {s} gives {m} {b}.",
        "Then a friend takes {b}.",
        "Later {s} breaks {b} of them.",
    ),
    compared=(
        "{m} counts {b} {r}.",
        "And {m} owns {b} {r} than {n}.",
        "{m} keeps {b} {r} {t} than {n}.",
        "Today {m} has {b} {r} than {n} has.",
    ),
    inverse=(
        "This is {b} {r} than {m} has.",
        "So {n} has {b} {r} than {m}.",
        "{S} has {b} {r} {t} than {m} owns.",
        "Those are {b} {r} than {m} counts.",
    ),
    distractors=(
        "There are also {d} {o}.",
        "{m} owns {d} {o} too.",
        "{S} keeps {d} {o} as well.",
        "In a box are {d} {o}.",
    ),
    asked=("So how many {t} does {w} have{now}?", "How many are there{now} with {w}?"),
    told=("Work out how many {t} {w} owns{now}.", "Please tell me how many {t} {w} has{now}."),
)

VALIDATION = Frames(
    openings=(
        "At home {n} has {a} {t}.",
        "{n} keeps {a} {t} in a box.",
        "Today {n} owns {a} {t}.",
        "{n} counts {a} {t} on a table.",
    ),
    gains=(
        "Later {s} buys {b} more.",
        "Then {s} makes {b}.",
        "{m} brings {n} {b}.",
        "Then {s} finds {b} of them.",
    ),
    losses=(
        "Then {s} loses {b} of them.",
        "Later {s} gives {b} away.",
        "{m} takes {b}.",
        "Then {s} throws {b} away.",
    ),
    compared=(
        "{m} keeps {b} {r}.",
        "Today {m} owns {b} {r} than {n}.",
        "{m} owns {b} {r} {t} than {n} does.",
        "At home {m} counts {b} {r}.",
    ),
    inverse=(
        "That is {b} {r} than {m} keeps.",
        "So {s} owns {b} {r} than {m}.",
        "And {n} has {b} {r} than {m} has.",
        "These are {b} {r} than {m} owns.",
    ),
    distractors=(
        "Beside them {m} has {d} {o}.",
        "{S} owns {d} {o} too.",
        "There are {d} {o} as well.",
        "And {n} keeps {d} {o} at home.",
    ),
    asked=("So how many does {w} have{now}?", "And how many {t} does {w} own{now}?"),
    told=("Say how many {w} has{now}.", "Please work out how many {t} {w} has{now}."),
)
