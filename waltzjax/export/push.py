"""An export on the Hugging Face hub: a repository an agent, asked for by name and never else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from waltzjax.support import console

FLAG = "--push"
OLD = [
    "*.safetensors",
    "*.safetensors.index.json",
]  # of an earlier push, in another number of files
T = TypeVar("T")


class Hub(NamedTuple):
    """The hub's client, and the repositories that it may write.

    repos: by role, "ORG/NAME-ROLE".
    """

    api: Any
    repos: Mapping[str, str]
    private: bool


def repositories(name: str, roles: Iterable[str], *, beside: bool) -> dict[str, str]:
    """Role -> repository, ORG/NAME-ROLE; ``beside``: the agents are adapters of a base that lies
    beside them.

    Raises:
      ValueError: ``name`` is not ORG/NAME as the hub writes it, or nobody could load such adapters.
    """
    from huggingface_hub.utils import validate_repo_id

    if beside:
        raise ValueError(
            f"{FLAG}: the agents are adapters of a base that has no name on the hub: nobody could "
            "load them from there; export with --merge"
        )
    repos = {role: f"{name}-{role}" for role in roles}
    for repo in repos.values():
        try:
            validate_repo_id(repo)
        except ValueError as error:
            raise ValueError(f"{FLAG}: got {name!r}, allowed is ORG/NAME: {error}") from error
    if name.count("/") != 1:
        raise ValueError(f"{FLAG}: got {name!r}, allowed is ORG/NAME")
    return repos


def check_push(repos: Mapping[str, str], private: bool) -> Hub:
    """The hub's client, if it can write all of ``repos``.

    Raises:
      OSError: no token, or no network.
      ValueError: another's name, or a repository is there and public, but is to be private.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    account = _asked(
        api.whoami,
        "the hub does not tell whose token this is; it takes one that may write (`hf auth login`, "
        "or HF_TOKEN in the environment) and the network",
    )
    names = {account["name"], *(org["name"] for org in account.get("orgs", ()))}
    owners = {repo.partition("/")[0] for repo in repos.values()}
    if not owners <= names:
        raise ValueError(
            f"{FLAG}: got the owner {', '.join(owners)}, allowed are those of your token: "
            f"{', '.join(sorted(names))}"
        )
    for repo in repos.values():
        if private and _is_public(api, repo):
            raise ValueError(
                f"{FLAG}: {repo} is there and public, so what is pushed would not be private; make "
                "it private, name another, or give --noprivate"
            )
    return Hub(api, repos, private)


def _is_public(api: Any, repo: str) -> bool:
    advice = f"the hub does not tell whether {repo} is there"
    if not _asked(partial(api.repo_exists, repo), advice):
        return False
    return not _asked(partial(api.repo_info, repo), advice).private


def push(hub: Hub, directory: Path) -> None:
    """Upload each agent's directory to its repository, which is made where it is not there."""
    for number, (role, repo) in enumerate(hub.repos.items(), start=1):
        create = partial(hub.api.create_repo, repo, private=hub.private, exist_ok=True)
        upload = partial(
            hub.api.upload_folder,
            repo_id=repo,
            folder_path=directory / role,
            commit_message=f"waltzjax.export: {role}",
            delete_patterns=OLD,
        )
        advice = f"{repo} may hold a part; --verify={directory} --push=ORG/NAME tries again"
        with console.phase(f"[{number}/{len(hub.repos)}] pushing {role} to {repo}"):
            _asked(create, advice)
            done = _asked(upload, advice)
        console.say(f"{role}: {done}")


def _asked(call: Callable[[], T], advice: str) -> T:
    """What the hub's client answers; every error of it as OSError with ``advice``."""
    try:
        return call()
    except Exception as error:  # those of its connections are of a package that it hides
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"{FLAG}: {advice} ({reason})") from error
