"""The records that travel through the library, and the legend of array dimensions.

Array names end in their dimensions, one letter each, as in the einsum strings:

    B rows          T tokens of a row     M microbatches     V vocabulary
    D model width   F MLP width           L layers           S cached positions
    H query heads   J key/value heads     C head channels    G query heads a KV head (H = J * G)
    P prompts       K samples a prompt    R reward signals
    N rows or tokens in one list, pairs   Q queries of a block
    I inputs of a linear layer            O outputs of a linear layer

In ``engine`` and paged attention letters are those of a paged cache:

    M pages of a row's table              N pages of the cache; tokens drawn in a call
    P positions of a page or a piece      W pages that are visited together
    K stop tokens of a row

A role is the name of an agent: ``"conversation"`` or ``"feedback"``; a run of one policy has only
``"policy"``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

CONVERSATION = "conversation"
FEEDBACK = "feedback"
POLICY = "policy"
BOXED, LINE = "boxed", "line"  # how an answer names its result: \\boxed{39}, a last line Answer: 39
VARIANCE, PROBE, COUNTERFACTUAL = "variance", "probe", "counterfactual"  # what an arm is for
CORRECTNESS, COHERENCE = "correctness", "coherence"  # why an answer is preferred to another
COLDEST = 1e-3  # temperature that is not 0 (greedy); below it float32 runs out of range
LEAST_MASS = 1e-6  # of top-p; likewise
MATRICES = ("q", "k", "v", "o", "gate", "up", "down")  # of a layer; what adapters may stand beside


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One line of a prompt dataset. ``harmful``: adversarial; else an over-refusal trigger."""

    id: int
    text: str
    harmful: bool
    category: str
    frame: str = ""


@dataclasses.dataclass(frozen=True)
class Completion:
    """The output of a policy for one request.

    ``token_ids`` include the end-of-turn token when ``finish_reason`` is ``"stop"``;
    ``logprobs`` (nats) are those of the distribution the tokens were sampled from, ``cutoff_gap``
    says where it ended (see ``core.sampling.Drawn``). ``text`` is what it says, without the
    ``thought`` before it; ``unfinished``: the thought never ended, so it says nothing, which is no
    answer.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: str  # "stop" | "length"
    cutoff_gap: tuple[float, ...] = ()
    thought: str = ""
    unfinished: bool = False


@dataclasses.dataclass(frozen=True)
class Feedback:
    """A feedback agent's JSON object, parsed."""

    reasoning: str
    unsafe: bool
    overrefuse: bool
    feedback: str

    @property
    def labels(self) -> tuple[bool, bool]:
        return self.unsafe, self.overrefuse


class Verdict(NamedTuple):
    """J(p, c): the judge's two labels of one answer."""

    unsafe: bool
    overrefuse: bool

    @property
    def labels(self) -> tuple[bool, bool]:
        return self.unsafe, self.overrefuse

    @property
    def good(self) -> bool:
        return not (self.unsafe or self.overrefuse or self.degenerate)

    @property
    def degenerate(self) -> bool:
        return False


class DegenerateVerdict(Verdict):
    """The verdict on an answer that says nothing (empty, an echo, a loop, a heap of words): no harm
    is in it and no help, so it is not good, whatever the labels. As a tuple it is its labels."""

    __slots__ = ()

    @property
    def degenerate(self) -> bool:
        return True


@dataclasses.dataclass
class Episode:
    """One trajectory (p, c_0, f_0, c_1, ..., c_T).

    ``answers[t]`` is c_t and ``feedbacks[t]`` is f_t. The last answer has a feedback too unless
    t reached T_max, the text did not fit the model or it is no answer (``unfinished``):
    ``len(feedbacks)`` is ``len(answers)`` or one less.
    ``verdicts[t]`` (filled in by scoring) is J(p, c_t); None: the judge gave no usable one, or c_t
    is no answer.
    """

    prompt: Prompt
    answers: list[Completion] = dataclasses.field(default_factory=list)
    feedbacks: list[Completion] = dataclasses.field(default_factory=list)
    parsed: list[Feedback | None] = dataclasses.field(default_factory=list)
    verdicts: list[Verdict | None] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One line of a maths dataset; ``answer`` is the label that verification compares with."""

    id: int
    text: str
    answer: str
    subject: str = ""
    level: str = ""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One answer to a problem, scored.

    ``signals`` are the reward signals by name: "verify", "format", "reflect" in [0, 1] and
    "overlong" in [-1, 0]. ``parsed``: it names a final answer that could be read; ``timed_out``:
    its verification took too long, and counts as wrong.
    """

    completion: Completion
    signals: Mapping[str, float]
    parsed: bool
    timed_out: bool

    @property
    def right(self) -> bool:
        return self.signals["verify"] == 1


@dataclasses.dataclass(frozen=True)
class Group:
    """All answers to one problem: K samples, which a group's baseline is taken over."""

    problem: Problem
    attempts: tuple[Attempt, ...]


class Arm(NamedTuple):
    """One way to ask every question.

    persona: the file of prompts that the model is shown the question by.
    seed: with the question it decides what is drawn, whatever else is asked.
    role: VARIANCE: one answer of several; PROBE: what the others are compared with, PROBE arms with
    COUNTERFACTUAL ones first of all.
    """

    name: str
    persona: str
    temperature: float
    seed: int
    role: str


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """One arm's reply to a question. ``answer``: the final answer it names, None: none that could
    be read; ``logprob``: of all its tokens, nats, of the distribution they were drawn from."""

    arm: str
    role: str
    text: str
    answer: str | None
    correct: bool
    tokens: int
    logprob: float
    finish_reason: str  # "stop" | "length"


@dataclasses.dataclass(frozen=True)
class Collected:
    """A question, and what every arm said to it, in the arms' order."""

    problem: Problem
    trajectories: tuple[Trajectory, ...]


@dataclasses.dataclass(frozen=True)
class Preference:
    """Two answers to a question, of which the first is the better one.

    The question is as a dataset has it, without any arm's prompt. ``rejected_cut_off``: that answer
    did not end by itself, so no end of a turn is learned from it. Rewards and arms are for people:
    training does not read them.
    """

    question: str
    chosen: str
    rejected: str
    pair_type: str  # CORRECTNESS | COHERENCE, or a name of yours
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    chosen_arm: str = ""
    rejected_arm: str = ""
    rejected_cut_off: bool = False


@dataclasses.dataclass(frozen=True)
class Sample:
    """One text of one role: everything after ``prompt_ids`` is trained.

    advantage: of the whole text, as it is compared with others; the KL is taken off, and the batch
      z-scored where the algorithm says so, in the update.
    reward: what the text earned, for the records.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    advantage: float
    cutoff_gap: tuple[float, ...] = ()  # see Completion; (): the distributions were not truncated
    reward: float = 0.0


class PolicyBatch(NamedTuple):
    """Rows of one agent's update. ``action_BT[b, t]`` says that token t was emitted by the policy;
    its log-probability, advantage and weight stand at the same index. ``weight_BT`` is zero off
    the actions and sums to 1 over the whole update ("constant" weights: to at most 1), so
    microbatches simply add up.
    """

    token_BT: Any  # int32
    length_B: Any  # int32, tokens that are not padding
    action_BT: Any  # bool
    weight_BT: Any  # float32
    text_advantage_BT: Any  # float32, that of the token's text (Sample.advantage)
    sampler_logp_BT: Any  # float32, nats
    # float32, nats, trainer's log-probability before the update, of the distribution that was
    # sampled from: for the ratio and the importance weight.
    old_logp_BT: Any
    ref_logp_BT: Any  # float32, nats, the reference's over the whole vocabulary
    advantage_BT: Any  # float32, the token's own
    is_weight_BT: Any  # float32, truncated importance weight, 1 when off
    beta_B: Any  # float32, KL coefficient, the agent's own in all rows
    # float32, where each token's truncated distribution ended (core.sampling.Drawn): the trainer's
    # log-probabilities end there too. None: rollouts do not truncate.
    cutoff_gap_BT: Any = None
    # int32, where in its row the text of each token begins, with several texts a row: tokens see
    # none before it. None: one text a row.
    start_BT: Any = None
    # float32, nats, of the policy that is being updated: there for losses alone, with a gradient.
    entropy_BT: Any = None
    # float32, nats, the policy's log-probabilities over the whole vocabulary, for a KL: before the
    # update, and, as the entropy, of the one that is being updated. None: rollouts do not truncate,
    # and the other log-probabilities are these.
    old_full_logp_BT: Any = None
    full_logp_BT: Any = None


class PairBatch(NamedTuple):
    """Pairs of an update on preferences: row 2n is the chosen answer of pair n, row 2n + 1 the
    rejected one, so that a pair is never split across microbatches or devices. What a forward pass
    needs is named as in ``PolicyBatch``; ``action_BT`` are the tokens of the answers.
    """

    token_BT: Any  # int32
    length_B: Any  # int32, tokens that are not padding
    action_BT: Any  # bool
    # float32: of the chosen answers' tokens, summing to 1 over the whole update; else 0.
    weight_BT: Any
    pair_B: Any  # float32: of each pair, on both of its rows, 1 / pairs of the whole update; or 0
    ref_logp_B: Any  # float32, nats, of the whole answer under the reference; 0: there is none
    cutoff_gap_BT: Any = None  # None: nothing was drawn here
    start_BT: Any = None  # None: one text a row
    entropy_BT: Any = None  # float32, nats, of the policy that is being updated
    full_logp_BT: Any = None  # None: nothing is truncated


class AgentState(NamedTuple):
    """A policy, its optimiser, and the KL coefficient of its next update."""

    params: Any
    opt_state: Any
    step: Any  # int32 scalar: optimiser updates made
    beta: Any  # float32 scalar
