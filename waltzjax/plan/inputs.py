"""The files that a config names: models by their headers, data by its first lines."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.config.key import CHATS, COLLECT, EMBEDDED, MATHS, PREFERENCES, WALTZ
from waltzjax.dataset.manifest import MANIFEST
from waltzjax.dataset.splits import SPLITS
from waltzjax.model.architecture import ModelConfig
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import peft, weights
from waltzjax.plan.doctor_line import FAIL, OK, Line, size
from waltzjax.run.runtime import load_tokenizer, prompt_file
from waltzjax.types import CONVERSATION, FEEDBACK

FIRST_LINES = 100  # of a data file
PROMPTS_REMEDY = "scripts/build_dataset.py writes the dataset; 'embedded' makes one from nothing"


class DataFile(NamedTuple):
    """JSON Lines that a run reads: each object has one of each of ``keys``."""

    key: str  # of the config
    path: Path
    keys: tuple[tuple[str, ...], ...]
    remedy: str  # how to come by it


def _line(check: str, look: Callable[[], str], remedy: str = "") -> Line:
    """The line of a check that gives what it saw, or raises what is wrong."""
    try:
        return Line(check, OK, look())
    except (OSError, ValueError, ImportError) as error:
        first, *more = str(error).splitlines() or [type(error).__name__]
        return Line(check, FAIL, " ".join([first, *(line.strip() for line in more[:3])]), remedy)


def model_lines(
    config: ConfigDict, reads: frozenset[str], mesh: Mesh, cfg: ModelConfig | None
) -> Iterator[Line]:
    """The models that ``config`` names, but for the architecture of its base, ``cfg``: weights by
    their headers, tokenizers. ``cfg`` None: it could not be read, or is made from nothing."""
    m, named = config.model, {"config.model.base": config.model.base}
    if WALTZ in reads:
        named |= {f"config.model.{role}": m[role] for role in (CONVERSATION, FEEDBACK) if m[role]}
        if config.judge.name == "wildguard" and not config.judge.url:
            named["config.judge.model"] = config.judge.model
    remedy = "name a directory that is whole, or download the model again"
    for key, name in named.items():
        look: Callable[[Path], str] = partial(_adapter_or_model, mesh=mesh, cfg=cfg)
        if key in ("config.model.base", "config.judge.model"):
            look = partial(_model, template=key == "config.model.base")
        if name == EMBEDDED:
            yield Line(key, OK, "made from nothing")
        else:
            yield _line(key, partial(_resolved, look, name), remedy)


def _resolved(look: Callable[[Path], str], name: str) -> str:
    return look(hf_config.resolve(name))


def _model(directory: Path, template: bool = True) -> str:
    stored = weights.check_tensors(directory, hf_config.read_config(directory))
    tokenizer = load_tokenizer(directory, template=template)
    return f"{directory}: {size(stored)} of weights, headers fit; {len(tokenizer):,} tokens"


def _adapter_or_model(directory: Path, mesh: Mesh, cfg: ModelConfig | None) -> str:
    if not peft.is_adapter(directory):
        return _model(directory)
    base = cfg or hf_config.read_config(peft.base_directory(directory))
    _, form = peft.load_adapter(directory, base, mesh)
    return f"{directory}: an adapter of rank {form.rank}, which fits its base"


def data_lines(config: ConfigDict, reads: frozenset[str]) -> Iterator[Line]:
    """The data and prompt files that are read, by their first lines."""
    for name in (CONVERSATION, FEEDBACK) if WALTZ in reads else ("maths",) * (MATHS in reads):
        yield _line(f"config.prompts.{name}", partial(_prompt, config, name))
    files = list(data_files(config, reads))
    for file in files:
        yield _line(file.key, partial(_first_lines, file), file.remedy)
    if WALTZ in reads and config.data.directory != EMBEDDED:
        directory = Path(config.data.directory)
        yield _line("manifest", partial(_manifest, directory), PROMPTS_REMEDY)
    if not files:
        yield Line("data", OK, "made from nothing")


def data_files(config: ConfigDict, reads: frozenset[str]) -> Iterator[DataFile]:
    """The files of data that ``config`` names and that are read."""
    if WALTZ in reads and config.data.directory != EMBEDDED:
        for split in SPLITS:
            path = Path(config.data.directory) / f"{split}.jsonl"
            prompt = (("id",), ("prompt",), ("label",), ("category",))
            yield DataFile("config.data.directory", path, prompt, PROMPTS_REMEDY)
    if CHATS in reads:
        for split in SPLITS:
            path = Path(config.sft.data) / f"{config.sft.role}-{split}.jsonl"
            remedy = "scripts/make_sft_data.py makes it, or name your own chats"
            yield DataFile("config.sft.data", path, (("messages",),), remedy)
    if MATHS in reads:
        for split in ("train", "validation"):
            given = config.problems[split]
            # Preferences are learned from pairs, arms answer no held-out problems.
            unread = PREFERENCES if split == "train" else COLLECT
            if given != EMBEDDED and unread not in reads:
                problem = (("problem", "question"), ("answer",))
                remedy = "name JSON Lines of problems and answers, or 'embedded'"
                yield DataFile(f"config.problems.{split}", Path(given), problem, remedy)
    if PREFERENCES in reads:
        pair = (("question", "prompt"), ("chosen",), ("rejected",))
        remedy = "python -m waltzjax.collect makes it, or name pairs of your own"
        yield DataFile("config.dpo.data", Path(config.dpo.data), pair, remedy)


def _prompt(config: ConfigDict, name: str) -> str:
    path = prompt_file(config, name)
    return f"{path.name}, {len(path.read_text(encoding='utf-8')):,} characters"


def _first_lines(file: DataFile) -> str:
    if not file.path.is_file():
        raise FileNotFoundError(f"no file {file.path}")
    with file.path.open(encoding="utf-8") as lines:
        first = list(itertools.islice((line for line in lines if line.strip()), FIRST_LINES))
    if not first:
        raise ValueError(f"{file.path}: empty")
    for number, text in enumerate(first, start=1):
        try:
            record = json.loads(text)
        except ValueError:
            raise ValueError(f"{file.path}:{number}: not JSON: {text.strip()[:60]!r}") from None
        if missing := _missing(record, file.keys):
            raise ValueError(f"{file.path}:{number}: no {missing} in it")
    return f"{file.path}: {file.path.stat().st_size / 1e6:,.1f} MB, first {len(first)} lines read"


def _missing(record: object, keys: Sequence[Sequence[str]]) -> str:
    if not isinstance(record, dict):
        return "object"
    return next((" or ".join(names) for names in keys if not {*names} & {*record}), "")


def _manifest(directory: Path) -> str:
    path = directory / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: the dataset is not whole")
    try:
        listed = {
            name: fields["bytes"] for name, fields in json.loads(path.read_bytes())["files"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path}: not a manifest") from None
    for name, count in listed.items():
        if not (directory / name).is_file() or (directory / name).stat().st_size != count:
            raise ValueError(f"{directory / name}: not the {count:,} bytes that {MANIFEST} names")
    return f"{path}: {len(listed)} files of the sizes it names"
