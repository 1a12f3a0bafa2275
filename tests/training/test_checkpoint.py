"""Checkpoints whose files are damaged one by one, and such that hold what is no number."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from support import mesh_of, sharded_params, slow, tiny_config

from waltzjax.training.checkpoint import Checkpoints, not_finite
from waltzjax.training.learner import init_state, shapes_of
from waltzjax.training.optimizer import make_optimizer
from waltzjax.types import POLICY

# Of a parameter large enough to be in a file of its own, apart from what describes it.
CFG = tiny_config(vocab_size=2000)
OPTIMIZER = make_optimizer(
    lr=1e-3, warmup_steps=1, b1=0.9, b2=0.99, weight_decay=0.0, grad_clip=1.0
)  # fmt: skip
HOST = {"data": {"next_index": 3}, "config": {"a": [1, "b"]}}


def state(seed):
    mesh = mesh_of(1, 1, 1)
    return {POLICY: init_state(sharded_params(CFG, mesh, seed), OPTIMIZER, mesh, seed / 10)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A directory of the steps 1 and 2, and the states that are in them."""
    directory = tmp_path_factory.mktemp("checkpoints") / "stage"
    states = {step: state(step) for step in (1, 2)}
    checkpoints = Checkpoints(directory, 3)
    for step, agents in states.items():
        checkpoints.save(step, agents, HOST | {"step": step})
    checkpoints.close()
    return directory, states


def restored(directory, form, **options):
    said: list[str] = []
    checkpoints = Checkpoints(directory, 3, said.append, **options)
    try:
        return checkpoints.restore(form), said
    finally:
        checkpoints.close()


def same(a, b):
    return all(map(np.array_equal, *map(jax.tree.leaves, (a, b))))


DAMAGE = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(DAMAGE[name], id=name) for name in ("missing", "cut in half")),
        *(slow(DAMAGE[name], id=name) for name in ("empty", "zeros", "a directory")),
    ],
)
def test_any_one_file_damaged_is_no_end_and_no_wrong_number(written, tmp_path, damage):
    """It is read as it was, where the file is not needed, or the one before is, with a word."""
    source, states = written
    passed_over = 0
    files = [path.relative_to(source) for path in (source / "2").rglob("*") if path.is_file()]
    for number, name in enumerate(files):
        directory = tmp_path / str(number)
        shutil.copytree(source, directory)
        damage(directory / name)
        (step, agents, host), said = restored(directory, shapes_of(states[1]))
        assert same(agents, states[step]) and host == HOST | {"step": step}, name
        if step == 1:
            passed_over += 1
            (line,) = said
            assert line.startswith("checkpoint 2 cannot be read (") and "moved aside" in line
            assert (directory / "unreadable-2").is_dir() and not (directory / "2").exists()
        else:
            assert said == [], name
    assert passed_over >= 5  # at least the host's state, two descriptions, a manifest, the arrays


@pytest.mark.parametrize("name", ["agents", "host", "agents/d", "agents/ocdbt.process_0/d"])
def test_a_missing_folder_likewise(written, tmp_path, name):
    source, states = written
    shutil.copytree(source, tmp_path / "stage")
    shutil.rmtree(tmp_path / "stage/2" / name)
    (step, agents, _), said = restored(tmp_path / "stage", shapes_of(states[1]))
    assert step == 1 and same(agents, states[1]) and len(said) == 1


@pytest.mark.parametrize("text", ["{}", "[]", "null", "7", '"data"'])
def test_a_host_s_state_that_is_none_likewise(written, tmp_path, text):
    source, states = written
    shutil.copytree(source, tmp_path / "stage")
    (tmp_path / "stage/2/host/metadata").write_text(text)
    (step, agents, host), (line,) = restored(tmp_path / "stage", shapes_of(states[1]))
    assert step == 1 and same(agents, states[1]) and host == HOST | {"step": 1}
    assert "moved aside" in line


def arrays_file(step: Path) -> Path:
    """Where most of the numbers are."""
    return max((p for p in step.rglob("*") if p.is_file()), key=lambda path: path.stat().st_size)


def test_of_another_run_nothing_is_moved(written, tmp_path):
    source, states = written
    shutil.copytree(source, tmp_path / "stage")
    arrays_file(tmp_path / "stage/2").write_bytes(b"")
    (step, _, _), (line,) = restored(tmp_path / "stage", shapes_of(states[1]), read_only=True)
    assert step == 1 and "passed over" in line and (tmp_path / "stage/2").is_dir()


def test_without_one_that_can_be_read_all_are_listed_and_stay(written, tmp_path):
    source, states = written
    shutil.copytree(source, tmp_path / "stage")
    for step in ("1", "2"):
        arrays_file(tmp_path / "stage" / step).unlink()
    with pytest.raises(ValueError, match=r"no checkpoint can be read \(step 2: .*step 1: "):
        restored(tmp_path / "stage", shapes_of(states[1]))
    assert {p.name for p in (tmp_path / "stage").iterdir()} == {"1", "2"}


def test_what_is_no_fault_of_the_files_moves_nothing(written, tmp_path, monkeypatch):
    source, states = written
    shutil.copytree(source, tmp_path / "stage")
    for error in (MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED")):

        def fails(*args, error=error, **kwargs):
            raise error

        monkeypatch.setattr("orbax.checkpoint.CheckpointManager.restore", fails)
        with pytest.raises(type(error)):
            restored(tmp_path / "stage", shapes_of(states[1]))
    assert {p.name for p in (tmp_path / "stage").iterdir()} == {"1", "2"}


def spoilt(agents, name, value):
    """The state with one number of an array replaced."""
    paths, structure = jax.tree_util.tree_flatten_with_path(agents)
    leaves = [
        leaf.at[(0,) * leaf.ndim].set(value)
        if jax.tree_util.keystr(path, simple=True, separator=".") == name
        else leaf
        for path, leaf in paths
    ]
    return jax.tree.unflatten(structure, leaves)


BAD = {
    "a parameter": ("policy.params.embed", np.nan),
    "a kernel": ("policy.params.layers.q.kernel", np.inf),
    "a scale": ("policy.params.final_norm.scale", -np.inf),
    "a moment": ("policy.opt_state.1.0.nu.layers.up.kernel", np.inf),
    "the KL's coefficient": ("policy.beta", np.nan),
}


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=BAD)
def test_numbers_that_are_none_are_named_and_passed_over(written, tmp_path, name, value):
    source, states = written
    bad = spoilt(states[2], name, value)
    assert not_finite(states[2]) == [] and not_finite(bad) == [name]
    shutil.copytree(source, tmp_path / "stage")
    checkpoints = Checkpoints(tmp_path / "stage", 3)
    checkpoints.save(3, bad, HOST)
    checkpoints.close()
    (step, agents, _), (line,) = restored(tmp_path / "stage", shapes_of(states[1]))
    assert step == 2 and same(agents, states[2])
    assert line == f"checkpoint 3 cannot be read (NaN or infinite numbers in {name}): moved aside"
