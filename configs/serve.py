"""Serving: an OpenAI-compatible endpoint whose answers the feedback agent reviews before they go.

What is guarded and how is config.serve (waltzjax/config/serve.py): stages 1 and 2, roll-out by
user, blocking or flagging by category, limits. --workdir takes the agents of a finished run of
stage2.py with its prompts and its sampling. Commands:
  full size   python -m waltzjax.serve --config=configs/serve.py --workdir=runs/stage2
  adapters    the same with the run of stage2.py:lora; the base that both share is loaded once
  one agent   python -m waltzjax.serve --config=configs/serve.py --workdir=runs/stage2
              --config.serve.upstream.url=http://HOST:PORT/v1 --config.serve.upstream.model=NAME
              (the conversation agent is any OpenAI-compatible endpoint; the feedback agent is ours)
  laptop      python -m waltzjax.serve --config=configs/serve.py:tiny --workdir=runs/demo
              (or make serve)
Hardware the full size is meant for: 1 to 8 x H100 80 GB, a copy of both agents each, 15 GiB an
agent and 24 GiB of cache over all; with more devices give --config.rollout.cache_tokens and
--config.rollout.max_num_seqs in proportion. Measured there: not yet.
Results: size | commit | hardware | time | seeds | metric (interval)
  full | - | 8 x H100 80 GB | - | - | not measured
"""

from waltzjax.config.presets import serve


def get_config(arg: str = ""):
    return serve.variant(arg)
