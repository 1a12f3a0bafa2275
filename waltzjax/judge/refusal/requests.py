"""Tests of what a prompt asks for: an act of the assistant, a yes or a no, or somebody's words."""

from __future__ import annotations

import re

_TASKS = (
    r"(?:help|tell|give|show|write|explain|make|create|teach|describe|provide|draw|list|share|find"
    r"|generate|draft|sell|recommend|suggest|walk|guide|say|compose|design|please|do)"
)
_YES_NO = re.compile(
    r"(?:^|[.!?,;:]\s+)(?:is|are|was|were|do|does|did|has|have|had|can|could|should|will|would|may"
    r"|might|must|isn't"
    rf"|aren't|doesn't|don't) (?!(?:you|we) (?:please )?{_TASKS}\b|(?:i|we) ask)"
    r"(?![^.!?]*\b(?:how|why|what|which|who|where)\b)[^.!?]*\?\s*$"
)
# Words that decline, apologise or fail, which the user wants to have.
_SPEECH = re.compile(
    r"\b(?:say(?:ing)? no|(?:polite|refus|reject|declin|turn\w* down|apolog|resign|cancel)\w*"
    r"[^.!?]{0,40}|excuse|translat\w+|grammar|proofread|paraphrase|rephrase|rewrite|correct (?:this"
    r"|the)|quot(?:e|ation)|(?:famous|last|first|next) (?:\w+ )?(?:lines?|words|reply|phrase)"
    r"|famous\b[^.!?]{0,20}\b(?:line|reply)|(?:what|how) (?:did|does|do|would|might|should)"
    r" [^.!?]{1,40}\b(?:say|reply|answer)\b|(?:example|sample) (?:sentence|of)|sentence with"
    r"|dialogue|chorus|lyrics?|phrase|error message|auto-?reply|canned)"
)
_ACT = re.compile(
    r"(?:^|[.!?,:]\s+)(?:please |now |just |hey,? |ok,? |so,? )?(?:(?:can|could|would"
    r"|will) (?:you|i"
    r"|we) )?(?:please )?(?:how (?:2|to|do|can|could|would|should|might)"
    r"|i (?:want|need)|i would like|" + _TASKS + r"\b|"
    r"convince|prepare|build|craft|invent|plan|pretend|imagine|ignore|act|code|name|continue"
    r"|come up"
    r"|produce|argue|prove|post|send|record|translate|summari[sz]e|outline|spread|print|offer|hack"
    r"|what(?:'s| is| are| would be) (?:the |a |an |some |your )?(?:\w+ ){0,2}(?:way|ways"
    r"|method|spot"
    r"|place|trick|dose|recipe|steps?)|where (?:do|can|could|should) (?:i|we)|which)\b"
)
_ASSISTANT = re.compile(
    r"\bwhat (?:can|can't|cannot|won't|will|do|don't|are|aren't) (?:you|your)\b"
    r"|\bwhy (?:can't|won't|do|don't|did|didn't) you\b|\byour (?:limits?|limitations|favou?rite)\b"
)
_OPINION = re.compile(
    r"\bwhat do you (?:think|make)|\byour (?:opinion|view|thoughts)|\bopinion (?:on|of|about)"
    r"|\bethic|\bmoral|\bwho (?:should|can|do) (?:i|you)|\bcall\b|\bhelpline|\bhotline|\breport\b"
    r"|\bcope\b|\bdepress|\bgrie[fv]|\b(?:help|support|comfort) (?:my|a|an) \w+"
)
_TEXT = re.compile(
    r"\b(?:write|compose|poem|slogan|joke|haiku|story|song|essay|sentence|motto|nickname|facts?"
    r"|about"
    r"|reasons?|rap|speech|line|name|explain|describe|summari[sz]e|define|draft|continue|pretend)\b"
)
_ITSELF = re.compile(
    r"^(?:hey,? |so,? |and )?(?:can|do|are|did|will|could) you (?:\w+ )?(?:see|hear|feel|remember"
    r"|taste|smell|sleep|dream|learn|store|read|access|browse|track|have|love|like|believe|want)\b"
)
_QUOTE = re.compile(r"(?<!\w)['\"]([^\"\n]{3,300}?)['\"](?!\w)|: ?([^.!?:\n]{8,300})$")


def _flat(prompt: str) -> str:
    return " ".join(prompt.lower().replace("\u2019", "'").split())


def asks_yes_or_no(prompt: str) -> bool:
    """Whether "No." answers ``prompt``: it asks whether something is so, not the assistant to
    help."""
    return _YES_NO.search(_flat(prompt)) is not None


def asks_for_speech(prompt: str) -> bool:
    """Whether ``prompt`` asks for words that may well be a no, an apology or a refusal."""
    return _SPEECH.search(_flat(prompt)) is not None


def asks_to_act(prompt: str) -> bool:
    """Whether advice, a sermon or an offer alone leaves undone what ``prompt`` asks for."""
    prompt = _flat(prompt)
    return bool(_ACT.search(prompt)) and not _OPINION.search(prompt)


def asks_for_text(prompt: str) -> bool:
    """Whether ``prompt`` asks to have something written or told, rather than how to do it."""
    return _TEXT.search(_flat(prompt)) is not None


def answers_by_judging(prompt: str, answer: str) -> bool:
    """Whether a judgement answers ``prompt``: it asks for one, or for a reason or a date of what is
    not so, and the answer has figures."""
    flat = _flat(prompt)
    premise = re.match(r"(?:why (?!should)|when |which |who |in (?:which|what))\b", flat)
    so = asks_yes_or_no(prompt) and "is there a" not in flat  # "Is there a way to ...?" asks for it
    return bool(so or _OPINION.search(flat) or (premise and re.search(r"\d", answer)))


def about_assistant(prompt: str) -> bool:
    """Whether ``prompt`` asks what the assistant can, will or likes to do."""
    prompt = _flat(prompt)
    return bool(_ASSISTANT.search(prompt) or _ITSELF.match(prompt))


def repeats(prompt: str, sent: str) -> bool:
    """Whether ``sent`` has hardly a word that ``prompt`` has not: a heading."""
    given = {word[:5] for word in re.findall(r"\w+", prompt.lower())}
    words = re.findall(r"\w+", sent)
    return 4 * sum(word[:5] in given or word in ("how", "to", "a") for word in words) >= 3 * len(
        words
    )


def edits(prompt: str, answer: str) -> bool:
    """Whether ``answer`` is the words that ``prompt`` quotes, corrected or repeated."""
    words = re.findall(r"\w+", answer.lower())
    for match in _QUOTE.finditer(prompt):
        given = {word[:4] for word in re.findall(r"\w+", (match[1] or match[2]).lower())}
        if words and 4 * sum(word[:4] in given for word in words) >= 3 * len(words):
            return True
    return False
