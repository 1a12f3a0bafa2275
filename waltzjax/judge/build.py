"""The judge that ``config.judge`` asks for, with what it holds open."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from waltzjax.data.chat import PROMPTS, AgentPrompt, fill, read_agent_prompt
from waltzjax.engine.requests import Sampling
from waltzjax.judge import model_judges
from waltzjax.judge.endpoint import Endpoint, import_openai, read_key
from waltzjax.judge.judge import JUDGES, Judge, sparing
from waltzjax.judge.model_judges import chat_judge
from waltzjax.judge.verdict_cache import VerdictCache
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import weights
from waltzjax.run.runtime import load_tokenizer, make_engine, read_model_config
from waltzjax.support import console
from waltzjax.support.errors import (
    CacheError,
    JudgeError,
    JudgeOutage,
    JudgeStopped,
    RequestRefused,
)
from waltzjax.support.processes import alone, from_first, writes
from waltzjax.types import Prompt, Verdict

VERDICTS = (None, *(Verdict(unsafe, over) for unsafe in (False, True) for over in (False, True)))
# -1, -2, ... instead of the number of one of these; the first is what nobody thought of.
ERRORS = (RuntimeError, JudgeOutage, JudgeStopped, RequestRefused, CacheError)


def check_judge(config: ConfigDict) -> dict[str, str]:
    """Check the judge before anything is written; its prompt file as text, for the run's record.

    Raises:
      ValueError, OSError, ImportError: the key, the package or the prompt's file cannot be.
    """
    j = config.judge
    if j.url and writes():
        read_key(j.key_env)
        import_openai()
    if j.name != "openai":
        return {}
    _read_prompt(config)
    return {"judge": _prompt_file(config).read_text(encoding="utf-8")}


def _prompt_file(config: ConfigDict) -> Path:
    return Path(config.judge.prompt) if config.judge.prompt else PROMPTS / "judge.txt"


def _read_prompt(config: ConfigDict) -> AgentPrompt:
    try:
        return read_agent_prompt(_prompt_file(config), ["prompt", "answer"])
    except OSError as error:
        raise type(error)(
            f"config.judge.prompt: {_prompt_file(config)}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ValueError(f"config.judge.prompt: {error}") from error


@contextmanager
def open_judge(config: ConfigDict, mesh: Mesh, workdir: Path) -> Iterator[Judge]:
    """The judge of a run in ``workdir``; its threads and files end with the block.

    Raises:
      ValueError, OSError, ImportError, CacheError: the model, prompt, key, package or cache cannot
        be; before anything is asked.
    """
    j = config.judge
    if j.name in JUDGES:
        yield JUDGES[j.name]
    elif not j.url:
        yield sparing(local_wildguard(config, mesh))
    else:
        with ExitStack() as stack:
            judge = None
            if writes():
                judge = _behind_endpoint(config, workdir, stack)
            asked = judge if judge and alone() else of_all_processes(judge, j.concurrency)
            yield sparing(asked)


def _behind_endpoint(config: ConfigDict, workdir: Path, stack: ExitStack) -> Judge:
    j = config.judge
    prompt = None if j.name == "wildguard" else _read_prompt(config)
    endpoint = stack.enter_context(
        Endpoint(
            j.url,
            j.model,
            max_tokens=j.max_tokens if prompt else model_judges.MAX_TOKENS,
            key_env=j.key_env,
            timeout_s=j.timeout_s,
            retry_s=j.retry_s,
            say=console.say,
            stop=threading.Event(),
        )
    )
    path = Path(j.cache) if j.cache else workdir / "verdicts.sqlite"
    cache = stack.enter_context(closing(VerdictCache(path)))
    if prompt is None:
        return model_judges.wildguard_judge(endpoint, cache=cache, concurrency=j.concurrency)
    return chat_judge(
        endpoint,
        prompt.system,
        lambda p, a: fill(prompt.message, prompt=p, answer=a),
        cache=cache,
        concurrency=j.concurrency,
    )


def local_wildguard(config: ConfigDict, mesh: Mesh) -> Judge:
    """WildGuard on this run's devices, in a rollout of its own once the agents' has ended."""
    directory = hf_config.resolve(config.judge.model)
    cfg = read_model_config(config, directory)
    tokenizer = load_tokenizer(directory, template=False)
    stops = (tokenizer.eos_token_id,)
    engine = make_engine(config, cfg, mesh, stops, None)
    with console.phase(f"loading the judge {config.judge.model}"):
        params = weights.load_params(directory, cfg, mesh)
    how = Sampling(model_judges.MAX_TOKENS, temperature=0.0)
    room = engine.longest - how.max_new_tokens
    unparsed: list[str] = []

    def verdicts(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Verdict | None]:
        texts = [model_judges.instruction(p.text, a) for p, a in zip(prompts, answers, strict=True)]
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
        fitting = [i for i, row in enumerate(rows) if len(row) <= room]
        if len(fitting) < len(rows):
            longest = max(map(len, rows))
            unparsed[:] = [
                f"not asked about {longest} tokens, there is room for {room}: allow a larger "
                "config.rollout.cache_tokens, or fewer config.rollout.max_new_tokens"
            ]
        drawn = engine.generate(params, [rows[i] for i in fitting], how, [0] * len(fitting))
        results: list[Verdict | None] = [None] * len(rows)
        for i, completion in zip(fitting, drawn, strict=True):
            reply = tokenizer.decode(completion.token_ids, skip_special_tokens=True)
            results[i] = model_judges.parse_answers(reply)
            if results[i] is None:
                unparsed[:] = [reply]
        return results

    return Judge(verdicts, concurrency=0, unparsed=unparsed)


def of_all_processes(judge: Judge | None, concurrency: int) -> Judge:
    """``judge`` of the first process, whose verdicts all take: asked twice, a model may say two
    things, and the processes would part."""

    def verdicts(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Verdict | None]:
        numbers, message = np.full(len(answers), -1, np.int32), ""
        try:
            if judge:
                with ThreadPoolExecutor(concurrency) as pool:
                    each = pool.map(judge.verdicts, [[p] for p in prompts], [[a] for a in answers])
                    numbers[:] = [VERDICTS.index(verdict) for [verdict] in each]
        except JudgeError as error:
            numbers[:], message = -1 - ERRORS.index(type(error)), str(error)
        finally:  # the others wait for it
            numbers = from_first(numbers)
        if numbers.min() < 0:
            message = message or "the judge: the first process could not go on; see what it said"
            raise ERRORS[-1 - numbers.min()](message)
        return [VERDICTS[n] for n in numbers]

    stop, unparsed = (judge.stop, judge.unparsed) if judge else (None, ())
    return Judge(verdicts, 0, stop, unparsed)
