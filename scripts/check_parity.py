"""Compare a model's numbers here with those of ``transformers`` on PyTorch, in float32 on CPU.

    python scripts/check_parity.py MODEL_DIR [--positions=2500] [--mesh=1x8x1]

Three rows of random tokens, the longest of ``positions``: every logit, then a greedy continuation.
Prints one JSON line: ``max_abs_diff`` (of logits), ``greedy_equal``, ``positions``, ``mesh``. Exit
status 0 if the logits agree to 1e-4 and the continuations are the same, 1 if not, 2 for arguments
that cannot be. Needs the ``test`` extra, and on the host the model twice in float32.
"""

import argparse
import json
import sys

import jax
import numpy as np

from waltzjax.model import hf, hf_config, sharding, transformer
from waltzjax.rollout.engine import PAGE_SIZE, Engine
from waltzjax.rollout.requests import Sampling

TOLERANCE = 1e-4
NEW_TOKENS = 64
MOST_DEVICES = 64  # along an axis, emulated
CHUNK = 256  # positions whose logits are held at once


def main() -> int:
    args = parse()
    shape = [int(n) for n in args.mesh.split("x")]
    jax.config.update("jax_platforms", "cpu")  # a GPU's float32 is TensorFloat: other digits
    jax.config.update("jax_num_cpu_devices", int(np.prod(shape)))
    import torch
    from transformers import AutoModelForCausalLM

    directory = hf_config.resolve(args.model)
    cfg, mesh = hf_config.read_config(directory), sharding.make_mesh(shape)
    if args.positions > cfg.max_positions:
        raise ValueError(f"--positions: got {args.positions}, allowed is <= {cfg.max_positions}")
    if cfg.max_positions <= NEW_TOKENS:
        raise ValueError(
            f"{directory}: {cfg.max_positions} positions, more than {NEW_TOKENS} wanted"
        )
    params = hf.load_params(directory, cfg, mesh)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

    rng = np.random.default_rng(args.seed)
    lengths = [args.positions, max(args.positions * 3 // 5, 1), max(args.positions // 50, 1)]
    rows = [rng.integers(0, cfg.vocab_size, n).tolist() for n in lengths]
    worst = max(logit_gap(cfg, params, mesh, model, row) for row in rows)
    room = cfg.max_positions - NEW_TOKENS
    equal = all(same_continuation(cfg, params, mesh, model, row[:room]) for row in rows)
    figures = {"max_abs_diff": worst, "greedy_equal": equal}
    print(json.dumps({**figures, "positions": args.positions, "mesh": args.mesh}))
    return int(not (worst <= TOLERANCE and equal))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="directory or hub name in the local cache")
    parser.add_argument("--positions", type=int, default=2500, help="tokens of the longest row")
    parser.add_argument("--mesh", default="1x1x1", help="data x fsdp x tensor, emulated on CPU")
    parser.add_argument("--seed", type=int, default=0, help="of the random tokens")
    args = parser.parse_args()
    sizes = args.mesh.split("x")
    if len(sizes) != 3 or not all(n.isdecimal() and 0 < int(n) <= MOST_DEVICES for n in sizes):
        parser.error(f"--mesh: got {args.mesh!r}, expected three sizes, such as 1x8x1")
    if args.positions < 1:
        parser.error(f"--positions: got {args.positions}, allowed is >= 1")
    return args


def logit_gap(cfg, params, mesh, model, row) -> float:
    """The largest difference of one row's logits, a chunk of positions at a time."""
    import torch

    groups = sharding.row_groups(mesh)  # the row is repeated: a mesh splits rows
    token_BT = np.tile(np.asarray(row, np.int32), (groups, 1))
    length_B = np.full(groups, len(row), np.int32)
    token_BT, length_B = jax.device_put((token_BT, length_B), sharding.rows_sharding(mesh))
    forward = jax.jit(transformer.hidden_states, static_argnums=0)
    h_TD = np.asarray(forward(cfg, params, token_BT, length_B)[0])
    unembed_VD = np.asarray(transformer.unembedding(params))
    with torch.no_grad():
        theirs = model.model(torch.tensor([row])).last_hidden_state[0]
        gap = 0.0
        for t in range(0, len(row), CHUNK):
            want = model.lm_head(theirs[t : t + CHUNK]).numpy()
            gap = max(gap, float(np.abs(h_TD[t : t + CHUNK] @ unembed_VD.T - want).max()))
    return gap


def same_continuation(cfg, params, mesh, model, row) -> bool:
    import torch

    with torch.no_grad():
        theirs = model.generate(
            torch.tensor([row]), attention_mask=torch.ones(1, len(row), dtype=torch.long),
            max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0,
        )[0, len(row) :].tolist()  # fmt: skip
    sampling = Sampling(max_new_tokens=NEW_TOKENS, temperature=0.0)
    each = len(row) + NEW_TOKENS + PAGE_SIZE  # of a group of devices
    engine = Engine(cfg, mesh, stop_ids=(), slots=1, cache_tokens=each * sharding.row_groups(mesh))
    [ours] = engine.generate(params, [row], sampling, [0])
    return list(ours.token_ids) == theirs


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
