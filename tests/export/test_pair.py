"""An exported run says what the run says, whole or not at all."""

import errno
import json
import shutil
import signal
import subprocess

import finished
import forked
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import mesh_of, slow

from waltzjax.export import pair
from waltzjax.export.agent import write_agent
from waltzjax.export.pair import export_run
from waltzjax.export.source import read_run
from waltzjax.export.sums import write_sums
from waltzjax.export.tensors import other_tensors
from waltzjax.export.verify import verify
from waltzjax.model import transformer
from waltzjax.model.hf import config as hf_config
from waltzjax.model.hf import peft, weights
from waltzjax.model.lora import attach
from waltzjax.run.recorded import recorded_config
from waltzjax.run.runtime import load_tokenizer, make_chat

LOGITS_ATOL = 1e-4
IDS = [[3, 17, 40, 5], [9, 8, 7, 6]]


def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def last_logits(directory, base=None, adapter=None):
    """This library's, of the last token of IDS."""
    cfg = hf_config.read_config(base or directory)
    params = weights.load_params(base or directory, cfg, mesh_of(1, 1, 1))
    params = attach(params, adapter, finished.FORM.scale) if adapter else params
    ids, length = jnp.array(IDS), jnp.full(len(IDS), len(IDS[0]))
    hidden = transformer.hidden_states(cfg, params, ids, length)[:, -1]
    return np.asarray(hidden @ transformer.unembedding(params).T)


def torch_logits(model):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return model.eval()(torch.tensor(IDS)).logits[:, -1].float().numpy()


def test_a_stranger_loads_the_agents_of_the_run(run, exported):
    """With transformers, which shares no code with what wrote them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for role in ("conversation", "feedback"):
        model = AutoModelForCausalLM.from_pretrained(exported / role, dtype="float32")
        want = last_logits(run / role)
        np.testing.assert_allclose(torch_logits(model), want, atol=LOGITS_ATOL)
        assert np.abs(want - last_logits(run / "base")).max() > 100 * LOGITS_ATOL
        tokenizer = AutoTokenizer.from_pretrained(exported / role)
        assert tokenizer.chat_template == load_tokenizer(run / role).chat_template
        settings = json.loads((exported / role / "generation_config.json").read_text())
        assert settings["eos_token_id"] == [2]


def test_sha256sum_itself_finds_every_file_and_all_of_them_right(exported):
    listed = set()
    for directory in (exported, exported / "conversation", exported / "feedback"):
        done = subprocess.run(
            ["sha256sum", "--strict", "-c", "SHA256SUMS"],
            cwd=directory, capture_output=True, text=True, check=True,
        )  # fmt: skip
        names = [line.removesuffix(": OK") for line in done.stdout.splitlines()]
        assert names == sorted(names)
        listed |= {directory / name for name in names}
    files = {path for path in exported.rglob("*") if path.is_file()}
    assert listed == files - {exported / "SHA256SUMS"}


def test_others_may_read_every_file(run, exported, tmp_path):
    """Also where an older version, or safetensors alone, left weights that only their owner may."""
    plain = tmp_path / "plain"
    plain.touch()
    assert {p.stat().st_mode for p in exported.rglob("*") if p.is_file()} == {plain.stat().st_mode}
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "feedback/model.safetensors").chmod(0o600)
    export_run(read_run(copy), tmp_path / "out", "", merges=False)
    weights_file = tmp_path / "out/feedback/model.safetensors"
    assert weights_file.stat().st_mode == plain.stat().st_mode


def test_verify_finds_the_export_right_with_the_run_and_without(run, exported, capsys):
    verify(exported, None)
    verify(exported, read_run(run))
    said = capsys.readouterr().out
    assert said.count("2 agents are as exported") == 2
    assert said.count("transformers in PyTorch") == 4


def flip_bit(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["conversation/model.safetensors", "config.json", "SHA256SUMS"])
def test_one_flipped_bit_is_found_and_its_file_is_named(name, exported, tmp_path):
    copy = copied(exported, tmp_path)
    flip_bit(copy / name, 100 if name == "SHA256SUMS" else 5000 if "model" in name else 200)
    with pytest.raises(ValueError, match="SHA256SUMS" if "SUMS" in name else name):
        verify(copy, None)


def test_missing_and_foreign_files_are_named(exported, tmp_path):
    copy = copied(exported, tmp_path)
    (copy / "feedback/config.json").rename(copy / "feedback/extra.json")
    with pytest.raises(ValueError) as caught:
        verify(copy, None)
    assert "feedback/config.json: missing" in str(caught.value)
    assert "feedback/extra.json: not listed" in str(caught.value)


def renew_sums(directory):
    """As somebody does who changes a file and its digest."""
    for path in sorted(directory.rglob("SHA256SUMS"), reverse=True):
        path.unlink()
    for role in ("conversation", "feedback"):
        write_sums(directory / role)
    write_sums(directory)


def test_other_weights_with_right_digests_are_found_by_their_logits(exported, tmp_path):
    copy = copied(exported, tmp_path)
    file = copy / "feedback/model.safetensors"
    arrays = load_file(file)
    arrays["model.layers.1.mlp.up_proj.weight"] *= 1.05
    save_file(arrays, file, metadata={"format": "pt"})
    renew_sums(copy)
    with pytest.raises(ValueError, match=r"feedback: its logits differ .* allowed is 0.0001") as e:
        verify(copy, None)
    assert "conversation:" not in str(e.value)


def test_another_tokenizer_with_right_digests_is_found_by_its_prompts(exported, tmp_path):
    copy = copied(exported, tmp_path)
    template = copy / "conversation/chat_template.jinja"
    template.write_text(template.read_text() + "!")
    renew_sums(copy)
    with pytest.raises(
        ValueError, match="conversation: its tokenizer and chat template make other"
    ):
        verify(copy, None)


def test_an_agent_that_is_not_the_runs_any_more_is_found(run, exported, tmp_path):
    later = shutil.copytree(run, tmp_path / "later")
    shutil.rmtree(later / "feedback")
    finished.write_agent(later / "feedback", 9)
    with pytest.raises(ValueError, match="feedback: its logits differ from the run's by"):
        verify(exported, read_run(later))


@pytest.fixture(scope="module")
def retyped(run):
    """In bfloat16, the agents of a run in float32."""
    export_run(read_run(run), run.parent / "retyped", "bfloat16", merges=False)
    return run.parent / "retyped"


def change_one(path, part, change):
    """Change the first tensor whose name has ``part``; its name."""
    arrays = load_file(path)
    name = next(name for name in arrays if part in name)
    arrays[name] = change(arrays[name].copy())
    save_file(arrays, path, metadata={"format": "pt"})
    return name


def next_step(array):
    """The first number one step of bfloat16 further from 0."""
    array.view(np.uint16).flat[0] += 1
    return array


def test_one_step_of_one_rounded_weight_is_found_where_the_run_is(run, retyped, tmp_path):
    """The logits say nothing of it: they are allowed what rounding all weights does."""
    assert not other_tensors(retyped / "feedback", run / "feedback", run / "base")
    copy = copied(retyped, tmp_path)
    name = change_one(copy / "feedback/model.safetensors", "q_proj", next_step)
    renew_sums(copy)
    with pytest.raises(ValueError, match=f"feedback: tensors that are not the run's: {name}") as e:
        verify(copy, read_run(run))
    assert "logits" not in str(e.value) and "conversation" not in str(e.value)


def test_one_merged_weight_may_be_one_step_away_and_no_more(adapters, tmp_path):
    write_agent(adapters / "feedback", adapters / "base", tmp_path / "out", "bfloat16", merges=True)
    where = (tmp_path / "out", adapters / "feedback", adapters / "base")
    file = tmp_path / "out/model.safetensors"
    assert other_tensors(*where) == []
    left_alone = change_one(file, "k_proj", next_step)  # no target of the adapter
    moved = change_one(file, "v_proj", lambda a: next_step(next_step(next_step(a))))
    assert other_tensors(*where) == sorted([left_alone, moved])
    assert other_tensors(where[0], adapters / "conversation", where[2]) != []


def test_copied_adapters_and_their_base_are_the_very_ones(adapters, exported_adapters, tmp_path):
    copy = copied(exported_adapters, tmp_path)
    where = (copy / "feedback", adapters / "feedback", adapters / "base")
    assert other_tensors(*where) == []
    name = change_one(copy / "feedback/adapter_model.safetensors", "lora_B", lambda a: a * 1.0001)
    of_base = change_one(copy / "base/model.safetensors", "norm", lambda a: a * 1.0001)
    assert other_tensors(*where) == [name, of_base]


def test_peft_computes_what_the_adapters_computed(adapters, exported_adapters):
    pytest.importorskip("torch")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    mesh = mesh_of(1, 1, 1)
    for role in ("conversation", "feedback"):
        adapter, _ = peft.load_adapter(
            adapters / role, hf_config.read_config(adapters / "base"), mesh
        )
        want = last_logits(adapters / role, adapters / "base", adapter)
        base = AutoModelForCausalLM.from_pretrained(exported_adapters / "base", dtype="float32")
        plain = torch_logits(base)
        model = PeftModel.from_pretrained(base, exported_adapters / role)
        np.testing.assert_allclose(torch_logits(model), want, atol=LOGITS_ATOL)
        assert np.abs(plain - want).max() > 100 * LOGITS_ATOL
        assert AutoTokenizer.from_pretrained(exported_adapters / role).chat_template


def test_exported_adapters_find_their_base_wherever_they_lie(exported_adapters, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    shutil.copytree(exported_adapters, moved)
    assert peft.base_directory(moved / "feedback").resolve() == moved / "base"
    verify(moved, None)
    assert "transformers in PyTorch" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [slow(""), slow("bfloat16")])
def test_merged_adapters_are_whole_models_that_say_the_same(dtype, adapters, tmp_path):
    pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    export_run(read_run(adapters), tmp_path / "out", dtype, merges=True)
    assert not (tmp_path / "out/base").exists()
    bound = 0.02 if dtype else LOGITS_ATOL
    for role in ("conversation", "feedback"):
        cfg = hf_config.read_config(adapters / "base")
        adapter, _ = peft.load_adapter(adapters / role, cfg, mesh_of(1, 1, 1))
        want = last_logits(adapters / role, adapters / "base", adapter)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / role, dtype="float32")
        assert np.abs(torch_logits(model) - want).max() <= bound * np.abs(want).max()
    verify(tmp_path / "out", read_run(adapters))


def test_an_adapter_of_an_older_run_gets_its_tokenizer(adapters, tmp_path):
    older = shutil.copytree(adapters, tmp_path / "older")
    for path in (older / "feedback").iterdir():
        if not path.name.startswith("adapter_"):
            path.unlink()
    export_run(read_run(older), tmp_path / "out", "", merges=False)
    assert load_tokenizer(tmp_path / "out/feedback").chat_template
    assert (tmp_path / "out/feedback/generation_config.json").is_file()


def test_nothing_tells_where_it_was_made(exported, exported_adapters):
    for output in (exported, exported_adapters):
        for path in output.rglob("*"):
            if path.is_file() and path.suffix != ".safetensors":
                text = path.read_text()
                assert str(output.parent) not in text and "/home/somebody" not in text, path


def test_the_record_has_the_prompts_of_the_run(run, exported):
    """Also where the files that the run named say something else today."""
    config = recorded_config(exported, "--workdir")
    assert config.rollout.max_new_tokens == recorded_config(run, "").rollout.max_new_tokens == 56
    chat = make_chat(config, load_tokenizer(exported / "feedback"))
    assert chat.feedback.system == "You review the answer."
    assert chat.feedback.message == "{prompt}\nAnswer: {answer}"
    own = json.loads((exported / "config.json").read_text())
    assert own["prompts"] == {r: f"prompts/{r}.txt" for r in ("conversation", "feedback")}


def test_a_policy_is_exported_alone(policy, tmp_path):
    export_run(read_run(policy), tmp_path / "out", "bfloat16", merges=False)
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == {
        "policy", "probes", "prompts",
    }  # fmt: skip
    verify(tmp_path / "out", read_run(policy))
    card = (tmp_path / "out/policy/README.md").read_text()
    assert "| Accuracy, % | 39.50 | 77.25 | 71.00 to 82.50 |" in card
    assert "waltzjax.serve" not in card and "bfloat16, rounded" in card


# ---- mistakes, and what ends half-way ------------------------------------------------------------


def unfinished(run):
    (run / "final_validation_results.json").unlink()


def without_prompts(run):
    path = run / "config.json"
    record = json.loads(path.read_text())
    del record["prompt_texts"]
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (unfinished, r"--workdir: .* has not come to its end: no final_val.*json; the same train"),
        (lambda run: shutil.rmtree(run / "feedback"), "not come to its end: no feedback"),
        (lambda run: (run / "config.json").unlink(), "no run's directory, it has no config.json"),
        (lambda run: (run / "config.json").write_text("{"), "config.json is not JSON"),
        (without_prompts, "no prompt_texts of conversation, feedback"),
    ],
)
def test_a_run_that_cannot_be_exported_is_told_of(spoil, says, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    spoil(copy)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        read_run(copy)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("run", {"output": "conversation"}, "--output: .* is there already"),
        ("run", {"output": "conversation/out"}, r"--output: .* within .*conversation, which bel"),
        ("run", {"output": "checkpoints/out"}, r"--output: .* within .*checkpoints, which bel"),
        ("run", {"merges": True}, "--merge: the run's agents are whole models"),
        ("adapters", {"dtype": "bfloat16"}, "--dtype: got bfloat16, but conversation, feedback"),
    ],
)
def test_mistakes_are_found_before_any_work(kind, given, says, request):
    run = request.getfixturevalue(kind)
    before = sorted(run.parent.rglob("*"))
    output = run / given.get("output", "new")
    with pytest.raises((ValueError, FileExistsError), match=says):
        export_run(read_run(run), output, given.get("dtype", ""), merges=given.get("merges", False))
    assert sorted(run.parent.rglob("*")) == before


def test_a_disk_without_room_is_found_before_any_work(run, monkeypatch, tmp_path):
    size = sum((run / r / "model.safetensors").stat().st_size for r in ("conversation", "feedback"))
    usage = shutil.disk_usage(tmp_path)
    for dtype, free, fits in (("", size // 2, False), ("bfloat16", int(size * 0.6), True)):
        monkeypatch.setattr(
            pair.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free)
        )
        if fits:
            pair.check_export(read_run(run), tmp_path / "out", dtype, merges=False)
            continue
        with pytest.raises(OSError, match=r"--output: .* needs 0.0 GB, 0.0 GB are free there"):
            export_run(read_run(run), tmp_path / "out", dtype, merges=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), slow(KeyboardInterrupt())])
def test_what_ends_half_way_leaves_nothing(error, run, monkeypatch, tmp_path):
    def fail(*_):
        raise error

    monkeypatch.setattr(pair, "_write_manifest", fail)
    with pytest.raises(type(error)):
        export_run(read_run(run), tmp_path / "out", "", merges=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_kill_half_way_leaves_nothing_that_looks_whole(run, tmp_path):
    program = f"""
import os, signal
from pathlib import Path
from waltzjax.export import pair
from waltzjax.export.source import read_run
pair.measure = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
pair.export_run(read_run(Path({str(run)!r})), Path({str(tmp_path / "out")!r}), "", merges=False)
"""
    assert forked.run("-c", program).returncode == -signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir()]
    assert not (tmp_path / "out").exists()
    assert all(name.startswith(".out.") and name.endswith(".tmp") for name in left) and left
    with pytest.raises(ValueError, match=r"no export of a run: it has no export.json"):
        verify(tmp_path / left[0], None)


def test_of_two_at_once_the_first_stays(run, monkeypatch, tmp_path):
    def overtaken(directory, agents):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/first").touch()

    monkeypatch.setattr(pair, "_write_manifest", overtaken)
    with pytest.raises(FileExistsError, match="never overwritten"):
        export_run(read_run(run), tmp_path / "out", "", merges=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first"]


def test_agents_with_nan_are_not_exported(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "feedback/model.safetensors"
    arrays = load_file(file)
    arrays["model.norm.weight"][0] = np.nan
    save_file(arrays, file, metadata={"format": "pt"})
    (copy / "final_validation_results.json").touch()
    with pytest.raises(ValueError, match=r"model.safetensors: model.norm.weight: NaN"):
        export_run(read_run(copy), tmp_path / "out", "", merges=False)
    assert not (tmp_path / "out").exists()


def test_one_agent_is_in_memory_at_a_time(run, monkeypatch, tmp_path):
    """When the second agent is loaded, nothing holds the first one's weights any more."""
    held = []
    load = weights.load_params

    def counted(*arguments):
        held.append(sum(array.nbytes for array in jax.live_arrays()))
        return load(*arguments)

    monkeypatch.setattr(weights, "load_params", counted)
    export_run(read_run(run), tmp_path / "out", "", merges=False)
    size = (run / "feedback/model.safetensors").stat().st_size
    assert len(held) == 2 and held[1] - held[0] < size / 2
