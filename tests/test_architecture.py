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

# A room may import rooms of a lower level only; rooms of one level are siblings. What is no room
# here is a command in the root, above them all.
LEVEL = {
    "types": 0,
    "support": 0,
    "report": 0,
    "core": 1,
    "config": 1,
    "data": 1,
    "metrics": 2,
    "model": 2,
    "dataset": 2,
    "engine": 3,
    "training": 3,
    "run": 4,
    "judge": 5,
    "evaluation": 5,
    "stages": 6,
    "toy": 7,
    "rlvr": 8,
    "waltz": 9,
    "preference": 9,
    "recipes": 10,
    "plan": 11,
    "export": 11,
    "monitor": 11,
    "serve": 11,
    "validation": 12,
}
COMMAND = 13
COMMANDS = {
    "__main__", "checklist", "collect", "compare", "evaluate", "evaluate_maths", "train",
}  # fmt: skip
MOST_IN_ROOT = 12
SPEAKS = 4  # from this level on a room may print, draw a bar and write reports
NO_CONFIG = {
    "types", "support", "report", "core", "data", "metrics", "model", "dataset", "engine",
    "training",
}  # fmt: skip
# Text alone: rooms and modules that import no jax, nor what does.
NO_JAX = {
    "types", "support.files", "support.errors", "report", "data", "dataset",
    "judge.judge", "judge.endpoint", "judge.error_bodies", "judge.model_judges", "judge.quoted",
    "judge.patterns", "judge.replies", "judge.retry", "judge.verdict_cache", "judge.refusal",
    "metrics.background", "metrics.clock", "metrics.episodes", "metrics.follow",
    "metrics.log_lines", "metrics.pace", "metrics.prometheus", "metrics.records", "metrics.rules",
    "metrics.summary", "metrics.tensorboard", "metrics.trackio_board", "metrics.weights_and_biases",
    "metrics.writer", "evaluation.bootstrap", "evaluation.intervals", "evaluation.rates",
    "evaluation.files", "rlvr.grading", "rlvr.signals", "rlvr.predictions", "rlvr.problem_files",
    "rlvr.rates", "rlvr.side_by_side", "waltz.chat_examples", "waltz.chat_set", "waltz.feedback",
    "waltz.kinds", "waltz.rates", "waltz.reward", "waltz.transcripts", "preference.balance",
    "preference.coherence", "preference.pairing", "preference.summary",
    "preference.trajectories", "preference.warnings", "monitor.alert", "monitor.delivery",
    "monitor.send", "serve.app", "serve.audit", "serve.breaker", "serve.endpoints", "serve.errors",
    "serve.flag_text", "serve.flags", "serve.keys",
    "serve.limits", "serve.meters", "serve.parameters", "serve.records", "serve.routes",
    "serve.schema", "serve.server", "serve.service", "serve.sse", "validation.checks",
    "validation.endpoint", "validation.flags_file", "validation.load", "validation.results",
    "validation.scores", "validation.served", "validation.stoppable", "validation.switches",
}  # fmt: skip
DEVICE_ROOMS = {"core", "model", "engine", "training"}
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


def within(module: str, names: set[str]) -> bool:
    """True where ``module``, or a room it is in, is one of ``names``."""
    parts = module.split(".")
    return any(".".join(parts[:n]) in names for n in range(1, len(parts) + 1))


def level_of(room: str) -> int:
    return COMMAND if room in COMMANDS else LEVEL[room]


def import_violations(sources: dict[str, str]) -> list[str]:
    """One line per import that crosses a border, ``"data/chat.py:3: ..."``."""
    found = []
    for path, text in sorted(sources.items()):
        module = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        room = module.split(".")[0]
        if room == "__init__":
            room = "types"  # the package itself imports no room
        elif room not in LEVEL and room not in COMMANDS:
            found.append(f"{path}: {room!r} is no room: add it to LEVEL, and to CONTRIBUTING.md")
            continue
        level, silent = level_of(room), within(module, NO_JAX)
        for line, name in imported(ast.parse(text, path), path):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            why = None
            if top in NEVER:
                why = "the package never imports it"
            elif top in JAX_LIBRARIES and silent:
                why = f"no jax in {module}"
            elif top == "flax" and room != "model":
                why = "no flax outside model"
            elif top == "ml_collections" and room in NO_CONFIG:
                why = f"no ml_collections in {room}"
            elif top == "waltzjax" and other != room:
                if other in DEVICE_ROOMS and silent:
                    why = f"no jax in {module}, and {other} imports it"
                elif rest.startswith("support.console") and level < SPEAKS:
                    why = f"{room} prints nothing"
                elif (other not in LEVEL and other not in COMMANDS) or level_of(other) >= level:
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


def circles(sources: dict[str, str]) -> list[str]:
    """Modules that import each other, by whatever chain."""
    modules = {
        p.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): p for p in sources
    }
    arrows: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {
            name.removeprefix("waltzjax.") for _, name in imported(ast.parse(sources[path]), path)
        }
        arrows[module] = {
            n for name in names for n in (name, name.rpartition(".")[0]) if n in modules
        }
        arrows[module] -= {module}
    changed = True
    while changed:  # drop what imports nothing that is left
        free = {m for m, to in arrows.items() if not to & arrows.keys()}
        changed = bool(free)
        arrows = {m: to for m, to in arrows.items() if m not in free}
    return sorted(m for m in arrows if m in _reached(m, arrows))


def _reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        new = (arrows.get(todo.pop(), set()) & arrows.keys()) - seen
        seen |= new
        todo += new
    return seen


def test_no_circle() -> None:
    assert circles(read_package(REPO)) == []


def test_a_circle_is_caught(tmp_path: Path) -> None:
    files = {
        "core/a.py": "from waltzjax.core.b import f",
        "core/b.py": "from waltzjax.core import c",
        "core/c.py": "def f():\n    from waltzjax.core.a import g",
        "core/d.py": "from waltzjax.core import a",
    }
    assert circles(write(tmp_path, files)) == ["core.a", "core.b", "core.c"]


def test_the_root_stays_small() -> None:
    root = [path for path in read_package(REPO) if "/" not in path]
    assert len(root) <= MOST_IN_ROOT, sorted(root)


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
        ("config/a.py", "from waltzjax.recipes import STAGES", "config imports only what is below"),
        ("model/a.py", "from waltzjax.dataset import splits", "model imports only what is below"),
        ("rlvr/signals/a.py", "from ...engine import engine", "no jax in rlvr.signals.a, and eng"),
        ("engine/a.py", "from ..training.step import x", "engine imports only what is below"),
        ("training/a.py", "from waltzjax.judge import x", "training imports only what is below"),
        ("waltz/a.py", "from waltzjax.preference import x", "waltz imports only what is below"),
        ("stages/a.py", "from waltzjax.rlvr.task import x", "stages imports only what is below"),
        ("recipes.py", "from .evaluate import x", "recipes imports only what is below"),
        ("evaluate.py", "from waltzjax import train", "evaluate imports only what is below"),
        ("plan/a.py", "from waltzjax import evaluate", "plan imports only what is below"),
        ("data/a.py", "def f():\n    import jax.numpy", "no jax in data"),
        ("data/a.py", "from waltzjax.core.losses import nll", "no jax in data.a, and core"),
        ("judge/refusal/a.py", "from optax import adamw", "no jax in judge.refusal.a"),
        ("training/a.py", "from flax import linen", "no flax outside model"),
        ("training/a.py", "import ml_collections", "no ml_collections in training"),
        ("training/a.py", "from waltzjax.support.console import say", "training prints nothing"),
        ("dataset/a.py", "from waltzjax.support import console", "dataset prints nothing"),
        ("report/a.py", "from waltzjax.types import Prompt", "report imports only what is below"),
        ("waltz/transcripts.py", "import jax", "no jax in waltz.transcripts"),
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
        "judge/retry.py": "import numpy\nfrom waltzjax.data.chat import Chat",
        "judge/build.py": "import jax\nfrom waltzjax.support import console",
        "training/a.py": "import orbax.checkpoint, clu\nfrom waltzjax.model import transformer",
        "recipes.py": "import ml_collections\nfrom waltzjax.waltz import episode",
        "plan/a.py": "from waltzjax import recipes\nfrom waltzjax.support import console",
        "train.py": "import ml_collections\nfrom waltzjax import recipes, report",
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


STAGE_NAMES = {"sft", "stage1", "stage2", "single", "rlvr", "dpo"}
STAGE_CONSTANTS = {"SFT", "RLVR", "DPO"}


def stage_conditions(sources: dict[str, str]) -> list[str]:
    """A line per comparison with a stage's name, where only the table of stages may know them."""
    found = []
    for path, text in sorted(sources.items()):
        if path == "recipes.py" or path.startswith("config/"):
            continue
        for node in ast.walk(ast.parse(text, path)):
            cases = [node.pattern] if isinstance(node, ast.match_case) else []
            if isinstance(node, ast.Compare):
                cases = [node.left, *node.comparators]
            inside = [part for case in cases for part in ast.walk(case)]
            named = {part.value for part in inside if isinstance(part, ast.Constant)} & STAGE_NAMES
            named |= {part.id for part in inside if isinstance(part, ast.Name)} & STAGE_CONSTANTS
            found += [
                f"{path}:{case.lineno}: {', '.join(sorted(named))}" for case in cases[:1] if named
            ]
    return found


def test_only_the_table_of_stages_tells_one_stage_from_another():
    assert stage_conditions(read_package(REPO)) == []


@pytest.mark.parametrize(
    "text",
    [
        'x = 1 if stage == "rlvr" else 2', 'if SFT in stages:\n    pass',
        'while name not in ("stage1", other):\n    pass',
        'match stage:\n    case "dpo":\n        pass',
    ],
)  # fmt: skip
def test_a_condition_on_a_stage_is_seen(text):
    assert len(stage_conditions({"stages/loop.py": text})) == 1
    assert stage_conditions({"recipes.py": text, "config/check.py": text}) == []
    assert stage_conditions({"stages/loop.py": 'label = name.replace("stage", "stage ")'}) == []
