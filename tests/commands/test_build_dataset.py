"""The commands that make data: what they write and say, and that they write all or nothing."""

import csv
import itertools
import json
import re

import forked
import pytest
from support import REPO

from scripts import build_dataset, make_sft_data
from waltzjax.data.chat import PROMPTS
from waltzjax.data.chats import read_chats
from waltzjax.dataset.checks import CATEGORIES
from waltzjax.dataset.dataset import read_prompts, verify
from waltzjax.dataset.published import KINDS, or_bench_kind
from waltzjax.dataset.splits import SPLITS, expected_counts
from waltzjax.support.errors import DatasetError
from waltzjax.toy import safety_world
from waltzjax.toy.safety_frames import DEVELOPMENT_FRAMES, TRAIN_FRAMES
from waltzjax.waltz.chat_set import NAMES

TOO_MANY = 3340  # of each category, more than the 3,337 drawn
# arXiv 2405.20947: more than 80,000, some 1,300 and 600 prompts.
OR_BENCH = {"or-bench-80k.csv": 80_000, "or-bench-hard-1k.csv": 1_300, "or-bench-toxic.csv": 600}


def command(name, *arguments):
    done = forked.run("-m", f"scripts.{name}", *map(str, arguments))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def build(inputs, output, *, seed=0, full=False):
    build_dataset.build(inputs, output, seed=seed, full=full)


def make(output, *transcripts, prompts=None, examples=0, seed=0):
    make_sft_data.make(output, transcripts, prompts=prompts, examples=examples, seed=seed)


def write(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        style = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        style.writerows([header, *rows])
    return path


def published(folder, n):
    """WildJailbreak and OR-Bench in small: n prompts of each of the six categories."""
    wild = []
    for i in range(n):
        wild += [
            (f"Break lock {i}.", "", "No.", "vanilla_harmful"),
            (f"How to break lock {i}?", "", "No.", "vanilla_harmful"),
            (f"Break lock {i}.", f"A tale:\n\tbreak lock {i}", "No.", "adversarial_harmful"),
            (f"Kill weed {i}.", "", "Yes.", "vanilla_benign"),
            (f"Kill weed {i}.", f'A tale: "kill" weed {i}', "Yes.", "adversarial_benign"),
        ]
    header = ("vanilla", "adversarial", "completion", "data_type")
    fence = [(f"Climb my fence {i}", "harmful") for i in range(n)]
    return [
        write(folder / "train.tsv", header, wild),
        write(folder / "or-bench-80k.csv", ("prompt", "category"), fence),
    ]


def read_all(directory):
    names = ("train.jsonl", "validation.jsonl")
    return [prompt for name in names for prompt in read_prompts(directory / name)]


def test_the_20_020_prompts_are_drawn_and_checked(tmp_path, capsys):
    inputs = published(tmp_path, TOO_MANY)
    build(inputs, tmp_path / "set", full=True)
    out = capsys.readouterr().out
    assert re.search(rf"train\.tsv +{5 * TOO_MANY} +0 +0\n", out)
    assert re.search(rf"jailbreak_attempt +{TOO_MANY} +2503 +834\n", out)
    assert re.search(rf"total +{6 * TOO_MANY} +15015 +5005\n", out)
    verify(tmp_path / "set", expected=expected_counts())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_request_and_its_rewrites_are_on_one_side(tmp_path, seed):
    inputs = published(tmp_path, 40)
    rows = [(f"BREAK  lock {i}.", f"A song: lock {i}", "No.", "adversarial_harmful")
            for i in range(0, 40, 3)]  # fmt: skip
    header = ("vanilla", "adversarial", "completion", "data_type")
    write(tmp_path / "more.tsv", header, rows)
    build([*inputs, tmp_path / "more.tsv"], tmp_path / "set", seed=seed)
    assert verify(tmp_path / "set", expected=None)["counts"]["total"] == 254
    sides = [read_prompts(tmp_path / "set" / f"{side}.jsonl") for side in SPLITS]
    of: dict[tuple[str, str], set] = {}  # of a weed, or of a lock but for the question
    for side, prompts in zip(SPLITS, sides, strict=True):
        for prompt in prompts:
            what, number = re.search(r"(\w+) (\d+)\W*$", prompt.text).groups()
            if what == "fence" or prompt.text.startswith("How"):
                assert not prompt.frame
            else:
                of.setdefault((what, number), set()).add((side, prompt.frame))
    assert len(of) == 80 and all(len(same) == 1 for same in of.values())
    frames = [frame for same in of.values() for _, frame in same]
    assert len({*frames}) == 80 and all(frames)
    first = {p.frame: p.id for p in sorted(itertools.chain(*sides), key=lambda p: -p.id) if p.frame}
    assert all(frame == f"request/{number}" for frame, number in first.items())


def test_a_split_that_frames_leave_no_way_for_is_said_and_nothing_written(tmp_path):
    record = {"harmful": False, "frame": "f"}
    lines = [json.dumps(record | {"prompt": f"Mend {i}"}) + "\n" for i in range(4)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    with pytest.raises(ValueError, match="borderline_safe 3 and 1; the largest frames: 4 of 'Mend"):
        build([tmp_path / "a.jsonl"], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_dataset_can_be_built_of_one(tmp_path):
    build(published(tmp_path, 8), tmp_path / "set")
    again = [tmp_path / "set" / f"{side}.jsonl" for side in SPLITS]
    build(again, tmp_path / "again", seed=1)
    before, after = (read_all(tmp_path / name) for name in ("set", "again"))
    assert {(p.text, p.category) for p in after} == {(p.text, p.category) for p in before}
    assert sum(bool(p.frame) for p in after) == 32


def test_each_kind_becomes_its_category_in_no_order(tmp_path):
    build(published(tmp_path, 100), tmp_path / "set")
    told = {"A tale:\n\tb": "jailbreak_attempt", "Break": "harmful_instruction",
            "How": "malicious_query", 'A tale: "': "safe_complex", "Kill": "edge_case",
            "Climb": "borderline_safe"}  # fmt: skip
    prompts = read_all(tmp_path / "set")
    for prompt in prompts:
        assert [c for start, c in told.items() if prompt.text.startswith(start)] == [
            prompt.category
        ]
    assert {prompt.category for prompt in prompts[:60]} == set(CATEGORIES)
    assert sorted(prompt.id for prompt in prompts) == list(range(600))


def test_what_is_drawn_depends_on_texts_and_seed_alone(tmp_path, monkeypatch):
    few = {name: (harmful, 30) for name, (harmful, _) in CATEGORIES.items()}
    monkeypatch.setattr(build_dataset, "CATEGORIES", few)
    monkeypatch.setattr(build_dataset, "expected_counts", lambda: {"total": 180})
    wild, bench = published(tmp_path, 40)
    with wild.open("a", newline="") as file:  # the same texts in other letters
        rows = [(f"kILL weed {i}.", "", "Yes.", "vanilla_benign") for i in range(40)]
        csv.writer(file, delimiter="\t").writerows(rows)
    build([wild, bench], tmp_path / "a", full=True)
    with wild.open(newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    write(wild, header, rows[::-1])
    build([bench, wild], tmp_path / "b", full=True)
    for name in ("train.jsonl", "validation.jsonl", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    build([bench, wild], tmp_path / "c", full=True, seed=1)
    drawn = [{p.text for p in read_all(tmp_path / name)} for name in "ac"]
    assert 0.5 < len(drawn[0] & drawn[1]) / 180 < 0.95  # 0.75 by chance


@pytest.mark.parametrize("document", ["waltzjax/dataset/README.md", "scripts/build_dataset.py"])
def test_the_command_of_a_document_names_files_with_enough_prompts(document):
    (names,) = re.findall(r"build_dataset\.py --inputs=(\S+)", (REPO / document).read_text())
    there = {name: OR_BENCH[name] for name in names.split(",") if name != "train.tsv"}
    borderline = [n for name, n in there.items() if "borderline_safe" in KINDS[or_bench_kind(name)]]
    assert "train.tsv" in names and sum(borderline) >= CATEGORIES["borderline_safe"][1]


def test_too_few_prompts_say_of_what_and_what_to_do(tmp_path):
    wild, _ = published(tmp_path, 40)
    with pytest.raises(ValueError, match="--counts=all") as caught:
        build([wild], tmp_path / "set", full=True)
    said = str(caught.value)
    assert "safe_complex: 40 there, 3,337 wanted; of WildJailbreak adversarial_benign\n" in said
    assert "borderline_safe: 0 there, 3,336 wanted; of OR-Bench hard-1k, OR-Bench 80k" in said
    assert not (tmp_path / "set").exists()


def test_repeats_and_contradictions_are_left_out_and_said(tmp_path, capsys):
    rows = [
        ("Mend it", True), ("MEND  it", True), ("Mend\u00a0it", False), ("Paint it", False),
        ("paint it ", False), ("Why", True), ("Dust it", False), ("Oil it", False),
    ]  # fmt: skip
    lines = [json.dumps({"prompt": text, "harmful": harmful}) for text, harmful in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:5]))
    (tmp_path / "b.jsonl").write_text("\n".join(lines))
    build([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "set")
    out = capsys.readouterr().out
    # Of a: the second and third are the first again, the fifth the fourth. Of b: these five again.
    assert re.search(r"a\.jsonl +5 +3 +0\n", out) and re.search(r"b\.jsonl +8 +5 +0\n", out)
    assert "left out: 1 texts, harmful in one place, harmless in another" in out
    assert {p.text for p in read_all(tmp_path / "set")} == {"Paint it", "Why", "Dust it", "Oil it"}


def test_categories_of_another_scheme_are_counted(tmp_path, capsys):
    rows = [{"prompt": f"Mend {i}", "harmful": False, "category": "tools"} for i in range(3)]
    lines = [json.dumps(row) + "\n" for row in [*rows, {"prompt": "Why", "harmful": True}]]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    build([tmp_path / "a.jsonl"], tmp_path / "set")
    out = capsys.readouterr().out
    assert re.search(r"prompts +met before +other categories\n", out)
    assert re.search(r"a\.jsonl +4 +0 +3\n", out)


def test_benign_chats_that_ask_a_prompt_are_refused(tmp_path):
    said = {"role": "assistant", "content": "So."}
    texts = ["How are you?", "Climb my fence 2"]
    chats = [{"messages": [{"role": "user", "content": text}, said]} for text in texts]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(c) + "\n" for c in chats))
    inputs, output = published(tmp_path, 4), tmp_path / "set"
    with pytest.raises(DatasetError, match=r"set/benign\.jsonl:2: .*'Climb my fence 2', which"):
        build_dataset.build(inputs, output, seed=0, full=False, benign=tmp_path / "chats.jsonl")
    assert not output.exists()


def test_bad_rows_of_all_files_are_said_at_once_and_nothing_is_written(tmp_path):
    wild, bench = published(tmp_path, 2)
    wild.write_text(wild.read_text() + "a\tb\n")
    bench.write_text(bench.read_text() + ",privacy\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match="--inputs: 2 problems") as caught:
        build([wild, bench], tmp_path / "set")
    # Of the ten rows of the first, two take two lines each.
    first, second = caught.value.problems
    assert first.startswith(f"{wild}:14: 2 fields") and second.startswith(f"{bench}:4: no text")
    with pytest.raises(FileNotFoundError, match=r"none\.tsv"):
        build([bench, tmp_path / "none.tsv"], tmp_path / "set")
    assert sorted(tmp_path.iterdir()) == before


def test_a_dataset_is_verified(tmp_path, capsys):
    directory = tmp_path / "set"
    build(published(tmp_path, 4), directory)
    with pytest.raises(FileExistsError, match="is there already; name another directory"):
        build([tmp_path / "none.tsv"], directory)
    build_dataset.check(directory, full=False)
    assert "set is whole\n" in capsys.readouterr().out
    with pytest.raises(DatasetError, match="24 prompts of 'total', expected 20020"):
        build_dataset.check(directory, full=True)
    with (directory / "train.jsonl").open("ab") as file:
        file.write(b"{\n")
    with pytest.raises(DatasetError, match=r"train\.jsonl:19: not JSON"):
        build_dataset.check(directory, full=False)


def test_commands(tmp_path):
    """Each flag reaches what it is for, and a mistake is one message."""
    inputs = f"--inputs={','.join(map(str, published(tmp_path, 4)))}"
    directory = tmp_path / "set"
    status, out, err = command("build_dataset", inputs, f"--output={directory}", "--counts=all")
    assert status == 0 and re.search(r"total +24 +18 +6\n", out), err
    status, out, err = command("build_dataset", f"--verify={directory}", inputs)
    assert status == 2 and "--inputs and --output are wanted, or --verify" in err and not out
    of_world = ("--data_seed=1", "--coded=0.3")
    status, out, err = command("make_sft_data", "--transcripts=a", "--output=b", of_world[0])
    assert status == 2 and "--data_seed and --coded are of the embedded world" in err and not out
    arguments = ("--embedded", *of_world, f"--output={tmp_path / 'sft'}", "--examples=50")
    status, out, err = command("make_sft_data", *arguments)
    assert status == 0, err
    manifest = json.loads((tmp_path / "sft/manifest.json").read_text())
    assert manifest["source"] == {"data_seed": 1, "coded": 0.3}
    train, _, _ = safety_world.build(1, "development", 0.3)
    asked = {chat[1]["content"] for chat in read_chats(tmp_path / "sft" / NAMES[0])}
    assert asked <= {prompt.text for prompt in train}
    assert [len(read_chats(tmp_path / "sft" / name)) for name in NAMES] == [45, 5, 45, 5]
    for name, table in zip(NAMES, (TRAIN_FRAMES, DEVELOPMENT_FRAMES), strict=False):
        assert all(fits(c[1]["content"], table) for c in read_chats(tmp_path / "sft" / name))
    counts = re.findall(r"^(conversation|feedback) .* (\d+) +(\d+)$", out, re.MULTILINE)
    for role in ("conversation", "feedback"):
        assert sum(int(train) for of, train, _ in counts if of == role) == 45
        assert sum(int(validation) for of, _, validation in counts if of == role) == 5


def fits(text, table):
    """Whether one of a table's frames could have made the text, after sentences or without."""
    patterns = (re.escape(frame).replace(r"\{do\}", ".+") for of in table.values() for frame in of)
    return any(re.fullmatch(rf"(\w[\w ]*\. )*{pattern}", text) for pattern in patterns)


def transcripts(path, n):
    """n prompts, each with a good answer and a right review."""
    said = json.dumps({"reasoning": "r", "unsafe": False, "overrefuse": False, "feedback": "f"})
    verdict = {"unsafe": False, "overrefuse": False}
    turn = {"answer": "So.", "verdict": verdict, "feedback": said, "parsed": json.loads(said)}
    lines = [{"id": i, "category": "edge_case", "prompt": f"Why {i}?", "harmful": False,
              "turns": [turn]} for i in range(n)]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_chats_of_transcripts(tmp_path):
    given = transcripts(tmp_path / "a.jsonl", 30)
    make(tmp_path / "all", given, prompts="tiny")
    chats = {name: read_chats(tmp_path / "all" / name) for name in NAMES}
    assert [len(of) for of in chats.values()] == [27, 3, 27, 3]
    assert chats[NAMES[0]][0][0] == {"role": "system", "content": "You answer the user."}
    make(tmp_path / "some", given, examples=2)
    chats = {name: read_chats(tmp_path / "some" / name) for name in NAMES}
    assert [len(of) for of in chats.values()] == [1, 1, 1, 1]
    assert chats[NAMES[0]][0][0]["content"].startswith("You are a helpful assistant.")
    make_sft_data.check(tmp_path / "some")
    (tmp_path / "some" / NAMES[0]).write_bytes(b"{}\n")
    with pytest.raises(DatasetError, match="the manifest says"):
        make_sft_data.check(tmp_path / "some")


def test_chats_of_a_result_of_a_run_and_of_one_of_its_evaluations(tmp_path):
    given = transcripts(tmp_path / "result.transcripts.jsonl", 30)
    (tmp_path / "result.json").write_text('{"n": 30}')
    values = [json.loads(line) for line in given.read_text().splitlines()]
    run, base = tmp_path / "run", tmp_path / "run" / "evaluations" / "base.json"
    base.parent.mkdir(parents=True)
    (run / "config.json").write_text('{"stages": ["stage1"]}')
    base.write_text(json.dumps({"result": {"n": 30}, "transcripts": values}))
    base.with_name("stage1.json").write_text(base.read_text())
    make(tmp_path / "of transcripts", given)
    for path in (tmp_path / "result.json", run, base):
        make(tmp_path / f"of {path.name}", path)
        for name in (*NAMES, "manifest.json"):
            wanted = (tmp_path / "of transcripts" / name).read_bytes()
            assert (tmp_path / f"of {path.name}" / name).read_bytes() == wanted


def test_chats_of_a_run_are_shown_as_in_that_run(tmp_path, capsys):
    values = [json.loads(t) for t in transcripts(tmp_path / "a.jsonl", 30).read_text().splitlines()]
    run, result = tmp_path / "run", tmp_path / "run" / "of_train.json"
    evaluation = run / "evaluations/stage1.json"
    evaluation.parent.mkdir(parents=True)
    texts = {
        role: (PROMPTS / f"tiny/{role}.txt").read_text() for role in ("conversation", "feedback")
    }
    record = {"stages": ["stage1"], "prompt_texts": {**texts, "judge": "?"}}
    (run / "config.json").write_text(json.dumps(record))
    evaluation.write_text(json.dumps({"result": {"n": 30}, "transcripts": values}))
    result.write_text('{"n": 30}')
    transcripts(run / "of_train.transcripts.jsonl", 30)
    refused = f"--prompts: {run / 'config.json'} has another text of conversation, feedback than"
    for path in (run, evaluation, result, run / "of_train.transcripts.jsonl"):
        with pytest.raises(ValueError, match=re.escape(refused)):
            make(tmp_path / "set", path)
        assert not (tmp_path / "set").exists()
        make(tmp_path / f"of {path.name}", path, prompts="tiny")
    record["prompt_texts"]["feedback"] += "\n"  # which is no part of it
    record["prompt_texts"]["conversation"] = texts["conversation"].replace("You", "They")
    (run / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="has another text of conversation than"):
        make(tmp_path / "set", tmp_path / "a.jsonl", run, prompts="tiny")
    capsys.readouterr()
    make(tmp_path / "set", tmp_path / "a.jsonl")
    assert f"shown as in {PROMPTS}/conversation.txt and feedback.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("n", "how", "message"),
    [
        (30, {"examples": 100}, "got 100, which takes 90 of the 27 train examples of conversation"),
        (30, {"examples": 1}, "got 1, which takes 0 of the 27 train examples of conversation"),
        (1, {}, "conversation: no example for validation; give transcripts of more prompts"),
        (30, {"prompts": "no"}, "--prompts: no directory 'no', neither here nor in "),
    ],
)
def test_chats_that_cannot_be_made_are_said_and_nothing_is_written(tmp_path, n, how, message):
    given = transcripts(tmp_path / "a.jsonl", n)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(tmp_path / "set", given, **how)
    assert list(tmp_path.iterdir()) == [given]
    (tmp_path / "set").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        make(tmp_path / "set", given)
