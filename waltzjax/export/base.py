"""The base model's licence and languages, as its own files tell them: nothing is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.config.key import EMBEDDED
from waltzjax.export.contents import CARD, legal_files, licences
from waltzjax.export.source import Run

UNKNOWN, OTHER = "unknown", "other"  # of the hub's list of licences


class Base(NamedTuple):
    """What a card says of the base.

    words: the base by its name, for a sentence.
    licence: its ``license`` (a name or names), ``license_name`` and ``license_link``, as the hub's
      metadata have it.
    licence_words: what is known of the licence, and from where.
    files: of its licence, to lie beside the agents.
    languages: codes; () where none is known.
    """

    words: str
    licence: dict[str, Any]
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
    files = legal_files(run.base)
    card = _card(run.base / CARD)
    licence, source = _from_card(card, files), "as the base's card says"
    if not licence:
        licence, source = _from_files(licences(files))
    named = licence.get("license_name") or licence["license"]
    named = ", ".join(named) if isinstance(named, list) else named
    sentence = f"{named}, {source}. What follows from it for these weights is for you to read."
    unknown = "unknown: ask whoever gave you the base; its files name no licence."
    known = licence["license"] != UNKNOWN
    return Base(words, licence, sentence if known else unknown, files, _languages(card))


def _card(path: Path) -> dict[str, Any]:
    """The metadata at the head of a card; {}: there are none that can be read."""
    from huggingface_hub import metadata_load  # slow to import

    try:
        data = metadata_load(path) if path.is_file() else {}
    except Exception:  # somebody else's file; errors of YAML have no class of Python's
        return {}
    return data if isinstance(data, dict) else {}


def _from_card(card: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """What a card's metadata say of the licence; {}: nothing."""
    given, name = card.get("license"), card.get("license_name")
    link = str(card.get("license_link") or "")
    if not (given or name):
        return {}
    texts = isinstance(given, list) and all(isinstance(one, str) for one in given)
    licence = {"license": given if given and (texts or isinstance(given, str)) else OTHER}
    if name or licence["license"] == OTHER:
        licence["license_name"] = str(name or given)
    if link.startswith("https://") or link in [path.name for path in files]:
        licence["license_link"] = link
    return licence


def _from_files(files: list[Path]) -> tuple[dict[str, str], str]:
    if not files:
        return {"license": UNKNOWN}, ""
    lines = files[0].read_text(encoding="utf-8", errors="replace").splitlines()
    words = ("".join(filter(str.isprintable, line)).strip() for line in lines)
    title = next(filter(None, words), files[0].name)
    named = {"license": OTHER, "license_name": title[:80], "license_link": files[0].name}
    return named, f"as the base's {files[0].name} says, which lies beside this card"


def _languages(card: dict[str, Any]) -> tuple[str, ...]:
    """Codes; what is none, YAML's false for Norwegian say, is left out."""
    given = card.get("language")
    texts = given if isinstance(given, list) else [given]
    return tuple(text for text in texts if isinstance(text, str))
