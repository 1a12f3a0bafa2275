"""The base model's licence and languages, as its own files tell them: nothing is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.config.key import EMBEDDED
from waltzjax.export.agent import LEGAL
from waltzjax.export.source import Run

CARD = "README.md"
UNKNOWN, OTHER = "unknown", "other"  # of the hub's list of licences


class Base(NamedTuple):
    """What a card says of the base.

    words: the base by its name, for a sentence.
    licence: its ``license``, ``license_name`` and ``license_link``, as the hub's metadata have it.
    licence_words: what is known of the licence, and from where.
    files: of its licence, to lie beside the agents.
    languages: codes; () where none is known.
    """

    words: str
    licence: dict[str, str]
    licence_words: str
    files: list[Path]
    languages: tuple[str, ...]


def describe_base(run: Run) -> Base:
    """Read what the base's directory holds: a card, files of a licence, or neither."""
    if run.config.model.base == EMBEDDED:
        words = "a small model that the run made itself, from nothing (`embedded`)"
        unknown = "unknown: ask whoever trained it. No base of others is in these weights."
        return Base(words, {"license": UNKNOWN}, unknown, [], ("en",))
    # A path would tell how somebody's machine is laid out, and helps nobody else.
    words = f"`{run.hub_base or run.base.resolve().name}`"
    files = sorted(p for p in run.base.iterdir() if p.is_file() and p.name.startswith(LEGAL))
    card = _card(run.base / CARD)
    licence = {k: str(card[k]) for k in ("license", "license_name", "license_link") if card.get(k)}
    told = "as the base's card says"
    if not licence.get("license"):
        licence, told = _from_files(files)
    named = licence.get("license_name") or licence["license"]
    found = f"{named}, {told}. What follows from it for these weights is for you to read."
    unknown = "unknown: ask whoever gave you the base; its files name no licence."
    known = licence["license"] != UNKNOWN
    return Base(words, licence, found if known else unknown, files, _languages(card))


def _card(path: Path) -> dict[str, Any]:
    """The metadata at the head of a card; {}: there are none that can be read."""
    from huggingface_hub import metadata_load  # slow to import

    try:
        return (metadata_load(path) or {}) if path.is_file() else {}
    except Exception:  # somebody else's file; errors of YAML have no class of Python's
        return {}


def _from_files(files: list[Path]) -> tuple[dict[str, str], str]:
    if not files:
        return {"license": UNKNOWN}, ""
    lines = files[0].read_text(encoding="utf-8", errors="replace").splitlines()
    title = next((line.strip() for line in lines if line.strip()), files[0].name)
    named = {"license": OTHER, "license_name": title[:80], "license_link": files[0].name}
    return named, f"as the base's {files[0].name} says, which lies beside this card"


def _languages(card: dict[str, Any]) -> tuple[str, ...]:
    given = card.get("language") or ()
    return (given,) if isinstance(given, str) else tuple(map(str, given))
