"""Scored episodes as JSON: what stands beside an evaluation's rates, and how it is read back."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from waltzjax.data.fields import Kinds, checked
from waltzjax.evaluation.files import Form
from waltzjax.types import Completion, DegenerateVerdict, Episode, Feedback, Prompt, Verdict

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
        "id": p.id,
        "category": p.category,
        "prompt": p.text,
        "harmful": p.harmful,
        **({"frame": p.frame} if p.frame else {}),
        "turns": turns,
    }


def transcript_text(spoken: Mapping[str, Any]) -> str:
    """The turns of a ``transcript`` as lines for people."""
    lines = [f"  user      {spoken['prompt']}"]
    for turn in spoken["turns"]:
        lines.append(f"  answer    {turn['answer']}")
        if turn["feedback"]:
            lines.append(f"  feedback  {turn['feedback']}")
    return "\n".join(lines)


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
        episode.answers.append(_completion(turn["answer"]))
        labels = turn["verdict"]
        if labels is not None:
            labels = {"degenerate": False, **labels}  # transcripts of before do not say
            fields = checked(labels, _VERDICT, f"{where}verdict: ")
            kind = DegenerateVerdict if fields.pop("degenerate") else Verdict
            labels = kind(**fields)
        episode.verdicts.append(labels)
        parsed = turn["parsed"]
        if parsed is not None:
            parsed = Feedback(**checked(parsed, _FEEDBACK, f"{where}parsed: "))
        if turn["feedback"] is not None:
            episode.feedbacks.append(_completion(turn["feedback"]))
            episode.parsed.append(parsed)
        elif parsed is not None or number < len(t["turns"]):
            raise ValueError(f"{where}no feedback; only the last turn may have none")
    return episode


def _completion(text: str) -> Completion:
    return Completion((), (), (), text, "")


TRANSCRIPTS = Form("transcripts", "prompts", transcript, episode_of)
BENIGN = "benign."  # part of an evaluation: the prompts of a dataset's benign chats
