"""What an installed waltzjax holds: its data files, its dependencies, one pin of PyTorch."""

import ast
import re
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
PACKAGE = REPO / "waltzjax"
IMPORT_NAMES = {
    "absl-py": "absl",
    "orbax-checkpoint": "orbax",
    "nvidia-ml-py": "pynvml",
    "google-re2": "re2",
}  # where the two differ


def data_files(package: Path) -> set[str]:
    """Files of the package folder that are not code."""
    paths = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(package).as_posix() for p in paths if p.suffix != ".py"}


def configs() -> set[str]:
    """The configs, and the models' that a plan reads: waltzjax/configs is a link to them."""
    root = REPO / "configs"
    paths = [root / "README.md", *root.glob("*.py"), *root.glob("models/*/*.json")]
    return {p.relative_to(REPO).as_posix() for p in paths}


def shipped(package: Path, patterns: list[str]) -> set[str]:
    """Files of the package folder that the ``package-data`` patterns take along."""
    return {
        p.relative_to(package).as_posix()
        for pattern in patterns
        for p in package.glob(pattern)
        if p.is_file()
    }


def folders_without_init(package: Path) -> set[str]:
    """Folders with code that a build without namespace packages leaves out."""
    folders = {p.parent for p in package.rglob("*.py")}
    return {str(f.relative_to(package)) for f in folders if not (f / "__init__.py").exists()}


def undeclared(package: Path, requirements: list[str]) -> set[str]:
    """Top-level names that the package imports and no requirement provides."""
    names = {re.match(r"[\w.-]+", r).group() for r in requirements}  # type: ignore[union-attr]
    provided = {IMPORT_NAMES.get(n, n.replace("-", "_")) for n in names} | set(
        sys.stdlib_module_names
    )
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).split(".")[0])
    return found - provided - {"waltzjax"}


def unbounded(requirements: list[str]) -> list[str]:
    """Requirements with neither an exact version nor a lower and an upper bound."""
    bounded = re.compile(r"[\w.\[\]-]+(==[\d.]+|>=[\d.]+,<[\d.]+)(; [^;]+)?")
    return [r for r in requirements if not bounded.fullmatch(r)]


PATTERNS = PROJECT["tool"]["setuptools"]["package-data"]["waltzjax"]
REQUIREMENTS = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]


def test_every_data_file_is_shipped() -> None:
    assert data_files(PACKAGE) | configs() == shipped(PACKAGE, PATTERNS)
    data = {p for p in data_files(PACKAGE) if p != "py.typed" and not p.endswith("README.md")}
    assert {p.split("/")[0] for p in data} == {"judge", "plan", "prompts", "templates"}


@pytest.mark.parametrize(
    "path",
    [
        "prompts/conversation.txt",
        "prompts/judge.txt",
        "prompts/feedback.txt",
        "prompts/tiny/conversation.txt",
        "prompts/tiny/feedback.txt",
        "prompts/regime_w/wolfram.txt",
        "prompts/regime_w/solve.txt",
        "templates/report.html",
        "templates/evaluation.html",
        "templates/comparison.html",
        "templates/page.js",
        "templates/live.js",
        "templates/maths_parts.html",
        "templates/preferences.html",
        "templates/model_card.md",
    ],
)
def test_data_file_is_read_through_the_package(path: str) -> None:
    assert files("waltzjax").joinpath(path).read_text(encoding="utf-8").strip()


def test_every_folder_with_code_is_a_package() -> None:
    assert folders_without_init(PACKAGE) == set()


def test_every_import_is_a_declared_dependency() -> None:
    names = ("judge", "data", "wandb", "trackio", "nvidia", "alerts", "serve")
    optional = [requirement for name in names for requirement in EXTRAS[name]]
    assert undeclared(PACKAGE, [*REQUIREMENTS, *optional]) == set()


def test_every_requirement_has_a_range() -> None:
    listed = [r for extra in EXTRAS.values() for r in extra if not r.startswith("waltzjax[")]
    assert unbounded(REQUIREMENTS + listed) == []


def test_pytorch_has_one_pin() -> None:
    text = (REPO / "third_party/requirements-torch.txt").read_text()
    pins = {line for line in text.splitlines() if line and not line.startswith("#")}
    assert pins <= set(REQUIREMENTS) | set(EXTRAS["reference"])
    assert {p.split("==")[0].split(">=")[0] for p in pins} >= {"torch", "transformers"}


def test_the_checks_above_can_fail(tmp_path: Path) -> None:
    (tmp_path / "prompts/deep").mkdir(parents=True)
    (tmp_path / "prompts/deep/a.txt").write_text("a")
    (tmp_path / "prompts/b.json").write_text("{}")
    (tmp_path / "prompts/loose.py").write_text("import flax, numpy.linalg\nfrom os import path")
    assert data_files(tmp_path) - shipped(tmp_path, PATTERNS) == {"prompts/b.json"}
    assert shipped(tmp_path, PATTERNS) == {"prompts/deep/a.txt"}
    assert folders_without_init(tmp_path) == {"prompts"}
    assert undeclared(tmp_path, ["numpy>=2,<3"]) == {"flax"}
    assert unbounded(["a>=1,<2", "b[c]==1.0", "d>=1", "e"]) == ["d>=1", "e"]
