"""Useful tokens a second of generation: this engine, ``transformers.generate``, Tunix's sampler.

    python scripts/bench_rollout.py [--requests=256] [--json] [--model=DIR]

The same weights, prompts and answers' lengths for all, float32, temperature 1, by turns in one
run. The workload is made like WaltzRL's: half of the requests are answers (median 80 tokens, a long
tail up to 512), half are feedback (median 48, up to 120) on longer prompts; each half begins with a
system prompt of its own. A length is imposed where an answer would have ended by itself: this
engine and ``generate`` stop the row there (a stopping criterion), Tunix's sampler, which cannot,
runs each batch up to its longest row. Useful tokens are those lengths' sum.

``generate`` and Tunix go through the requests in order, in batches; each size of ``--batches`` is
tried on a quarter of the requests, the best is timed on all. Tunix is measured where
``google-tunix`` is installed (its pins may replace those of this project: use an environment of its
own). Peak memory is that of a process that runs one contestant alone, compilation included: this
engine all requests, the others only their largest batch.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import flags

from waltzjax.run import cli
from waltzjax.support.console import phase, say, table

CONTESTANTS = ("ours", "transformers", "tunix")
MIB = 2**20
COMPILED = "/jax/core/compile/backend_compile_duration"  # told to listeners

flags.DEFINE_string("model", "", "Hugging Face directory of a Llama; default: a random one, 28 M.")
flags.DEFINE_integer("requests", 256, "Requests.", lower_bound=2)
flags.DEFINE_integer("slots", 24, "Slots of this engine.", lower_bound=1)
flags.DEFINE_integer("cache_tokens", 5120, "Tokens of this engine's cache.", lower_bound=1)
flags.DEFINE_list("batches", ["8", "16", "32"], "Batch sizes tried for the others.")
flags.DEFINE_integer("rounds", 2, "Timed turns of each, after the trials.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of prompts and lengths.", lower_bound=0)
flags.DEFINE_bool("json", False, "Print one JSON line alone.")
flags.DEFINE_enum("only", "", ["", *CONTESTANTS], "Run one of them once; for its peak memory.")
flags.DEFINE_integer("only_batch", 32, "Its batch size.", lower_bound=1)


class Work(NamedTuple):
    prompts: list[list[int]]
    lengths: list[int]  # tokens of the answers

    def batches(self, size: int) -> list[Work]:
        starts = range(0, len(self.prompts), size)
        return [self.part(slice(s, s + size)) for s in starts]

    def part(self, which: slice) -> Work:
        return Work(*(column[which] for column in self))

    def largest(self, size: int) -> Work:
        """The batch of most padded tokens."""
        return max(self.batches(size), key=lambda w: max(map(len, w.prompts)) + max(w.lengths))


def make_work(count: int, vocabulary: int, seed: int) -> Work:
    rng = np.random.default_rng(seed)

    def tokens(n: int) -> list[int]:
        return rng.integers(3, vocabulary, n).tolist()

    def draw(median: float, spread: float, low: int, high: int) -> int:
        return int(np.clip(median * np.exp(spread * rng.normal()), low, high))

    systems, prompts, lengths = (tokens(40), tokens(96)), [], []
    for _ in range(count // 2):
        asked, answered = tokens(draw(40, 0.6, 8, 160)), draw(80, 0.9, 8, 512)
        prompts += [systems[0] + asked, systems[1] + asked + tokens(min(answered, 160))]
        lengths += [answered, draw(48, 0.35, 16, 120)]
    order = rng.permutation(len(prompts))
    return Work([prompts[i] for i in order], [lengths[i] for i in order])


class Contestant(NamedTuple):
    run: Callable[[Work], int]  # generates everything; tokens that were asked for
    report: Callable[[], dict[str, float]]


def ours(directory: Path, work: Work, batch: int) -> Contestant:
    from waltzjax.engine.engine import Engine
    from waltzjax.engine.requests import Request, Sampling
    from waltzjax.model import sharding
    from waltzjax.model.decode import generation_params
    from waltzjax.model.hf import config as hf_config
    from waltzjax.model.hf import weights

    f, mesh = flags.FLAGS, sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    cfg = hf_config.read_config(directory, dtype="float32", param_dtype="float32", remat="none")
    engine = Engine(cfg, mesh, (), max_num_seqs=f.slots, cache_tokens=f.cache_tokens)
    # In no other form than generation's, as no one trains here.
    params = generation_params(cfg, mesh, {"model": weights.load_params(directory, cfg, mesh)})
    with phase("this engine: compiling"):
        engine.warm_up(params)
    compiled, last = [0], []  # programs, in runs of this engine

    def count(event: str, *_: object, **__: object) -> None:
        compiled[0] += running[0] and event == COMPILED

    running = [False]
    jax.monitoring.register_event_duration_secs_listener(count)

    def run(work: Work) -> int:
        running[0] = True
        with engine.session(params) as session:
            for i, (prompt, length) in enumerate(zip(*work, strict=True)):
                session.submit(Request(i, "model", tuple(prompt), Sampling(length), i))
            tokens = sum(len(result.token_ids) for _, result in session.finished())
            last[:] = [session.stats()]
        running[0] = False
        return tokens

    def report() -> dict[str, float]:
        return {
            "occupancy": last[0].occupancy,
            "compilations_after_warmup": compiled[0],
        }

    return Contestant(run, report)


def transformers(directory: Path, work: Work, batch: int) -> Contestant:
    import torch
    from transformers import AutoModelForCausalLM, StoppingCriteria

    class Lengths(StoppingCriteria):
        def __init__(self, prompt: int, lengths: Sequence[int]):
            self.ends = torch.as_tensor(lengths) + prompt

        def __call__(self, input_ids, scores, **_):
            return input_ids.shape[1] >= self.ends

    model = AutoModelForCausalLM.from_pretrained(
        str(directory), dtype=torch.float32, trust_remote_code=False
    ).eval()
    model.generation_config.eos_token_id = None

    def run(work: Work) -> int:
        for prompts, lengths in work.batches(batch):
            longest = max(map(len, prompts))
            ids = torch.zeros(len(prompts), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, prompt in enumerate(prompts):
                ids[row, -len(prompt) :], mask[row, -len(prompt) :] = torch.tensor(prompt), 1
            with torch.inference_mode():
                out = model.generate(
                    ids,
                    attention_mask=mask,
                    do_sample=True,
                    temperature=1.0,
                    top_k=0,
                    top_p=1.0,
                    max_new_tokens=max(lengths),
                    pad_token_id=0,
                    stopping_criteria=[Lengths(longest, lengths)],
                )
            assert out.shape[1] == longest + max(lengths)
        return sum(work.lengths)

    return Contestant(run, dict)


def tunix(directory: Path, work: Work, batch: int) -> Contestant:
    from tunix.generate.sampler import CacheConfig, Sampler
    from tunix.models.llama3 import model as llama
    from tunix.models.llama3.params import create_model_from_safe_tensors

    shape = json.loads((directory / "config.json").read_text())
    heads = (shape["num_attention_heads"], shape["head_dim"], shape["num_key_value_heads"])
    config = llama.ModelConfig(
        shape["num_hidden_layers"],
        shape["vocab_size"],
        shape["hidden_size"],
        shape["intermediate_size"],
        *heads,
        shape["rope_parameters"]["rope_theta"],
        shape["rms_norm_eps"],
        weight_tying=shape["tie_word_embeddings"],
    )

    class Numbers:
        """A tokenizer of texts that are token numbers."""

        def encode(self, text, **_):
            return list(map(int, text.split()))

        def decode(self, ids, **_):
            return " ".join(map(str, ids))

        def bos_id(self):
            return 1

        def pad_id(self):
            return 0

        def eos_id(self):
            return shape["vocab_size"]  # none: lengths are imposed

    def up(n: int, step: int) -> int:
        return -(-n // step) * step

    auto = (jax.sharding.AxisType.Auto,) * 2
    mesh = jax.make_mesh((1, 1), ("fsdp", "tp"), axis_types=auto)
    with mesh:
        model = create_model_from_safe_tensors(str(directory), config, mesh)
    room = up(max(map(len, work.prompts)), 64) + up(max(work.lengths), 64)
    cache = CacheConfig(room, config.num_layers, config.num_kv_heads, config.head_dim)
    sampler = Sampler(model, Numbers(), cache)

    def run(work: Work) -> int:
        for prompts, lengths in work.batches(batch):
            missing = batch - len(prompts)  # one shape fewer to compile
            with mesh:
                sampler(
                    [" ".join(map(str, p)) for p in prompts + prompts[:1] * missing],
                    max_generation_steps=up(max(lengths), 64),  # few shapes
                    max_prompt_length=up(max(map(len, prompts)), 64),
                    temperature=1.0,
                    top_p=1.0,
                    seed=0,
                )
        return sum(work.lengths)

    return Contestant(run, dict)


def random_model(directory: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(directory)


def timed(contestant: Contestant, work: Work) -> float:
    """Useful tokens a second."""
    start = time.perf_counter()
    tokens = contestant.run(work)
    seconds = time.perf_counter() - start
    assert tokens == sum(work.lengths)
    return tokens / seconds


def peak_of_this_process() -> float:
    """Peak memory of this process, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts on from that of the process that started this one
        line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / MIB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def peak_mib(name: str, directory: Path, batch: int) -> float:
    """Peak memory of a process that runs the contestant alone, in MiB."""
    f = flags.FLAGS
    command = [
        sys.executable,
        __file__,
        f"--only={name}",
        f"--only_batch={batch}",
        f"--model={directory}",
        f"--requests={f.requests}",
        f"--slots={f.slots}",
        f"--cache_tokens={f.cache_tokens}",
        f"--seed={f.seed}",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def compare(directory: Path, work: Work) -> dict:
    f = flags.FLAGS
    others = ["transformers"] + ["tunix"] * (importlib.util.find_spec("tunix") is not None)
    make = {"ours": ours, "transformers": transformers, "tunix": tunix}
    best = {"ours": (make["ours"](directory, work, 0), 0)}
    for name in others:
        trials = []
        for size in map(int, f.batches):
            contestant = make[name](directory, work, size)
            with phase(f"{name}: batches of {size}"):
                subset = work.part(slice(max(size, len(work.prompts) // 4)))
                if name == "tunix":
                    contestant.run(subset)  # compiles
                trials.append((timed(contestant, subset), size, contestant))
            say(f"  {trials[-1][0]:.0f} tokens/s")
        _, size, contestant = max(trials, key=lambda trial: trial[0])
        if name == "tunix":
            with phase("tunix: compiling for the rest"):
                contestant.run(work)
        best[name] = (contestant, size)
    best["ours"][0].run(work)
    rates: dict[str, list[float]] = {name: [] for name in best}
    for turn in range(f.rounds):
        for name, (contestant, _) in best.items():
            with phase(f"round {turn + 1}: {name}"):
                rates[name].append(timed(contestant, work))
    memory = {name: peak_mib(name, directory, size or 1) for name, (_, size) in best.items()}
    median = {name: statistics.median(values) for name, values in rates.items()}

    def ratio(name: str) -> float | None:
        if name not in rates:
            return None
        return statistics.median(a / b for a, b in zip(rates["ours"], rates[name], strict=True))

    return {
        "requests": len(work.prompts),
        "tokens": sum(work.lengths),
        "ours_tokens_per_s": median["ours"],
        "hf_tokens_per_s": median["transformers"],
        "tunix_tokens_per_s": median.get("tunix"),
        "ratio_hf": ratio("transformers"),
        "ratio_tunix": ratio("tunix"),
        **best["ours"][0].report(),
        "hf_batch": best["transformers"][1],
        "tunix_batch": best.get("tunix", (0, None))[1],
        "peak_mib": memory,
    }


def main() -> None:
    f = flags.FLAGS
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(f.model or scratch)
        if not f.model:
            random_model(directory)
        shape = json.loads((directory / "config.json").read_text())
        work = make_work(f.requests, shape["vocab_size"], f.seed)
        if f.only:
            make = {"ours": ours, "transformers": transformers, "tunix": tunix}[f.only]
            subset = work if f.only == "ours" else work.largest(f.only_batch)
            make(directory, work, f.only_batch).run(subset)
            print(peak_of_this_process())
            return
        with contextlib.redirect_stdout(sys.stderr if f.json else sys.stdout):
            result = compare(directory, work)
    if not f.json:
        rows = [[k, v] for k, v in result.items() if not isinstance(v, dict)]
        rows += [[f"peak MiB, {k}", v] for k, v in result["peak_mib"].items()]
        say(table(f"{f.requests} requests", ["measure", "value"], rows))
    print(json.dumps(result))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    cli.run(main)
