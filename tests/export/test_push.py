"""The hub is asked before anything is exported, and given only what was verified."""

from unittest.mock import Mock

import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from waltzjax.export import __main__ as command
from waltzjax.export.push import check_push, push, repositories

ROLES = ("conversation", "feedback")


class FakeHub:
    """The hub's client at its edge: an account, repositories, what was asked of it in order."""

    def __init__(self, public=(), private=(), error=None):
        self.repos = {**dict.fromkeys(public, False), **dict.fromkeys(private, True)}
        self.error, self.calls = error, []

    def whoami(self):
        if self.error:
            raise self.error
        return {"name": "me", "orgs": [{"name": "lab"}]}

    def repo_exists(self, repo):
        return repo in self.repos

    def repo_info(self, repo):
        return Mock(private=self.repos[repo])

    def create_repo(self, repo, *, private, exist_ok):
        assert exist_ok
        self.calls.append(("create", repo, private))

    def upload_folder(self, *, repo_id, folder_path, commit_message, delete_patterns):
        assert delete_patterns == ["*.safetensors", "*.safetensors.index.json"]
        names = sorted(path.name for path in folder_path.iterdir())
        self.calls.append(("upload", repo_id, names))
        return f"https://hub/{repo_id}/commit/1"


@pytest.fixture
def hub(monkeypatch):
    def use(**how):
        fake = FakeHub(**how)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: fake)
        return fake

    return use


@pytest.fixture
def export(monkeypatch):
    """The command with flags, as far as it is the same in one process."""

    def call(**given):
        values = {"workdir": "", "agent": "", "output": "", "dtype": "", "merge": False,
                  "verify": "", "push": "", "private": True, **given}  # fmt: skip
        monkeypatch.setattr(command.flags, "FLAGS", Flags(values))
        command.main()

    return call


class Flags(dict):
    def __getattr__(self, name):
        return self[name].value

    def __init__(self, values):
        super().__init__({k: type("Flag", (), {"value": v}) for k, v in values.items()})


def test_each_agent_gets_a_private_repository_of_its_own(run, hub, export, tmp_path, capsys):
    fake = hub()
    export(workdir=str(run), output=str(tmp_path / "out"), push="lab/pair")
    assert [call[:2] for call in fake.calls] == [
        ("create", "lab/pair-conversation"), ("upload", "lab/pair-conversation"),
        ("create", "lab/pair-feedback"), ("upload", "lab/pair-feedback"),
    ]  # fmt: skip
    assert all(private for kind, _, private in fake.calls if kind == "create")
    names = fake.calls[1][2]
    assert {"README.md", "SHA256SUMS", "model.safetensors", "tokenizer.json"} <= {*names}
    said = capsys.readouterr().out
    assert said.index("2 agents are as exported") < said.index("pushing conversation")


def test_what_was_exported_before_is_verified_and_pushed(run, hub, export, tmp_path):
    fake = hub(public=["me/x-feedback"])
    export(workdir=str(run), output=str(tmp_path / "out"))
    assert fake.calls == []  # never by itself
    export(verify=str(tmp_path / "out"), push="me/x", private=False)
    assert [call[2] for call in fake.calls if call[0] == "create"] == [False, False]
    fake.calls.clear()
    (tmp_path / "out/feedback/config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"feedback/config.json: its SHA-256"):
        export(verify=str(tmp_path / "out"), push="me/x", private=False)
    assert fake.calls == []


@pytest.mark.parametrize(
    ("how", "name", "says"),
    [
        (
            {"error": LocalTokenNotFoundError("no token found")},
            "me/x",
            "--push: .*HF_TOKEN.*no tok",
        ),
        ({"error": ConnectionRefusedError("refused")}, "me/x", "--push: .* the network .refused."),
        ({}, "others/x", "--push: got the owner others, allowed are .*: lab, me"),
        ({}, "x", "--push: got 'x', allowed is ORG/NAME"),
        ({}, "me/a b", "--push: got 'me/a b', allowed is ORG/NAME"),
        ({"public": ["me/x-feedback"]}, "me/x", "me/x-feedback is there and public"),
    ],
)
def test_what_cannot_be_pushed_is_not_even_exported(how, name, says, run, hub, export, tmp_path):
    fake = hub(**how)
    with pytest.raises((OSError, ValueError), match=says):
        export(workdir=str(run), output=str(tmp_path / "out"), push=name)
    assert list(tmp_path.iterdir()) == [] and fake.calls == []


def test_adapters_of_a_base_without_a_name_are_not_pushed():
    with pytest.raises(ValueError, match=r"--push: the agents are adapters of a base .* --merge"):
        repositories("me/x", ROLES, beside=True)


def test_an_upload_that_fails_says_how_to_go_on(hub, tmp_path):
    fake = hub(private=["me/x-feedback"])
    ready = check_push(repositories("me/x", ["feedback"], beside=False), True)

    def fail(**_):
        raise RuntimeError("503 Service Unavailable")

    fake.upload_folder = fail
    with pytest.raises(
        OSError, match=r"me/x-feedback may hold a part; --verify=.* tries again .503"
    ):
        push(ready, tmp_path)
