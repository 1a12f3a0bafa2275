r"""Units behind a number, as words: which words may stand there without changing its value.

Words that are no unit are open-ended ("5 million", "5 eighths", "5 squared", "not 5"), and one that
is taken for a unit pays a wrong answer. So a word must be known, or be a plural that is none of the
known ways to change a number ("18 apples").
"""

from __future__ import annotations

import re

# Every line: the names of one unit.
_NAMES = """
inch inches in
foot feet ft
yard yards yd yds
mile miles mi
mm millimeter millimeters millimetre millimetres
cm centimeter centimeters centimetre centimetres
m meter meters metre metres
km kilometer kilometers kilometre kilometres kms
ounce ounces oz
pound pounds lb lbs gbp
gram grams gramme grammes grammes g gm gms
kilogram kilograms kg kgs kilos
milligram milligrams mg
ton tons
tonne tonnes
liter liters litre litres l
milliliter milliliters millilitre millilitres ml cc
gallon gallons gal gals
quart quarts qt qts
pint pints pt
cup cups
tablespoon tablespoons tbsp
teaspoon teaspoons tsp
second seconds s sec secs
minute minutes min mins
hour hours h hr hrs
day days
week weeks wk wks
month months mo mos
year years yr yrs
dollar dollars usd buck bucks
cent cents
euro euros eur
rupee rupees inr rs
yen jpy
degree degrees deg degs
celsius centigrade
fahrenheit
radian radians rad rads
newton newtons
joule joules
watt watts
volt volts
hertz hz
pascal pascals pa
acre acres
hectare hectares ha
mph
kph kmh kmph
am
pm
person persons people
man men
woman women
child children kid kids
fish
sheep
way ways
egg eggs
cat cats
dog dogs
car cars
pie pies
apple apples
book books
point points pts
piece pieces pcs
"""
_CANONICAL = {
    name: names[0] for names in map(str.split, _NAMES.strip().splitlines()) for name in names
}
_COMPOUND = {"mph": "mile per hour", "kph": "km per hour", "milliliter": "cm ^3"}
_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}  # powers of the unit that follows
_BEHIND = {"squared": 2, "cubed": 3}  # of the unit before
# Words that stand between or before units and add nothing.
_EMPTY = frozenset(("unit", "units", "different", "distinct", "possible"))
_LINKS = frozenset(("per", "of", "a", "an", "each"))
_STUFF = frozenset(
    ("water", "flour", "sugar", "milk", "pizza", "cake", "fruit", "money", "paint", "food", "rice",
     "juice", "time", "work", "paper")
)  # fmt: skip
_NUMERALS = re.compile(
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\\w+teen|twenty|thirty|"
    "forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|\\w*illion|lakh|lac|crore|dozen|"
    "score|gross|half|third|quarter|\\w+th|cent|mille|k|million|pair|couple|myriad|googol"
)
_NO_PLURAL = re.compile(
    r"\w*(?:ss|us|is|(?<!mon)(?<!pa)(?<!ba)ths|illions|wos|ives|lves|teens|ties|ixes)|ones|tens|"
    "zeros|threes|fours|sevens|eights|nines|elevens|hundreds|thousands|lakhs|lacs|crores|milliards|billiards|permilles|dozens|"
    "scores|grosses|halfs|thirds|quarters|pairs|couples|myriads|googols|duos|trios|times|squares|"
    "cubes|roots|factorials|powers|radicals|inverses|reciprocals|opposites|doubles|triples|"
    "quadruples|multiples|percents|percentages|pis|equals|was|has|does|goes|gives|makes|leaves|"
    "always|sometimes|perhaps|besides|exceeds|follows|others|decimals|logs|logarithms|sines|"
    "cosines|ks|mils|mills|grands|bakers|negates|exponents|mods|repeats|recurs|continues|rounds|"
    "approximates|hers|ours|yours|vs|towards|needs|lacks|subtracts|adds|divides|"
    "multiplies|primes|whereas|as|yes|nos|permutes|chooses|plusses|pluses|minuses|ms|gs|"
    "approaches|tends|bases|indices|conjugates|complements"
)

_TYPESET = r"(?:\\ )? *\\text *\{[^{}\\\d]*\} *(?:\^ *(?:\{ *-?[123] *\}|-?[123]))?"
_UNIT = re.compile(
    rf"(?:{_TYPESET})(?: *(?:/|\\cdot)? *{_TYPESET})*$"
    r"|(?<=[\d})%]) +[A-Za-z][A-Za-z./]*(?: +[A-Za-z][A-Za-z./]*){0,4}(?:\^ *\{?[23]\}?)?$"
    r"|(?<=\d)[A-Za-z]{2,4}(?:/[A-Za-z]{1,3})?(?:\^ *\{?[23]\}?)?$"
)
_POWER = re.compile(r"\^ *\{? *(-?[123]) *\}?")
_MARKS = re.compile(r"\\text|\\cdot|\\ |[{}().]")


def split_unit(text: str) -> tuple[str, str]:
    """("5", "square feet") of a tidy "5 square feet", ("5", "m ^2") of "5 m^2"; ("x", "") of what
    has no unit."""
    match = _UNIT.search(text)
    if not match or not (body := text[: match.start()].rstrip()):
        return text, ""
    unit = match[0]
    plain = _POWER.sub(r" ^\1 ", unit).replace("p.m.", "pm").replace("a.m.", "am")
    parts = _MARKS.sub(" ", plain.replace("/", " per ")).split()
    words = [part for part in parts if part[0] != "^"]
    typeset = "\\text" in unit
    if not is_unit(words, typeset=typeset or "/" in unit):
        return text, ""
    if not typeset and not unit.startswith(" ") and words[0].lower() not in _CANONICAL:
        return text, ""
    return body, " ".join(parts).lower()


def is_unit(words: list[str], *, typeset: bool) -> bool:
    """Whether ``words`` are the name of a unit, or of what is counted.

    typeset: set as text, or joined by a stroke, where one letter is a unit ("m/s"), no variable.
    """
    before = ""
    for word in words:
        lower = word.lower()
        if not _may_follow(before, word, typeset=typeset):
            return False
        before = lower
    return bool(words) and before not in ("per", "of", "a", "an", *_BEFORE)


def _may_follow(before: str, word: str, *, typeset: bool) -> bool:
    lower = word.lower()
    if not (word.isascii() and word.isalpha()):
        return False
    if len(word) == 1 and lower not in ("a",):
        return typeset and word in "mgshlL"
    if lower in _LINKS:
        return bool(before) and before not in _LINKS
    if lower in _BEHIND:
        return before in _CANONICAL
    if lower in _CANONICAL or lower in _EMPTY or lower in _BEFORE:
        return not (word.isupper() and lower in ("mm", "mi", "in", "mo"))  # "5 MM" are millions
    if before in ("per", "each", "a", "an"):
        return len(word) > 2 and not _NUMERALS.fullmatch(lower) and not _NO_PLURAL.fullmatch(lower)
    if before == "of" and lower in _STUFF:
        return True
    return len(word) > 3 and lower.endswith("s") and not _NO_PLURAL.fullmatch(lower)


def same_unit(a: str, b: str) -> bool:
    """Whether two units may be one: one of them not written, or other names of one, of the same
    power if both write one."""
    x, y = _key(a), _key(b)
    return not x or not y or (len(x) == len(y) and all(map(_alike, x, y)))


def _alike(a: tuple[str, int], b: tuple[str, int]) -> bool:
    (name, power), (other, other_power) = a, b
    written = abs(power) != 1 != abs(other_power)
    return name == other and (power == other_power if written else power * other_power > 0)


def _key(unit: str) -> list[tuple[str, int]]:
    """The names and powers: ("m", 1), ("s", -2) of "m per s ^2"."""
    words = " ".join(_CANONICAL.get(word, word) for word in unit.lower().split())
    words = " ".join(_COMPOUND.get(word, word) for word in words.split())
    key: list[tuple[str, int]] = []
    sign, power = 1, 1
    for word in words.split():
        if word in ("per", "a", "an", "each"):
            sign = -1
        elif word in _BEFORE:
            power = _BEFORE[word]
        elif word in _BEHIND or word[0] == "^":
            name, before = key.pop() if key else ("", 1)
            key.append((name, before * (_BEHIND.get(word) or int(word[1:]))))
        elif word not in _EMPTY:
            key.append((word.removesuffix("s"), sign * power))
            power = 1
    return [(name, power) for name, power in key if name]
