"""Regime W, collecting: eleven differently prompted and seeded solutions of each of 500 questions.

Eight arms (a rule-by-rule and a causes-first persona, four seeds and temperatures each), two probes
(canonical reasoning, the question said anew) and a counterfactual check answer every question; how
the answers cohere is scored, and correct ones are paired with incorrect ones, coherent with less
coherent ones: what the stage "dpo" learns from. Arms, scores and shares of pairs are the project's
sources'; the personas' wording is ours. Commands:
  full size   python -m waltzjax.collect --config=configs/regime_w_collect.py
              --workdir=runs/regime_w_collect
  answers     the same with --task=trajectories, or --task=preferences to make pairs of them anew
  one GPU     the same with --config.rollout.slots=64 --config.rollout.cache_tokens=65536
  laptop      python -m waltzjax.collect --config=configs/regime_w_collect.py:tiny --workdir=runs/w
              (builds its problems and its base model first)
Data: GSM8K's files (arXiv 2110.14168; JSON Lines of `question` and `answer`) in data/gsm8k.
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet. Expected by the
sources: 5,500 answers and 3,000 to 5,000 pairs, 70 to 80 % of them of correctness.
"""

from ml_collections import ConfigDict

from waltzjax.config import defaults


def get_config(arg: str = "") -> ConfigDict:
    return variant(arg)


def variant(arg: str) -> ConfigDict:
    """What stands after the colon: nothing or ``tiny``."""
    return defaults.choose({"": full, "tiny": tiny}, arg)


def full() -> ConfigDict:
    """The sources' run, on a Mistral-7B-architecture maths model."""
    c = defaults.default()
    c.stages = (defaults.DPO,)
    c.model.base = "mistralai/Mathstral-7B-v0.1"
    c.prompts.maths = "regime_w/solve.txt"
    c.problems.train = "data/gsm8k/train.jsonl"
    c.problems.validation = "data/gsm8k/test.jsonl"
    c.problems.instruction = ""  # the prompts ask for the form of the answer
    c.problems.form = "line"
    c.problems.max_tokens = 512  # GSM8K's questions are short; a persona takes some 150
    c.rollout.max_new_tokens = 512
    c.rollout.slots = 512  # 64 a device
    c.rollout.cache_tokens = 524_288  # 1,024 a slot; 128 KiB a token, 8 GiB a device
    return c


def tiny() -> ConfigDict:
    """``:tiny`` is self-contained and runs on a laptop: model and problems are embedded."""
    c = full()
    c.mesh = (1, 1, 1)
    c.model.base = defaults.EMBEDDED
    c.model.dtype = "float32"
    c.model.remat = "none"
    c.prompts.maths = "tiny/maths.txt"
    c.problems.train = c.problems.validation = defaults.EMBEDDED
    c.problems.max_tokens = 52
    c.rollout.max_new_tokens = 44
    c.rollout.slots = 128
    c.rollout.cache_tokens = 16_384
    # The base is right under some personas more often than under others: P(right), level 2.
    rights = {"wolfram": 0.1, "maudlin": 0.9, "standard": 0.3, "rephrase": 0.3,
              "counterfactual": 0.8}  # fmt: skip
    c.embedded_maths.personas = tuple(
        (f"tiny/regime_w/{name}.txt", right) for name, right in rights.items()
    )
    # Twice as hot as the sources' arms: a small model's answers are too much alike otherwise.
    c.collect.arms = tuple(
        (name, f"tiny/{persona}", 2 * temperature, seed, role)
        for name, persona, temperature, seed, role in defaults.ARMS
    )
    return c
