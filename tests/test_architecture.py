"""Who may import whom, and that nothing runs on import.

The rules are those of CONTRIBUTING.md. The checker is a function over source files, so that each
rule is also seen to catch a violation written for it.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# A room may import rooms of a lower level only; rooms of one level are siblings.
LEVEL = {
    "types": 0,
    "files": 0,
    "compiled": 0,
    "processes": 1,
    "core": 1,
    "config": 1,
    "judge_keys": 1,
    "rlvr_keys": 1.5,
    "preference_keys": 1.5,
    "config_bounds": 1.7,
    "config_check": 2,
    "model": 2,
    "data": 2,
    "rollout": 3,
    "rewards": 3,
    "training": 3,
    "transcripts": 3,
    "predictions": 3,
    "collected": 3.5,
    "evaluations": 4,
    "rows": 3.5,
    "maths_pairs": 4,
    "recipes": 4,
    "task": 4,
    "judging": 5,
    "variants": 5,
    "runtime": 4,  # what every command needs once a model is chosen
    "tuning": 5,
    "base_model": 5,
    "prepare": 6,
    "prepare_maths": 6,
    "stage": 4,
    "cost": 6,
    "attempts": 5,
    "resume": 5,
    "rolling": 6,
    "iteration": 7,
    "forecast": 8.5,
    "finetune": 8,
    "cached_reference": 5,
    "dpo_pairs": 5,
    "dpo": 8,
    "dpo_outcome": 8.5,
    "loop": 7,
    "outcome": 5,
    "maths_outcome": 8.7,
    "maths_evaluation": 6,
    "commands": 5,
    "baselines": 5,
    "likelihood": 5,
    "ordinary": 6,
    "drift": 6,
    "evaluate": 7,
    "asking": 5,
    "collecting": 6,
    "preferring": 6,
    "checklist": 7,
    "checks": 5,
    "compare": 6,
    "compare_maths": 6,
    "export": 6,
    "plan_tables": 9,
    "planning": 9.5,
    "plan": 10,
    "monitor": 5,
    "serve": 5,
    "game": 9,
    "maths": 9,
    "maths_problems": 5,
    "evaluate_maths": 10,
    "collect": 10,
    "train": 10,
}
COMMAND_LEVEL = 5  # the commands and the parts they are made of
# With the commands, these may see a ConfigDict.
CONFIG_ROOMS = {"config", "config_bounds", "config_check", "recipes", "runtime"}
LEAVES = {"console", "interrupts", "report"}  # import no room; only commands import them
TEXT_ROOMS = {"data", "rewards"}
NO_JAX = TEXT_ROOMS | {"files", "types"}  # these too: the text rooms import them
NO_JAX |= {"transcripts", "predictions", "collected", "evaluations", "maths_pairs"}  # text alone
DEVICE_ROOMS = {"core", "model", "rollout", "training"}
JAX_LIBRARIES = {"jax", "jaxlib", "flax", "optax", "orbax", "chex", "clu"}
NEVER = {"torch", "tensorflow", "tests", "reference", "scripts", "configs", "third_party"}

# What a module may call of jax while it is imported: wrappers and names, no arrays, no devices.
PURE_JAX = (
    "jax.jit",
    "jax.vmap",
    "jax.grad",
    "jax.value_and_grad",
    "jax.checkpoint",
    "jax.remat",
    "jax.custom_vjp",
    "jax.custom_jvp",
    "jax.tree_util.",
    "jax.sharding.PartitionSpec",
    "jax.ShapeDtypeStruct",
    "jax.numpy.dtype",
    "jax.numpy.finfo",
    "jax.numpy.iinfo",
)
RUNS = {"print", "input", "open", "logging.basicConfig"}


def read_package(root: Path) -> dict[str, str]:
    """Sources under ``root``/waltzjax by path relative to that folder, ``"core/losses.py"``."""
    package = root / "waltzjax"
    return {p.relative_to(package).as_posix(): p.read_text() for p in package.rglob("*.py")}


def imported(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import, also those inside functions."""
    parents = ["waltzjax", *Path(path).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def import_violations(sources: dict[str, str]) -> list[str]:
    """One line per import that crosses a border, ``"data/chat.py:3: ..."``."""
    found = []
    for path, text in sorted(sources.items()):
        room = path.split("/")[0].removesuffix(".py")
        if room == "__init__":
            room = "types"  # the package itself imports no room
        elif room not in LEVEL and room not in LEAVES:
            found.append(f"{path}: {room!r} is no room: add it to LEVEL, and to CONTRIBUTING.md")
            continue
        command = LEVEL.get(room, 0) >= COMMAND_LEVEL
        for line, name in imported(ast.parse(text, path), path):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            why = None
            if top in NEVER:
                why = "the package never imports it"
            elif top in JAX_LIBRARIES and room in NO_JAX:
                why = f"no jax in {room}"
            elif top == "flax" and room != "model":
                why = "no flax outside model"
            elif top == "ml_collections" and room not in CONFIG_ROOMS and not command:
                why = "no ml_collections outside config, recipes, runtime and the commands"
            elif top == "waltzjax" and other != room:
                if other in LEAVES:
                    why = None if command else "only commands import the leaf helpers"
                elif room in LEAVES:
                    why = "a leaf helper imports no room"
                elif other in DEVICE_ROOMS and room in NO_JAX:
                    why = f"no jax in {room}, and {other} imports it"
                elif LEVEL.get(other, 99) >= LEVEL[room]:
                    why = f"{room} imports only what is below it"
            if why:
                found.append(f"{path}:{line}: imports {name}: {why}")
    return found


def calls_on_import(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls evaluated while a module is imported: bodies of modules and classes, decorators,
    default arguments; neither function bodies nor ``if __name__ == "__main__"``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = child.args
            outside = [d for d in (*arguments.defaults, *arguments.kw_defaults) if d is not None]
            outside += getattr(child, "decorator_list", [])
            yield from calls_on_import(ast.Module([ast.Expr(e) for e in outside], []))
        elif isinstance(child, ast.If) and "__name__" in ast.unparse(child.test):
            continue
        else:
            if isinstance(child, ast.Call):
                yield child
            yield from calls_on_import(child)


def run_violations(sources: dict[str, str]) -> list[str]:
    """One line per call that does something while a module is imported."""
    found = []
    for path, text in sorted(sources.items()):
        tree = ast.parse(text, path)
        full = {}  # local name → dotted name
        for node in tree.body:
            if isinstance(node, ast.Import):
                for a in node.names:
                    full[a.asname or a.name.split(".")[0]] = (
                        a.name if a.asname else a.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                full |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        for call in calls_on_import(tree):
            head, _, rest = ast.unparse(call.func).partition(".")
            name = full.get(head, head) + (f".{rest}" if rest else "")
            if name in RUNS or (name.startswith("jax.") and not name.startswith(PURE_JAX)):
                found.append(f"{path}:{call.lineno}: calls {name} on import")
    return found


PROBE = """
import importlib, pkgutil, waltzjax
for module in pkgutil.walk_packages(waltzjax.__path__, "waltzjax."):
    importlib.import_module(module.name)
from jax._src import xla_bridge
if xla_bridge.backends_are_initialized():
    raise SystemExit("importing waltzjax initialised a jax backend")
"""


def import_everything(root: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Imports every module of ``root``/waltzjax in a fresh process, in the empty folder ``cwd``."""
    path = f"import sys; sys.path.insert(0, {str(root)!r})\n"
    command = [sys.executable, "-B", "-c", path + PROBE]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def write(root: Path, files: dict[str, str]) -> dict[str, str]:
    for path, text in {"__init__.py": "", **files}.items():
        target = root / "waltzjax" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return read_package(root)


def test_imports_go_downwards() -> None:
    assert import_violations(read_package(REPO)) == []


def test_no_call_on_import() -> None:
    assert run_violations(read_package(REPO)) == []


def test_importing_every_module_does_nothing(tmp_path: Path) -> None:
    done = import_everything(REPO, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("types.py", "import waltzjax.core.losses", "no jax in types, and core"),
        ("types.py", "from waltzjax import config", "types imports only what is below"),
        ("core/a.py", "from waltzjax.model import lora", "core imports only what is below"),
        ("core/a.py", "from waltzjax import config", "core imports only what is below"),
        ("config.py", "from waltzjax.recipes import RECIPES", "config imports only what is below"),
        ("model/a.py", "from waltzjax.data import chat", "model imports only what is below"),
        ("rewards/a.py", "from ..rollout import engine", "no jax in rewards, and rollout"),
        ("rollout/a.py", "from ..training.step import x", "rollout imports only what is below"),
        ("training/a.py", "from waltzjax.rewards import x", "training imports only what is below"),
        ("recipes.py", "from .evaluate import x", "recipes imports only what is below"),
        ("evaluate.py", "from waltzjax import train", "evaluate imports only what is below"),
        ("serve/app.py", "from waltzjax import evaluate", "serve imports only what is below"),
        ("data/a.py", "def f():\n    import jax.numpy", "no jax in data"),
        ("data/a.py", "from waltzjax.core.losses import nll", "no jax in data, and core"),
        ("rewards/a.py", "from optax import adamw", "no jax in rewards"),
        ("training/a.py", "from flax import linen", "no flax outside model"),
        ("training/a.py", "import ml_collections", "no ml_collections outside"),
        ("training/a.py", "from waltzjax.console import say", "only commands import the leaf"),
        ("report/a.py", "from waltzjax.types import Prompt", "a leaf helper imports no room"),
        ("transcripts.py", "import jax", "no jax in transcripts"),
        ("evaluate.py", "import torch", "the package never imports it"),
        ("model/a.py", "from third_party import x", "the package never imports it"),
        ("__init__.py", "from waltzjax.train import main", "types imports only what is below"),
        ("attic.py", "", "'attic' is no room"),
        ("attic/a.py", "", "'attic' is no room"),
    ],
)
def test_each_import_rule_catches(path: str, text: str, why: str, tmp_path: Path) -> None:
    (violation,) = import_violations(write(tmp_path, {path: text}))
    assert violation.startswith(path) and why in violation


def test_allowed_imports_pass(tmp_path: Path) -> None:
    files = {
        "core/a.py": "import jax\nfrom waltzjax.types import Prompt\nfrom . import b",
        "model/a.py": "import flax.linen as nn\nfrom waltzjax.config import x",
        "rewards/a.py": "import numpy\nfrom waltzjax.data.chat import Chat",
        "training/a.py": "import orbax.checkpoint, clu\nfrom waltzjax.model import transformer",
        "recipes.py": "import ml_collections\nfrom waltzjax.rollout import episodes",
        "serve/app.py": "from waltzjax import console, recipes",
        "train.py": "import ml_collections\nfrom waltzjax import evaluate, report",
    }
    assert import_violations(write(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("print('hello')", "print"),
        ("import jax\nN = len(jax.devices())", "jax.devices"),
        ("import jax.numpy as jnp\nclass A:\n    zero = jnp.zeros(3)", "jax.numpy.zeros"),
        ("from jax import random as r\ndef f(key=r.key(0)): ...", "jax.random.key"),
        ("from jax import devices as d\n@d()\ndef f(): ...", "jax.devices"),
        ("import jax\nif True:\n    jax.config.update('a', 1)", "jax.config.update"),
        ("import logging\nlogging.basicConfig()", "logging.basicConfig"),
    ],
)
def test_each_call_on_import_is_caught(text: str, name: str, tmp_path: Path) -> None:
    (violation,) = run_violations(write(tmp_path, {"core/a.py": text}))
    assert violation.endswith(f"calls {name} on import")


def test_calls_that_wait_pass(tmp_path: Path) -> None:
    text = """
import jax, jax.numpy as jnp
from functools import partial
from jax.sharding import PartitionSpec as P
SPEC = P("data")
@partial(jax.jit, static_argnums=0)
def f(n): print(jax.devices()); return jnp.zeros(n)
g = jax.jit(lambda x: jnp.sum(x))
if __name__ == "__main__": print(f(1))
"""
    assert run_violations(write(tmp_path, {"core/a.py": text})) == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import jax\nN = getattr(jax, 'devices')()", "initialised a jax backend"),
        ("import sys\nsys.stdout.write('hello')", "hello"),
    ],
)
def test_the_probe_sees_what_the_syntax_hides(text: str, seen: str, tmp_path: Path) -> None:
    write(tmp_path, {"core/__init__.py": "", "core/a.py": text})
    done = import_everything(tmp_path, tmp_path)
    assert seen in done.stdout + done.stderr
