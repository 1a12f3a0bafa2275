"""Regime W, collecting: eleven differently prompted and seeded solutions of each of 500 questions.

Eight arms (a rule-by-rule and a causes-first persona, four seeds and temperatures each), two probes
(canonical reasoning, the question said anew) and a counterfactual check answer every question; how
the answers cohere is scored, and correct ones are paired with incorrect ones, coherent with less
coherent ones: what the stage "dpo" learns from. Arms, scores and shares of pairs are the project's
sources'; the personas' wording is ours. Commands:
  full size   python -m waltzjax.collect --config=configs/regime_w_collect.py
              --workdir=runs/regime_w_collect
  answers     the same with --task=trajectories, or --task=preferences to make pairs of them anew
  one GPU     the same with --config.rollout.max_num_seqs=64 --config.rollout.cache_tokens=65536
  laptop      python -m waltzjax.collect --config=configs/regime_w_collect.py:tiny --workdir=runs/w
              (builds its problems and its base model first)
Data: GSM8K's files (arXiv 2110.14168; JSON Lines of `question` and `answer`) in data/gsm8k.
Hardware the full size is meant for: 8 x H100 80 GB; measured there: not yet. Expected by the
sources: 5,500 answers and 3,000 to 5,000 pairs, 70 to 80 % of them of correctness.
Results: size | commit | hardware | time | seeds | metric (interval)
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import regime_w


def get_config(arg: str = ""):
    c = regime_w.variant(arg)
    if arg == "tiny":
        regime_w.small_arms(c)
    return c
