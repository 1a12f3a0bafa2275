"""Files of an agent's or a base's directory that belong to the model; no others leave."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from waltzjax.model.hf.config import read_json
from waltzjax.model.hf.files import INDEX
from waltzjax.support import console

CARD = "README.md"
# As transformers and PEFT name them.
OF_A_MODEL = re.compile(
    r"(?:adapter_)?model(?:-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
    r"|(?:adapter_|generation_)?config\.json|tokenizer(?:_config)?\.json|.*\.model|.*\.tiktoken"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\.(?:json|txt)|merges\.txt"
    r"|chat_template\.(?:jinja|json)|chat_templates?_\w+\.jinja"
)
LICENCE = re.compile(r"(?:un)?licen[cs]e|copying", re.IGNORECASE)  # beginnings of names
LEGAL = re.compile(rf"{LICENCE.pattern}|notice|use[_-]policy", re.IGNORECASE)


def of_an_agent(directory: Path) -> list[Path]:
    """The files of an agent that are handed over, sorted; what else lies there is named in a line
    on the screen."""
    entries = sorted(directory.iterdir())
    kept = [path for path in entries if path.is_file() and _belongs(path)]
    if others := [path.name for path in entries if path not in kept and path.name != CARD]:
        console.say(f"note: {directory}: not of a model, and left out: {', '.join(others)}")
    return kept


def of_a_base(base: Path) -> list[Path]:
    """The files of a base that are copied beside its adapters, its card and licence among them;
    weights by whatever names its index has."""
    named: Any = read_json(base / INDEX).get("weight_map") if (base / INDEX).is_file() else {}
    known = {CARD, *(named.values() if isinstance(named, dict) else ())}
    return sorted(p for p in base.iterdir() if p.is_file() and (_belongs(p) or p.name in known))


def legal_files(base: Path) -> list[Path]:
    """Licences, notices and policies, in upper or lower case, sorted."""
    return sorted(p for p in base.iterdir() if p.is_file() and LEGAL.match(p.name))


def licences(paths: Iterable[Path]) -> list[Path]:
    """Those of ``legal_files`` that name a licence: a notice and a policy say other things."""
    return [path for path in paths if LICENCE.match(path.name)]


def _belongs(path: Path) -> bool:
    return bool(OF_A_MODEL.fullmatch(path.name) or LEGAL.match(path.name))
