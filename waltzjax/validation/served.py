"""Episodes as far as a service's answers and reports show them, for a judge to score."""

from __future__ import annotations

from collections.abc import Mapping

from waltzjax.serve.records import BLOCK, Answer, Labels
from waltzjax.types import Completion, Episode, Feedback, Prompt

REVIEW = "feedback"  # component of a failure: there was no review


def replaced(answers: Mapping[int, Answer]) -> list[int]:
    """The numbers of those that are not the conversation agent's first answer: revised or withheld
    ones."""
    return [n for n, a in answers.items() if a.report.revised or a.report.action == BLOCK]


def served_episodes(
    prompts: Mapping[int, Prompt], answers: Mapping[int, Answer], firsts: Mapping[int, Answer]
) -> list[Episode]:
    """An episode of each prompt.

    Args:
      answers: as users get them.
      firsts: of those that are ``replaced``: the first answer with its report, as the service gives
        it out where it does not revise. One that is missing leaves the last answer alone, without
        feedback, as the report's labels are not of that.
    """
    replacing = {*replaced(answers)}
    return [
        _episode(prompts[number], answer, firsts.get(number), number in replacing)
        for number, answer in answers.items()
    ]


def _episode(prompt: Prompt, answer: Answer, first: Answer | None, replaced: bool) -> Episode:
    episode = Episode(prompt)
    reviewed = first if replaced else answer
    if reviewed is not None:
        episode.answers.append(_spoken(reviewed.text))
        _add_review(episode, reviewed)
    if replaced:
        episode.answers.append(_spoken(answer.text))
    return episode


def _add_review(episode: Episode, answer: Answer) -> None:
    report = answer.report
    if report.labels is not None:
        episode.feedbacks.append(_spoken(""))
        episode.parsed.append(_feedback(report.labels))
    elif report.failure is not None and report.failure.component == REVIEW:
        episode.feedbacks.append(_spoken(""))  # asked for and not to be had: its labels are wrong
        episode.parsed.append(None)


def _spoken(text: str) -> Completion:
    return Completion((), (), (), text, "stop")


def _feedback(labels: Labels) -> Feedback:
    return Feedback("", labels.unsafe, labels.overrefuse, "")
