"""Prompt datasets: bad lines are refused, writes are whole, the numbers hold."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from waltzjax.dataset import dataset, splits
from waltzjax.dataset.checks import CATEGORIES
from waltzjax.dataset.dataset import benign_file, read_prompts, verify, write_dataset
from waltzjax.support.errors import DatasetError
from waltzjax.types import Prompt

GOOD = {"id": 1, "prompt": "How?", "label": "adversarial", "category": "malicious_query"}


def make(count: int, start: int = 0, frame: str = "") -> list[Prompt]:
    names = list(CATEGORIES)
    return [
        Prompt(i, f"prompt {i}", CATEGORIES[names[i % 6]][0], names[i % 6], frame)
        for i in range(start, start + count)
    ]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    directory = tmp_path / "set"
    write_dataset(directory, make(18, 0, "a"), make(6, 18, "b"))
    return directory


def without(key: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k != key}).encode()


def changed(**fields: object) -> bytes:
    return json.dumps(GOOD | {"id": 2, "prompt": "Why?"} | fields).encode()


BAD_LINES = {
    "truncated": (b'{"id": 2, "prom', "not JSON"),
    "blank": (b"  ", "not JSON: the line is blank"),
    "too deep": (b"[" * 100_000, "not JSON"),
    "list": (b"[1, 2]", "not a JSON object but list"),
    "null": (b"null", "not a JSON object but NoneType"),
    "no id": (without("id"), "missing key 'id': add it (int)"),
    "no prompt": (without("prompt"), "missing key 'prompt': add it (str)"),
    "no label": (without("label"), "missing key 'label'"),
    "no category": (without("category"), "missing key 'category'"),
    "text id": (changed(id="2"), "wrong type of 'id': got '2' (str), must be int"),
    "bool id": (changed(id=True), "wrong type of 'id': got True (bool), must be int"),
    "float id": (changed(id=2.0), "wrong type of 'id': got 2.0 (float), must be int"),
    "null prompt": (changed(prompt=None), "wrong type of 'prompt': got None (NoneType)"),
    "list label": (changed(label=["adversarial"]), "wrong type of 'label'"),
    "number frame": (changed(frame=3), "wrong type of 'frame': got 3 (int), must be str"),
    "empty": (changed(prompt=""), "empty prompt"),
    "spaces": (changed(prompt=" \n\t"), "empty prompt"),
    "label": (changed(label="safe"), "unknown label 'safe': must be one of adversarial, overref"),
    "category": (changed(category="x"), "unknown category 'x': must be one of jailbreak_attempt"),
    "disagree": (
        changed(label="overrefusal"),
        "label and category disagree: 'malicious_query' is 'adversarial', got 'overrefusal'",
    ),
    "duplicate id": (changed(id=1), "duplicate id 1 of line 1"),
    "duplicate text": (changed(prompt="How?"), "duplicate prompt text of line 1"),
    "latin-1": (changed().replace(b"Why?", b"caf\xe9"), "not UTF-8: byte 0xe9 at offset 24"),
    "surrogate": (changed(prompt="a\ud800"), "not UTF-8: a lone surrogate"),
}


@pytest.mark.parametrize("line, reason", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_line_is_reported_with_file_number_and_reason(tmp_path: Path, line, reason):
    path = tmp_path / "user.jsonl"
    last = json.dumps(GOOD | {"id": 3, "prompt": "When?"}).encode()
    path.write_bytes(b"\n".join([json.dumps(GOOD).encode(), line, last]) + b"\n")
    with pytest.raises(DatasetError) as caught:
        read_prompts(path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{path}:2: {reason}")
    assert caught.value.problems[0] in str(caught.value)


def test_good_lines_next_to_the_bad_ones_are_not_reported(tmp_path: Path):
    path = tmp_path / "user.jsonl"
    lines = [changed(id=n, prompt=f"text {n}") for n in range(60)]
    for n in range(10, 35):
        lines[n] = b"{"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DatasetError) as caught:
        read_prompts(path)
    shown = str(caught.value)
    assert [p.split(":")[1] for p in caught.value.problems] == [str(n + 1) for n in range(10, 35)]
    assert "25 problems" in shown and "and 5 more" in shown
    assert f"{path}:30:" in shown and f"{path}:31:" not in shown
    copy = pickle.loads(pickle.dumps(caught.value))  # errors cross process pools
    assert (str(copy), copy.problems) == (shown, caught.value.problems)


def test_one_line_with_two_faults_reports_both(tmp_path: Path):
    path = tmp_path / "user.jsonl"
    path.write_bytes(changed(label="x", category="y"))
    with pytest.raises(DatasetError, match=r"unknown label 'x'.*; unknown category 'y'"):
        read_prompts(path)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path):
    mark, path = b"\xef\xbb\xbf", tmp_path / "user.jsonl"
    path.write_bytes(mark + json.dumps(GOOD).encode() + b"\r\n" + changed())
    assert [prompt.text for prompt in read_prompts(path)] == ["How?", "Why?"]
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + mark + changed())
    with pytest.raises(DatasetError, match=r"user\.jsonl:2: not JSON: Unexpected UTF-8 BOM"):
        read_prompts(path)


def test_empty_and_missing_files_are_errors(tmp_path: Path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DatasetError, match="the file is empty"):
        read_prompts(tmp_path / "empty.jsonl")
    with pytest.raises(FileNotFoundError):
        read_prompts(tmp_path / "none.jsonl")


def test_what_is_written_is_read_back(tmp_path: Path):
    texts = ["two\nlines", "line\u2028separator\x85", "naïve 🎶", '"quoted" \\', "  spaces  ", "\r"]
    train = [dataclasses.replace(p, text=t + "x") for p, t in zip(make(6), texts, strict=True)]
    train[3] = dataclasses.replace(train[3], frame="f/1")
    write_dataset(tmp_path / "a" / "set", train, make(6, 6))
    assert read_prompts(tmp_path / "a" / "set" / "train.jsonl") == train
    assert read_prompts(tmp_path / "a" / "set" / "validation.jsonl") == make(6, 6)


def test_summary_is_the_manifest_and_counts_are_those_written(written: Path):
    summary = verify(written, expected={"total": 24, "train": 18, "validation/edge_case": 1})
    assert summary == json.loads((written / "manifest.json").read_text())
    assert summary["files"]["train.jsonl"]["lines"] == 18
    assert summary["files"]["train.jsonl"]["bytes"] == (written / "train.jsonl").stat().st_size
    assert summary["counts"]["edge_case"] == 4
    assert sorted(path.name for path in written.parent.iterdir()) == ["set"]


def test_every_wrong_expectation_is_reported(written: Path):
    with pytest.raises(DatasetError) as caught:
        verify(written, expected={"train": 18, "validation": 5, "edge_case": 9, "total": 24})
    assert len(caught.value.problems) == 2
    assert "6 prompts of 'validation', expected 5" in str(caught.value)
    assert "4 prompts of 'edge_case', expected 9" in str(caught.value)
    with pytest.raises(ValueError, match=r"unknown keys \['valid'\]"):
        verify(written, expected={"valid": 6})


def test_one_changed_byte_is_found_by_its_hash(written: Path):
    path = written / "train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"prompt 7", b"prompt X"))
    with pytest.raises(DatasetError) as caught:
        verify(written, expected=None)
    assert len(caught.value.problems) == 1
    assert f"{path}: sha256 is " in str(caught.value)
    assert "restore it or write the dataset again" in str(caught.value)


def test_a_lost_last_line_is_found_by_hash_bytes_lines_and_category(written: Path):
    path = written / "validation.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(DatasetError) as caught:
        verify(written, expected={"total": 24})
    found = str(caught.value)
    assert len(caught.value.problems) == 5
    for part in ("sha256 is", "bytes is", "lines is 5, the manifest says 6", "categories is"):
        assert part in found
    assert "23 prompts of 'total', expected 24" in found


def test_all_kinds_of_problems_are_reported_together(written: Path):
    with (written / "train.jsonl").open("ab") as file:
        file.write(b"oops\n")
    (written / "validation.jsonl").unlink()
    with pytest.raises(DatasetError) as caught:
        verify(written, expected={"total": 24})
    found = str(caught.value)
    assert "validation.jsonl: missing" in found
    assert "train.jsonl: sha256 is" in found
    assert "train.jsonl:19: not JSON" in found
    assert "18 prompts of 'total'" in found


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format_version": 1}', '{"files": 3}', "\xff"])
def test_a_broken_manifest_is_an_error(written: Path, text: str):
    (written / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"manifest\.json: not a manifest"):
        verify(written, expected=None)


def test_a_missing_or_newer_manifest_is_an_error(written: Path):
    path = written / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"format_version": 2}))
    with pytest.raises(DatasetError, match="format version 2, must be 1"):
        verify(written, expected=None)
    path.unlink()
    with pytest.raises(DatasetError, match=r"manifest\.json: missing"):
        verify(written, expected=None)


@pytest.mark.parametrize(
    "shared, message",
    [
        ({"id": 3}, "overlap: id 3 is on train line 4 and validation line 2"),
        ({"text": "prompt 3"}, "overlap: prompt text 'prompt 3' is on train line 4 and valid"),
        ({"frame": "f"}, "overlap: frame 'f' is on train line 4 and validation line 2"),
        # Of texts that differ in case, width or white space only.
        (
            {"text": "Prompt\u00a0\uff13 "},
            "overlap: prompt text 'Prompt\\xa0\uff13 ' is on train line 4",
        ),
    ],
)
def test_overlap_of_train_and_validation_is_refused(tmp_path: Path, monkeypatch, shared, message):
    train, validation = make(12), make(6, 12)
    for line in (3, 4):  # the first of the two is to be named
        train[line] = dataclasses.replace(train[line], frame="f")
    validation[1] = dataclasses.replace(validation[1], **shared)
    with pytest.raises(DatasetError) as caught:
        write_dataset(tmp_path / "set", train, validation)
    assert len(caught.value.problems) == 1 and message in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    # The same two files with a manifest that matches, made by someone else, are refused too.
    inspect = dataset.inspect
    monkeypatch.setattr(dataset, "inspect", lambda *of: (inspect(*of)[0], []))
    write_dataset(tmp_path / "set", train, validation)
    monkeypatch.undo()
    with pytest.raises(DatasetError) as caught:
        verify(tmp_path / "set", expected=None)
    assert len(caught.value.problems) == 1 and message in str(caught.value)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"harmful": False}, "label and category disagree"),
        ({"category": "poem"}, "unknown category 'poem'"),
        ({"text": "prompt 1"}, "duplicate prompt text of line 2"),
        ({"text": "\udc80"}, "not UTF-8"),
    ],
)
def test_prompts_that_could_not_be_read_back_are_not_written(tmp_path: Path, change, message):
    train = make(6)
    train[2] = dataclasses.replace(train[2], **change)
    with pytest.raises(DatasetError, match=rf"train\.jsonl:3: {message}"):
        write_dataset(tmp_path / "set", train, make(6, 6))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError("disk gone"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["rename", "fsync"])
def test_a_failure_before_the_rename_leaves_nothing(tmp_path: Path, monkeypatch, where, failure):
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, where, fail)
    with pytest.raises(type(failure)):
        write_dataset(tmp_path / "set", make(6), make(6, 6))
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_before_the_rename_leaves_nothing_that_looks_whole(tmp_path: Path):
    code = (
        "import os, pathlib\n"
        "from waltzjax.dataset.dataset import write_dataset\n"
        "from waltzjax.types import Prompt\n"
        "os.rename = lambda *_: os._exit(9)\n"
        "a, b = (Prompt(i, f'{i}', True, 'malicious_query') for i in range(2))\n"
        "write_dataset(pathlib.Path('set'), [a], [b])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    child = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, timeout=60)
    assert child.returncode == 9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".set.") and left.name.endswith(".tmp")
    with pytest.raises(DatasetError, match="missing; the dataset is not whole"):
        verify(tmp_path / "set", expected=None)
    write_dataset(tmp_path / "set", make(6), make(6, 6))  # what is left is in nobody's way
    assert verify(tmp_path / "set", expected=None)["counts"]["total"] == 12


@pytest.mark.parametrize("kind", ["dataset", "empty directory", "file", "dangling link"])
def test_what_exists_is_not_overwritten(tmp_path: Path, kind: str):
    path = tmp_path / "set"
    if kind == "dataset":
        write_dataset(path, make(6), make(6, 6))
    elif kind == "empty directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="already exists and is never overwritten"):
        write_dataset(path, make(12), make(6, 12))
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    if kind == "dataset":
        assert verify(path, expected=None)["counts"]["total"] == 12
    if kind == "file":
        assert path.read_text() == "mine"


@pytest.mark.parametrize("rival", ["dataset", "file"])
def test_of_two_writers_at_once_one_wins_whole(tmp_path: Path, monkeypatch, rival: str):
    path, rename = tmp_path / "set", os.rename

    def rival_first(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "rename", rename)
        if rival == "dataset":
            write_dataset(path, make(6), make(6, 6))
        else:
            path.write_text("mine")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rival_first)
    with pytest.raises(FileExistsError, match="already exists"):
        write_dataset(path, make(12), make(6, 12))
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    if rival == "dataset":
        assert verify(path, expected=None)["counts"]["total"] == 12
    else:
        assert path.read_text() == "mine"


def test_full_dataset_numbers_are_exact():
    counts = splits.expected_counts()
    assert (counts["total"], counts["train"], counts["validation"]) == (20_020, 15_015, 5_005)
    assert sum(n for harmful, n in CATEGORIES.values() if harmful) == 10_010
    split = {c: (counts[f"train/{c}"], counts[f"validation/{c}"]) for c in CATEGORIES}
    assert split == {
        "jailbreak_attempt": (2503, 834),
        "harmful_instruction": (2503, 834),
        "malicious_query": (2502, 834),
        "safe_complex": (2503, 834),
        "edge_case": (2502, 835),
        "borderline_safe": (2502, 834),
    }


@pytest.mark.parametrize("counts", [(1,), (2, 2), (1, 1, 1, 1), (5, 3, 9, 0), (7,) * 11])
def test_split_is_exact_overall_and_within_one_in_each_category(counts):
    split = splits.split_counts({str(i): count for i, count in enumerate(counts)})
    assert sum(train for train, _ in split.values()) == int(0.75 * sum(counts) + 0.5)
    for (train, validation), count in zip(split.values(), counts, strict=True):
        assert train + validation == count
        assert abs(train - 0.75 * count) < 1


def test_full_size_split_writes_and_verifies(tmp_path: Path):
    everyone = [
        Prompt(i, f"prompt {i}", CATEGORIES[name][0], name)
        for i, name in enumerate(name for name, (_, n) in CATEGORIES.items() for _ in range(n))
    ]
    train, validation = splits.stratified_split(everyone, seed=0)
    write_dataset(tmp_path / "set", train, validation)
    assert verify(tmp_path / "set", expected=splits.expected_counts())["counts"]["total"] == 20_020
    assert Counter(train + validation) == Counter(everyone)

    again = splits.stratified_split(everyone[::-1], seed=0)
    assert [set(side) for side in again] == [set(train), set(validation)]
    other, _ = splits.stratified_split(everyone, seed=1)
    assert 0.5 < len(set(other) & set(train)) / len(train) < 0.9  # 0.75 by chance


CHAT = [{"role": "user", "content": "How do I wash it?"}, {"role": "assistant", "content": "So."}]


def test_benign_chats_are_part_of_the_dataset(tmp_path):
    directory = tmp_path / "set"
    write_dataset(directory, make(6), make(6, 6), [CHAT, CHAT])
    assert verify(directory, expected=None)["files"]["benign.jsonl"]["lines"] == 2
    path = directory / "benign.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole)
    with pytest.raises(DatasetError, match=r"benign\.jsonl: lines is 4, the manifest says 2"):
        verify(directory, expected=None)
    path.write_text("{}\n" + whole)
    with pytest.raises(DatasetError, match=r"benign\.jsonl:1: messages"):
        verify(directory, expected=None)
    path.unlink()
    with pytest.raises(DatasetError, match=r"benign\.jsonl: missing"):
        verify(directory, expected=None)


def test_benign_chats_that_the_manifest_does_not_list(written):
    (written / "benign.jsonl").write_text(json.dumps({"messages": CHAT}) + "\n")
    with pytest.raises(DatasetError, match=r"benign\.jsonl: not in the manifest"):
        verify(written, expected=None)


def test_a_dataset_of_an_older_version_is_told(written):
    (written / "ordinary.jsonl").write_text(json.dumps({"messages": CHAT}) + "\n")
    for read in (lambda: verify(written, expected=None), lambda: benign_file(written)):
        with pytest.raises(ValueError, match=r"ordinary\.jsonl: an older version .* benign\.jsonl"):
            read()


def test_bad_benign_chats_are_not_written(tmp_path):
    with pytest.raises(DatasetError) as caught:
        write_dataset(tmp_path / "set", make(6), make(6, 6), [CHAT, CHAT[:1]])
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'set' / 'benign.jsonl'}:2: roles: got user;")
    assert list(tmp_path.iterdir()) == []


def test_a_benign_chat_may_not_ask_a_prompt(tmp_path, monkeypatch):
    path, asks = tmp_path / "set" / "benign.jsonl", "a benign chat asks 'prompt"
    texts = ("prompt 3", "PROMPT\n 8", "prompt 3")  # the second in another form
    asked = [CHAT, *([*CHAT, {**CHAT[0], "content": text}, CHAT[1]] for text in texts)]
    with pytest.raises(DatasetError) as caught:
        write_dataset(tmp_path / "set", make(6), make(6, 6), asked)
    assert caught.value.problems == (
        f"{path}:2: {asks} 3', which is also on train line 4; keep it in one of the two",
        f"{path}:3: {asks} 8', which is also on validation line 3; keep it in one of the two",
    )
    assert list(tmp_path.iterdir()) == []
    # The same files with a manifest that matches, made by someone else, are refused too.
    inspect = dataset.inspect
    monkeypatch.setattr(dataset, "inspect", lambda *of: (inspect(*of)[0], []))
    write_dataset(tmp_path / "set", make(6), make(6, 6), asked)
    monkeypatch.undo()
    with pytest.raises(DatasetError) as again:
        verify(tmp_path / "set", expected=None)
    assert again.value.problems == caught.value.problems
