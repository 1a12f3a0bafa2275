"""Compare a model's logits here with those of ``transformers`` on PyTorch, on CPU.

    python scripts/check_parity.py MODEL_DIR [--positions=2500] [--mesh=1x8x1]

Three rows of random tokens, the longest of ``positions``, whose last 64 this library continues
greedily. The truth is PyTorch in float64, and how far float32 may be from it is measured, because
activations of thousands leave float32 few digits: this library's logits may be as far as PyTorch's
own in float32 are, times RMS_TIMES in the mean of squares and times MAX_TIMES in the worst one,
plus ULPS last places of the largest logit. A greedy token has to have the largest logit in
float64, or one that is less by at most twice what is allowed of the worst.

Prints one JSON line: ``rms_diff``, ``max_abs_diff`` (of logits, to float64), the same of PyTorch's
float32 (``torch_...``), what is allowed of both, ``largest_logit``, ``greedy_shortfall``,
``positions``, ``mesh``. Exit status 0 if all is within what is allowed, 1 if not, 2 if nothing
could be compared: arguments that cannot be, a directory that cannot be read. Needs the ``test``
extra, and on the host the model once in float64.
"""

import argparse
import contextlib
import json
import sys
from unittest import mock

import jax
import numpy as np

from waltzjax.engine.engine import Engine
from waltzjax.engine.requests import Sampling
from waltzjax.engine.shape import PAGE_SIZE
from waltzjax.model import sharding, transformer
from waltzjax.model.hf import config, weights

RMS_TIMES = 2  # 0.64 to 1.12 was measured, of models with activations of thousands
MAX_TIMES = 8  # 0.4 to 3.3 was measured: the worst of many is a matter of chance
ULPS = 2  # for models so small that PyTorch's own distance is one rounding
NEW_TOKENS = 64
MOST_DEVICES = 64  # along an axis, emulated
CHUNK = 256  # positions whose logits are held at once
TOLERANCE = (
    f"Allowed is {RMS_TIMES} times the root mean square distance, and {MAX_TIMES} times the largest"
    f" one, of PyTorch's float32 logits from its float64 ones, each plus {ULPS} float32 last "
    "places of the largest logit."
)


def main() -> int:
    args = parse()
    shape = [int(n) for n in args.mesh.split("x")]
    jax.config.update("jax_platforms", "cpu")  # a GPU's float32 is TensorFloat: other digits
    jax.config.update("jax_num_cpu_devices", int(np.prod(shape)))

    directory = config.resolve(args.model)
    cfg, mesh = config.read_config(directory), sharding.make_mesh(shape)
    if args.positions > cfg.max_positions:
        raise ValueError(f"--positions: got {args.positions}, allowed is <= {cfg.max_positions}")
    rng = np.random.default_rng(args.seed)
    lengths = [args.positions, args.positions * 3 // 5, args.positions // 50]
    rows = [rng.integers(0, cfg.vocab_size, max(n - NEW_TOKENS, 1)).tolist() for n in lengths]

    params = weights.load_params(directory, cfg, mesh)
    rows = [row + continuation(cfg, params, mesh, row) for row in rows]
    ours = [hidden_states(cfg, params, mesh, row) for row in rows]
    unembed_VD = np.asarray(transformer.unembedding(params))
    del params
    figures = compare(directory, rows, ours, unembed_VD)
    print(json.dumps({**figures, "positions": args.positions, "mesh": args.mesh}))
    return int(not agrees(figures))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=TOLERANCE)
    parser.add_argument("model", help="directory or hub name in the local cache")
    parser.add_argument("--positions", type=int, default=2500, help="tokens of the longest row")
    parser.add_argument("--mesh", default="1x1x1", help="data x fsdp x tensor, emulated on CPU")
    parser.add_argument("--seed", type=int, default=0, help="of the random tokens")
    args = parser.parse_args()
    sizes = args.mesh.split("x")
    if len(sizes) != 3 or not all(n.isdecimal() and 0 < int(n) <= MOST_DEVICES for n in sizes):
        parser.error(f"--mesh: got {args.mesh!r}, expected three sizes, such as 1x8x1")
    if args.positions <= NEW_TOKENS:
        parser.error(f"--positions: got {args.positions}, allowed is > {NEW_TOKENS}")
    if args.seed < 0:
        parser.error(f"--seed: got {args.seed}, allowed is >= 0")
    return args


def continuation(cfg, params, mesh, row) -> list[int]:
    """The greedy continuation of ``row`` by this library's engine."""
    sampling = Sampling(max_new_tokens=NEW_TOKENS, temperature=0.0)
    each = len(row) + NEW_TOKENS + PAGE_SIZE  # of a group of devices
    engine = Engine(
        cfg, mesh, stop_ids=(), max_num_seqs=1, cache_tokens=each * sharding.row_groups(mesh)
    )
    [ours] = engine.generate(params, [row], sampling, [0])
    return list(ours.token_ids)


def hidden_states(cfg, params, mesh, row) -> np.ndarray:
    """This library's final hidden states [T, D] of one row, float32."""
    groups = sharding.row_groups(mesh)  # the row is repeated: a mesh splits rows
    token_BT = np.tile(np.asarray(row, np.int32), (groups, 1))
    length_B = np.full(groups, len(row), np.int32)
    token_BT, length_B = jax.device_put((token_BT, length_B), sharding.rows_sharding(mesh))
    forward = jax.jit(transformer.hidden_states, static_argnums=0)
    return np.asarray(forward(cfg, params, token_BT, length_B)[0])


def compare(directory, rows, ours, unembed_VD) -> dict[str, float]:
    """The figures; hidden states ``ours`` [T, D] and those of PyTorch in float32 against PyTorch's
    in float64, a chunk of positions at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    def states(model) -> list:
        return [model.model(torch.tensor([row])).last_hidden_state[0] for row in rows]

    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, trust_remote_code=False
        ).eval()
        theirs, head = states(model), torch.nn.Linear(*unembed_VD.shape[::-1], bias=False)
        head.weight.copy_(model.lm_head.weight)
        with float64_throughout():
            model = model.double()
            truth = states(model)
        mine, torchs = Distance(), Distance()
        largest = shortfall = 0.0
        for row, h_TD, theirs_TD, truth_TD in zip(rows, ours, theirs, truth, strict=True):
            for t in range(0, len(row), CHUNK):
                part = slice(t, t + CHUNK)
                want_TV = model.lm_head(truth_TD[part]).numpy()
                mine.add(h_TD[part] @ unembed_VD.T - want_TV)
                torchs.add(head(theirs_TD[part]).numpy() - want_TV)
                largest = max(largest, float(np.abs(want_TV).max()))
                first = max(t, len(row) - NEW_TOKENS - 1)
                for at in range(first, min(t + CHUNK, len(row) - 1)):
                    logits_V = want_TV[at - t]
                    shortfall = max(shortfall, float(logits_V.max() - logits_V[row[at + 1]]))
    floor = ULPS * float(np.spacing(np.float32(largest)))
    return {
        "rms_diff": mine.rms,
        "torch_rms_diff": torchs.rms,
        "allowed_rms": RMS_TIMES * torchs.rms + floor,
        "max_abs_diff": mine.largest,
        "torch_max_abs_diff": torchs.largest,
        "allowed_max": MAX_TIMES * torchs.largest + floor,
        "largest_logit": largest,
        "greedy_shortfall": shortfall,
    }


class Distance:
    """Root mean square and largest size of differences that come in parts; NaN once one is."""

    def __init__(self):
        self.largest, self._squares, self._count = 0.0, 0.0, 0

    def add(self, difference) -> None:
        self.largest = float(np.maximum(self.largest, np.abs(difference).max()))
        self._squares += float(np.square(difference).sum())
        self._count += difference.size

    @property
    def rms(self) -> float:
        return (self._squares / self._count) ** 0.5


def agrees(figures) -> bool:
    """True where all figures are within what is allowed; a NaN is not."""
    near = figures["rms_diff"] <= figures["allowed_rms"]
    near = near and figures["max_abs_diff"] <= figures["allowed_max"]
    return near and figures["greedy_shortfall"] <= 2 * figures["allowed_max"]


@contextlib.contextmanager
def float64_throughout():
    """Have float64 models be so: the norms and rotations of ``transformers`` compute in float32,
    whatever type a model is in. The rotary frequencies stay the float32 ones that models know."""
    import torch

    with (
        mock.patch.multiple(torch, float32=torch.float64, float=torch.float64),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        yield


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
