"""A card says what the run's files say, in metadata that the hub reads; its code runs."""

import json
import re
import shutil
from pathlib import Path

import finished
import pytest
from huggingface_hub import ModelCard
from support import slow, tiny_chat

from waltzjax.export.agent import MODEL, Written
from waltzjax.export.base import describe_base
from waltzjax.export.card import how_shown, write_card
from waltzjax.export.contents import of_a_base
from waltzjax.export.facts import checks, public
from waltzjax.export.pair import export_run
from waltzjax.export.source import read_run

WHOLE = Written(MODEL, "float32", False)
CHECKS = [
    {"name": "asr", "title": "Attack success rate", "value": 0.25, "threshold": 4.6, "passed": True,
     "relation": "≤", "unit": "%", "n": 300, "interval": [0.0, 5.5]},
    {"name": "added_latency", "value": 612.0, "threshold": 500, "passed": False},
]  # fmt: skip


def card(exported, role):
    return (exported / role / "README.md").read_text()


def rows(text):
    """The cells of every row of every table, by the first one."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def test_figures_are_those_of_the_run(exported):
    """Of the recorded demo, as its table on the screen had them (README.md)."""
    table = rows(card(exported, "conversation"))
    assert table["Attack success rate (ASR), %"] == [
        "35.33", "0.33", "0.00 to 5.48", "≤ 4.6", "yes"
    ]  # fmt: skip
    assert table["Dynamic improvement (DIR)"][:3] == ["0.04", "0.76", "0.28 to 0.94"]
    assert table["Over-refusal rate (ORR), first answers without feedback, %"] == [
        "40.33", "5.00", "1.73 to 10.98", "", ""
    ]  # fmt: skip
    assert table["jailbreak_attempt"] == ["100", "1.00", "-"]
    text = card(exported, "feedback")
    assert "600 held-out prompts; intervals are of 95 %, over 15 frames." in text
    assert "Judge: `label`" in text and "> Judged by rules" in text


def test_checks_are_shown_with_their_thresholds(run):
    given = read_run(run)
    given = given._replace(results={**given.results, "checks": CHECKS})
    table = {first: rest for first, *rest in checks(given)}
    assert table["Attack success rate"] == ["0.25 %", "0.00 to 5.50", "300", "≤ 4.6 %", "yes"]
    assert table["added_latency"] == ["612.00 ", "-", "-", " 500 ", "no"]


def test_a_run_without_checks_has_no_table_of_them(exported_adapters):
    assert "validation suite" not in card(exported_adapters, "feedback")


def test_data_training_config_and_software_are_those_of_the_run(run, exported):
    table = rows(card(exported, "conversation"))
    manifest = json.loads((Path(finished.small_data()) / "manifest.json").read_text())
    for name, described in manifest["files"].items():
        lines, sha256, _ = table[f"prompts: {name}"]
        assert (lines, sha256) == (str(described["lines"]), described["sha256"])
    assert table["stage2"] == ["60", "500,921", "3.0"]
    assert table["config.rollout.max_new_tokens"] == ["56"]
    assert "config.dpo.beta" not in table  # of another stage
    assert table["devices"] == ["8 x NVIDIA H100 80GB HBM3 (gpu)"]
    assert "command" not in table  # it names directories


PRIVATE = [
    "/home/a/data", "~/x", "~alice", "alice/chats", "../../alice/x", "a=/home/alice/x", "x: b/c",
    "C:\\Users\\alice", r"\\nas\alice", r"\Users\alice", "file:///home/alice", "http://10.0.0.7:8000/v1",
    "10.9.8.7", "at 10.9.8.7:1234.", "fe80::1", "[::1]", "smtp.corp:25", "me@corp.com",
    "Bob <b@c.d>",
]  # fmt: skip


@pytest.mark.parametrize("value", [*PRIVATE, ("x", PRIVATE[0]), {"k": PRIVATE[0]}])
def test_what_strangers_must_not_read_is_not_shown(value):
    shown = public(value)
    assert "(a path)" in shown or "(an address)" in shown
    assert not re.search(r"alice|home|corp|\d\.\d|@|nas|:1|b/c", shown)


@pytest.mark.parametrize("value", ["x.txt", r"Put it in \boxed{}.", "12:30", "f1 ~ 0.5", 0.5, None])
def test_what_names_no_place_is_shown(value):
    assert public(value) == repr(value)
    assert public((value, {"k": value})) == f"({value!r}, {{'k': {value!r}}})"


def test_a_card_tells_nothing_of_the_machine(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "alice-secret")
    for name, change in {
        "environment.json": {"JAX_COMPILATION_CACHE_DIR": "/home/alice/.cache", "XLA_FLAGS":
                             "--xla_dump_to=/home/alice", "JAX_COORDINATOR_ADDRESS": "10.9.8.7:1"},
        "final_validation_results.json": {"settings": {"judge.name": "llm", "judge.model":
                                          "/home/alice/judge", "judge.url": "me@alice.com"},
                                          "checks": CHECKS, "validation": {"date": "2999-01-01",
                                          "subject": "/home/alice", "evaluation": "played now"}},
    }.items():  # fmt: skip
        path = copy / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    given = read_run(copy)
    write_card(copy / "feedback", "feedback", given, describe_base(given), tiny_chat(), WHOLE)
    text = card(copy, "feedback")
    assert "alice" not in text and "10.9.8" not in text and "XLA_FLAGS" not in text
    assert "suite (2999-01-01, of (a path); evaluation: played now):\n\n| check |" in text
    assert "| Attack success rate | 0.25 % | 0.00 to 5.50 | 300 |" in text
    assert "Judge: `llm`, 'judge'" in text and "8 x NVIDIA H100" in text


def test_the_hub_reads_the_metadata(exported, exported_adapters):
    data = ModelCard.load(exported / "conversation/README.md").data.to_dict()
    assert data["library_name"] == "transformers" and data["pipeline_tag"] == "text-generation"
    assert data["license"] == "unknown" and "base_model" not in data
    assert {"waltzrl", "conversation-agent", "arxiv:2510.08240"} <= {*data["tags"]}
    adapter = ModelCard.load(exported_adapters / "feedback/README.md").data.to_dict()
    assert adapter["library_name"] == "peft" and "feedback-agent" in adapter["tags"]


def test_the_texts_of_the_prompts_are_those_of_the_run(exported):
    text = card(exported, "feedback")
    assert "System prompt:\n\n```text\nYou review the answer.\n```\n" in text
    assert "```text\n{prompt}\nAnswer: {answer}\n```\n" in text
    assert "<|system|>You review the answer.<|end|><|user|>I want to hang" in text


@pytest.mark.parametrize("kind", ["exported", "exported_adapters"])
@pytest.mark.parametrize("role", ["conversation", slow("feedback")])
def test_the_code_of_a_card_runs(kind, role, request, monkeypatch, capsys):
    """And shows the agent what the card says that it is shown."""
    pytest.importorskip("torch")
    directory = request.getfixturevalue(kind)
    text = card(directory, role)
    [code] = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(directory)
    names = {}
    exec(code, names)
    shown = names["tokenizer"].decode(names["inputs"]["input_ids"][0])
    assert shown in text and shown.count("<|system|>") == 1
    assert 0 < names["output"].shape[1] - names["inputs"]["input_ids"].shape[1] <= 56


def with_base(run, tmp_path, name, files):
    """The run as one of a base from elsewhere, a directory with ``files``."""
    copy = shutil.copytree(run, tmp_path / "run")
    base = copy.rename(copy.parent / "moved") / "base"
    base.parent.rename(copy)
    target = (copy / "base").rename(tmp_path / name)
    for file, text in files.items():
        (target / file).write_text(text)
    path = copy / "config.json"
    record = json.loads(path.read_text())
    record["model"]["base"] = str(target)
    path.write_text(json.dumps(record))
    return copy


CARD = "---\nlicense: llama3.1\nlicense_link: LICENSE\nlanguage:\n- en\n- de\n---\n# Base\n"
LICENCE = "\n  LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\nVersion ...\n"


@pytest.mark.parametrize(
    ("files", "licence", "words", "languages"),
    [
        ({"README.md": CARD, "LICENSE": LICENCE},
         {"license": "llama3.1", "license_link": "LICENSE"},
         "llama3.1, as the base's card says", ("en", "de")),
        ({"LICENSE.txt": LICENCE},
         {"license": "other", "license_name": "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT",
          "license_link": "LICENSE.txt"},
         "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT, as the base's LICENSE.txt says", ()),
        ({}, {"license": "unknown"}, "unknown: ask whoever gave you the base", ()),
        ({"README.md": "---\nlicense: [\n---\n"}, {"license": "unknown"}, "unknown: ask", ()),
        ({"README.md": "# no metadata"}, {"license": "unknown"}, "unknown: ask", ()),
        ({"README.md": "---\n- a\n---\n"}, {"license": "unknown"}, "unknown: ask", ()),
        ({"NOTICE": "Of Bob", "USE_POLICY.md": "# Do"}, {"license": "unknown"}, "unknown: ask", ()),
        ({"license.txt": "MIT License", "NOTICE": "Of Bob"},
         {"license": "other", "license_name": "MIT License", "license_link": "license.txt"},
         "MIT License, as the base's license.txt says", ()),
        ({"COPYING": "\0\n\x01GPL"},
         {"license": "other", "license_name": "GPL", "license_link": "COPYING"}, "GPL, as", ()),
        ({"README.md": "---\nlicense: [mit, apache-2.0]\nlicense_link: /home/a\n---\n"},
         {"license": ["mit", "apache-2.0"]}, "mit, apache-2.0, as the base's card says", ()),
        ({"README.md": "---\nlicense: {a: 1}\nlanguage: 7\n---\n"},
         {"license": "other", "license_name": "{'a': 1}"}, "{'a': 1}, as the base's card says", ()),
        ({"README.md": "---\nlicense_name: mine\nlanguage: [no, de]\n---\n"},
         {"license": "other", "license_name": "mine"}, "mine, as the base's card says", ("de",)),
    ],
)  # fmt: skip
def test_the_licence_is_the_bases_or_unknown(files, licence, words, languages, run, tmp_path):
    base = describe_base(read_run(with_base(run, tmp_path, "mine", files)))
    assert base.licence == licence and base.licence_words.startswith(words)
    assert base.languages == languages
    copied = {name for name in files if name != "README.md"}
    assert {path.name for path in base.files} == copied
    assert copied <= {path.name for path in of_a_base(tmp_path / "mine")}


@pytest.mark.parametrize("licence", ["mit", ["mit", "apache-2.0"]])
def test_the_hub_reads_one_licence_or_several(licence, run, tmp_path):
    given = read_run(run)
    base = describe_base(given)._replace(licence={"license": licence})
    copy = shutil.copytree(run / "feedback", tmp_path / "feedback")
    write_card(copy, "feedback", given, base, tiny_chat(), WHOLE)
    assert ModelCard.load(copy / "README.md").data.to_dict()["license"] == licence


def test_a_licence_goes_along_with_each_agent(run, tmp_path):
    copy = with_base(run, tmp_path, "mine", {"LICENSE": LICENCE})
    export_run(read_run(copy), tmp_path / "out", "", merges=False)
    for role in ("conversation", "feedback"):
        assert (tmp_path / "out" / role / "LICENSE").read_text() == LICENCE
        assert "license_link: LICENSE\n" in card(tmp_path / "out", role)
        assert str(tmp_path) not in card(tmp_path / "out", role)


@pytest.fixture
def cached_base(run, tmp_path, monkeypatch):
    """A run of adapters whose base is a name of the hub, which lies in the hub's cache."""
    copy = finished.game_run(tmp_path / "hubs", rank=4)
    snapshot = tmp_path / "cache/models--org--base/snapshots/abc"
    snapshot.parent.mkdir(parents=True)
    (copy / "base").rename(snapshot)
    (snapshot / "README.md").write_text(CARD)
    (tmp_path / "cache/models--org--base/refs").mkdir()
    (tmp_path / "cache/models--org--base/refs/main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **_: {"org/base": str(snapshot)}[name]
    )
    path = copy / "config.json"
    record = json.loads(path.read_text())
    record["model"]["base"] = "org/base"
    path.write_text(json.dumps(record))
    for role in ("conversation", "feedback"):
        form = copy / role / "adapter_config.json"
        form.write_text(
            json.dumps(json.loads(form.read_text()) | {"base_model_name_or_path": "org/base"})
        )
    return copy


def test_a_base_of_the_hub_is_named_and_not_copied(cached_base, tmp_path):
    for merges, relation in ((False, "adapter"), (True, "finetune")):
        output = tmp_path / relation
        export_run(read_run(cached_base), output, "", merges=merges)
        assert not (output / "base").exists()
        data = ModelCard.load(output / "feedback/README.md").data.to_dict()
        assert (data["base_model"], data["base_model_relation"]) == ("org/base", relation)
        assert data["license"] == "llama3.1" and data["language"] == ["en", "de"]
        assert json.loads((output / "config.json").read_text())["model"]["base"] == "org/base"
        form = output / "feedback/adapter_config.json"
        assert form.is_file() != merges
        if not merges:
            assert json.loads(form.read_text())["base_model_name_or_path"] == "org/base"


@pytest.mark.parametrize("train", ["embedded", "problems.jsonl"])
def test_a_policy_is_shown_a_problem_with_its_instruction(train, tmp_path):
    """Made problems have none."""
    workdir = finished.policy_run(tmp_path / "maths")
    path = workdir / "config.json"
    record = json.loads(path.read_text())
    record["problems"] |= {"train": train, "instruction": "Think."}
    path.write_text(json.dumps(record))
    shown = how_shown("policy", read_run(workdir), tiny_chat())
    [message] = shown.messages
    asked = "A box holds 12 eggs. How many eggs do 7 boxes hold?"
    assert message["content"] == (asked if train == "embedded" else f"{asked} Think.")
    assert ("Think." in shown.use) == (train != "embedded")
