"""How much of the embedded prompt world a linear model of word pairs solves.

    python scripts/check_world.py [--coded=0,0.3] [--seeds=0] [--held_out=validation]

For each share of coded prompts (0 is ``:tiny``, 0.3 is ``:coded``; see ``config.embedded.coded``) a
logistic regression on which word bigrams a prompt has, hashed, learns from all training prompts
which are harmful, and is measured on the held-out ones: their frames and their pairs of act and
thing are new. What it reaches needs no composition: a policy may have learned as little. Prints a
table and ends with a JSON line; ten seconds a world on one core.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Sequence

import numpy as np
from absl import app, flags

from waltzjax.toy import safety_world
from waltzjax.types import Prompt

BUCKETS = 2**16
EPOCHS, BATCH, RATE = 20, 64, 0.5  # of AdaGrad (Duchi et al. 2011), from zero

flags.DEFINE_list("coded", ["0", "0.3"], "Shares of coded prompts, each in [0, 1].")
flags.DEFINE_list("seeds", ["0"], "Seeds of the world.")
flags.DEFINE_enum("held_out", "validation", ("validation", "development"), "Frames measured on.")


def bigrams(text: str) -> np.ndarray:
    """The buckets of a text's word pairs, each once; its two ends are words too."""
    words = ["^", *re.findall(r"\w+|[^\w\s]", text.lower()), "$"]
    pairs = map(" ".join, itertools.pairwise(words))
    return np.unique([zlib.crc32(pair.encode()) % BUCKETS for pair in pairs])


def fit(rows: Sequence[np.ndarray], labels: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Weights of the buckets and the intercept of a logistic regression."""
    weights, squares = np.zeros(BUCKETS + 1), np.full(BUCKETS + 1, 1e-8)
    rows = [np.append(row, BUCKETS) for row in rows]  # the intercept's
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(rows)), max(len(rows) // BATCH, 1)):
            buckets = np.concatenate([rows[i] for i in batch])
            owner = np.repeat(np.arange(len(batch)), [len(rows[i]) for i in batch])
            score = np.bincount(owner, weights[buckets], len(batch))
            error = 1 / (1 + np.exp(-score)) - labels[batch]
            gradient = np.bincount(buckets, error[owner], BUCKETS + 1) / len(batch)
            squares += gradient**2
            weights -= RATE * gradient / np.sqrt(squares)
    return weights[:-1], weights[-1]


def accuracy(weights: np.ndarray, intercept: float, prompts: Sequence[Prompt]) -> float:
    """The share of prompts that are called what they are."""
    right = [(weights[bigrams(p.text)].sum() + intercept > 0) == p.harmful for p in prompts]
    return float(np.mean(right))


def measure(seed: int, held_out: str, coded: float) -> dict[str, float]:
    """Accuracies on training and held-out prompts of one world."""
    train, validation, _ = safety_world.build(seed, held_out, coded)
    rows = [bigrams(prompt.text) for prompt in train]
    model = fit(rows, np.array([float(prompt.harmful) for prompt in train]), seed)
    return {
        "coded": coded,
        "seed": seed,
        "train": accuracy(*model, train),
        held_out: accuracy(*model, validation),
    }


def main(_) -> None:
    f = flags.FLAGS
    print(f"{'coded':>6} {'seed':>5} {'train %':>9} {f.held_out + ' %':>13}")
    results = []
    for coded in map(float, f.coded):
        for seed in map(int, f.seeds):
            results.append(m := measure(seed, f.held_out, coded))
            print(f"{coded:6.2f} {seed:5} {100 * m['train']:9.1f} {100 * m[f.held_out]:13.1f}")
    print(json.dumps(results))


if __name__ == "__main__":
    app.run(main)
