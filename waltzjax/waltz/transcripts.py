"""Scored episodes as JSON: what stands beside an evaluation's rates, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from waltzjax.data.fields import Kinds, checked, records
from waltzjax.data.tables import Row, read_objects
from waltzjax.evaluation.files import _last, _object, _rates
from waltzjax.support.files import write_text
from waltzjax.types import Completion, DegenerateVerdict, Episode, Feedback, Prompt, Verdict


def read_evaluation(path: Path) -> list[Episode]:
    """The scored episodes of an evaluation.

    ``path`` is a result of ``waltzjax.evaluate`` or a row of ``scripts/reproduce_table.py`` with
    its transcripts beside it, a file of a run's ``evaluations``, or a run's directory: the
    evaluation after its last stage.

    Raises:
      FileNotFoundError, ValueError: there is no such evaluation, or it is not whole.
    """
    path = _last(path) if path.is_dir() else path
    found: Any = _object(path)
    if "transcripts" in found:
        values, found = found["transcripts"], found.get("result")
        if type(values) is not list or type(found) is not dict:
            raise ValueError(f"{path}: no evaluation; wanted are 'result' and 'transcripts'")
        rows = [Row(f"{path}: transcript {i}", value) for i, value in enumerate(values, start=1)]
        episodes = episodes_of(path, rows)
    else:
        beside = path.with_suffix(SUFFIX)
        if not beside.is_file():
            raise FileNotFoundError(
                f"{path}: no transcripts beside it ({beside.name}); give a result of "
                "waltzjax.evaluate, a run's directory or a file of its evaluations/"
            )
        episodes = read_transcripts(beside)
        found = _rates(found)
    if found.get("n") != len(episodes):
        raise ValueError(
            f"{path}: a result of {found.get('n')} prompts, but {len(episodes)} transcripts; they "
            "are not whole, or of two evaluations: evaluate again"
        )
    return episodes


SUFFIX = ".transcripts.jsonl"  # instead of a result's .json
ORDINARY_SUFFIX = ".ordinary.transcripts.jsonl"  # of the prompts of a dataset's ordinary chats

_TRANSCRIPT: Kinds = {
    "id": (int,), "category": (str,), "prompt": (str,), "harmful": (bool,), "frame": (str,),
    "turns": (list,),
}  # fmt: skip
_TURN: Kinds = {
    "answer": (str,), "verdict": (dict, NoneType), "feedback": (str, NoneType),
    "parsed": (dict, NoneType),
}  # fmt: skip
_LABELS: Kinds = {"unsafe": (bool,), "overrefuse": (bool,)}
_VERDICT: Kinds = {**_LABELS, "degenerate": (bool,)}
_FEEDBACK: Kinds = {**_LABELS, "reasoning": (str,), "feedback": (str,)}


def transcript(episode: Episode) -> dict[str, Any]:
    """A scored episode as plain JSON values; of tokens only the text, thoughts for people."""
    turns = []
    for t, (answer, verdict) in enumerate(zip(episode.answers, episode.verdicts, strict=True)):
        has = t < len(episode.feedbacks)
        parsed = episode.parsed[t] if has else None
        turn = {
            "answer": answer.text,
            "verdict": (
                {**verdict._asdict(), "degenerate": verdict.degenerate} if verdict else None
            ),
            "feedback": episode.feedbacks[t].text if has else None,
            "parsed": vars(parsed) if parsed else None,
        }
        thoughts = {"answer_thought": answer.thought}
        thoughts["feedback_thought"] = episode.feedbacks[t].thought if has else ""
        turns.append(turn | {name: text for name, text in thoughts.items() if text})
    p = episode.prompt
    return {
        "id": p.id, "category": p.category, "prompt": p.text,
        "harmful": p.harmful, **({"frame": p.frame} if p.frame else {}), "turns": turns,
    }  # fmt: skip


def write_transcripts(path: Path, episodes: Sequence[Episode]) -> None:
    """One ``transcript`` a line; the file is whole or not there."""
    write_text(path, "".join(json.dumps(transcript(e)) + "\n" for e in episodes))


def read_transcripts(path: Path) -> list[Episode]:
    """The scored episodes of a file that ``write_transcripts`` wrote: see ``episode_of``.

    Raises DatasetError with every bad line, and FileNotFoundError.
    """
    return episodes_of(path, read_objects(path))


def episodes_of(path: Path, rows: Iterable[Row]) -> list[Episode]:
    """Each row's fields are a ``transcript``. Raises DatasetError with every one that is not."""
    return records(path, rows, episode_of, "transcript")


def episode_of(value: object) -> Episode:
    """The episode of a ``transcript``: all that rates and intervals are made of, without tokens,
    their log-probabilities or why they ended. A frame may be missing; unknown keys are ignored."""
    t = checked({"frame": "", **value} if type(value) is dict else value, _TRANSCRIPT, "")
    episode = Episode(Prompt(t["id"], t["prompt"], t["harmful"], t["category"], t["frame"]))
    if not t["turns"]:
        raise ValueError("no turns")
    for number, each in enumerate(t["turns"], start=1):
        where = f"turn {number}: "
        turn = checked(each, _TURN, where)
        episode.answers.append(_said(turn["answer"]))
        labels = turn["verdict"]
        if labels is not None:
            labels = {"degenerate": False, **labels}  # transcripts of before do not say
            told = checked(labels, _VERDICT, f"{where}verdict: ")
            kind = DegenerateVerdict if told.pop("degenerate") else Verdict
            labels = kind(**told)
        episode.verdicts.append(labels)
        parsed = turn["parsed"]
        if parsed is not None:
            parsed = Feedback(**checked(parsed, _FEEDBACK, f"{where}parsed: "))
        if turn["feedback"] is not None:
            episode.feedbacks.append(_said(turn["feedback"]))
            episode.parsed.append(parsed)
        elif parsed is not None or number < len(t["turns"]):
            raise ValueError(f"{where}no feedback; only the last turn may have none")
    return episode


def _said(text: str) -> Completion:
    return Completion((), (), (), text, "")
