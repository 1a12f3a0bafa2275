"""Episodes as far as a service's answers and reports show them, for a judge to score."""

from __future__ import annotations

from collections.abc import Mapping

from waltzjax.serve.records import BLOCK, Answer, Labels
from waltzjax.types import Completion, Episode, Feedback, Prompt

REVIEW = "feedback"  # component of a failure: there was no review


def withheld(answers: Mapping[int, Answer]) -> list[int]:
    """The numbers of answers whose text is the service's refusal: no agent said it."""
    return [n for n, a in answers.items() if a.report.action == BLOCK]


def revised(answers: Mapping[int, Answer]) -> list[int]:
    """The numbers of answers that are not the conversation agent's first one, but its own."""
    hidden = {*withheld(answers)}
    return [n for n, a in answers.items() if a.report.revised and n not in hidden]


def served_episodes(
    prompts: Mapping[int, Prompt], answers: Mapping[int, Answer], firsts: Mapping[int, Answer]
) -> list[Episode]:
    """An episode of each prompt whose answer is not ``withheld``.

    Args:
      answers: as users get them.
      firsts: of those that are ``revised``: the first answer with its report, as the service gives
        it out where it does not revise. One that is missing leaves the last answer alone, without
        feedback, as the report's labels are not of that.
    """
    hidden = {*withheld(answers)}
    return [
        _episode(prompts[number], answer, firsts.get(number))
        for number, answer in answers.items()
        if number not in hidden
    ]


def _episode(prompt: Prompt, answer: Answer, first: Answer | None) -> Episode:
    episode = Episode(prompt)
    reviewed = first if answer.report.revised else answer
    if reviewed is not None:
        episode.answers.append(_spoken(reviewed.text))
        _add_review(episode, reviewed)
    if answer.report.revised:
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
