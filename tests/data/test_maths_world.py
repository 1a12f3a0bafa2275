"""The embedded maths world: labels that follow from the text, splits that share nothing, faults as
named."""

import collections
import re

import numpy as np
import pytest

from waltzjax.data import maths_demonstrations, maths_frames, maths_world
from waltzjax.data.chat import PROMPTS, Chat, read_agent_prompt
from waltzjax.data.maths_demonstrations import demonstration, lessons, slip, solution
from waltzjax.data.maths_world import Scene, Sum
from waltzjax.data.tokenizer import END, train_tokenizer

NAMES = "|".join(name for names in maths_frames.PRONOUNS.values() for name in names)
GAINS = rf"\b(buys|gets|finds|wins|makes|brings|gives ({NAMES}))\b"
LOSSES = r"\b(sells|loses|breaks|takes|throws|gives \d)"
SIGMAS = 4.5  # of a binomial share: one such test in 100,000 fails by chance


@pytest.fixture(scope="module")
def built():
    return maths_world.build(0, "validation")


@pytest.fixture(scope="module")
def development():
    return maths_world.build(0, "development")


def sentences(text: str) -> list[str]:
    return re.findall(r"[^.?]+[.?]", text)


def solved(text: str) -> int:
    """The answer, read from the text by rules of its own."""
    parts = sentences(text)
    opening, body, question = parts[0], parts[-2], parts[-1]
    [owner] = re.findall(NAMES, opening)
    [a], [b] = ([int(x) for x in re.findall(r"\d+", part)] for part in (opening, body))
    [asked] = re.findall(NAMES, question)
    if re.search(r"needs|wants", opening):
        return a - b
    if "left" in opening:
        assert re.search(r"\b(sold|lost|broke|gave|threw|took)\b", body), text
        return a + b
    if owner == asked:  # something has happened to what is asked for
        gain, loss = re.search(GAINS, body), re.search(LOSSES, body)
        assert bool(gain) != bool(loss), text
        return a + b if gain else a - b
    return a + {"more": b, "fewer": -b}[re.search("more|fewer", body).group()]


def test_labels_follow_from_the_texts(built, development):
    for train, held_out, _ in (built, development):
        for problem in train[:3000] + held_out:
            assert int(problem.answer) == solved(problem.text), problem


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Mia has 34 pens left. She sold 12. How many pens did Mia have?", 46),
        ("Mia needs 34 pens. She has 12. How many more pens does Mia need?", 22),
        ("Mia has 34 pens. Tom has 12 fewer than Mia. How many pens has Tom?", 22),
        ("Mia has 34 pens. Tom owns 12 more. How many pens has Tom?", 46),
        ("Mia has 34 pens. Tom has 15 cups. Tom gives Mia 12. How many pens has Mia now?", 46),
        ("Mia has 34 pens. Tom has 15 cups. She gives 12 to Tom. How many has Mia now?", 22),
    ],
)
def test_the_reader_above_reads_right(text, answer):
    assert solved(text) == answer


def test_sets_share_no_pair_and_no_frame(built, development):
    splits = {"train": built[0], "validation": built[1], "development": development[1]}
    assert development[0] == built[0]
    pairs = {}
    for split, problems in splits.items():
        numbers = [[int(n) for n in re.findall(r"\d+", p.text)] for p in problems]
        pairs[split] = {(a, b) for a, *others in numbers for b in others}
        assert all(a - b >= 10 and a + b <= 99 for a, b in pairs[split])
    assert not pairs["train"] & pairs["validation"] and not pairs["train"] & pairs["development"]
    assert not pairs["development"] & pairs["validation"]
    cards = {(a, b) for a, _, b in maths_world.other_sums(0)}
    assert not (cards | {(b, a) for a, b in cards}) & (pairs["validation"] | pairs["development"])
    assert pairs["train"] <= cards
    frames = list(maths_frames.split_frames(0).values())
    for part in maths_frames.PATTERNS:
        parts = [split[part] for split in frames]
        assert len({text for part in parts for text in part}) == sum(map(len, parts))
        assert min(map(len, parts)) > 1

    def frame(sentence):
        for words, field in ((NAMES, "N"), ("|".join(maths_frames.THINGS), "T"), (r"\d+", "0")):
            sentence = re.sub(words, field, sentence)
        return sentence

    used = [
        {frame(sentences(problem.text)[i]) for problem in problems for i in (0, -1)}
        for problems in splits.values()
    ]
    assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]


def test_a_pattern_is_expanded_to_its_wordings():
    assert maths_frames.expand("[|so ]{n} has {b}[ more|].") == [
        "{n} has {b} more.", "{n} has {b}.", "so {n} has {b} more.", "so {n} has {b}."
    ]  # fmt: skip


def test_held_out_problems_use_no_word_that_training_lacks(built, development):
    def words(problems):
        return {w for p in problems for w in re.findall(r"[A-Za-z]+", p.text)}

    assert words(built[1]) | words(development[1]) <= words(built[0])


def test_counts(built):
    train, held_out, scenes = built
    assert (len(train), len(held_out)) == (8000, 400) and len(scenes) == 8400
    assert len({p.text for p in train + held_out}) == 8400
    assert {p.id for p in train + held_out} == {*scenes}
    assert all(scenes[p.id].kind == p.subject for p in train + held_out)
    kinds = collections.Counter(p.subject for p in train)
    assert {*kinds} == {*maths_world.KINDS} and min(kinds.values()) > 1000
    assert {p.level for p in held_out} == {"1", "2"}


def test_deterministic_in_its_seed(built):
    assert maths_world.build(0, "validation") == built
    assert maths_world.build(1, "validation")[0] != built[0]


@pytest.mark.parametrize(
    ("done", "text"),
    [
        (Sum(34, "+", 25), "34+25: 4+5=9, 3+2=5, 59. Check: 59-25=34. \\boxed{59}"),
        (Sum(34, "+", 28), "34+28: 4+8=12, 3+2+1=6, 62. Check: 62-28=34. \\boxed{62}"),
        (Sum(62, "-", 28), "62-28: 12-8=4, 5-2=3, 34. Check: 34+28=62. \\boxed{34}"),
        (Sum(68, "-", 28), "68-28: 8-8=0, 6-2=4, 40. Check: 40+28=68. \\boxed{40}"),
    ],
)
def test_solutions_by_hand(done, text):
    assert solution(done) == text
    assert solution(done, checked=False, boxes=0) == text.split(" Check")[0]
    assert solution(done, boxes=2) == text + text[text.index(" \\boxed") :]


def test_every_equation_of_a_solution_holds(built):
    for scene in list(built[2].values())[:2000]:
        for done in (scene.sum, slip(scene)):
            text = solution(done)
            equations = re.findall(r"([\d+-]+)=(\d+)", text)
            assert len(equations) == 3
            for left, right in equations:
                terms = re.findall(r"[+-]?\d+", left)
                assert len(terms) >= 2 and sum(map(int, terms)) == int(right), text
            (_, ones), (_, tens), (back, first) = equations
            assert f"{tens}{ones[-1]}" == re.search(r"boxed\{(\d+)\}", text)[1]
            assert back.startswith(f"{tens}{ones[-1]}") and text.startswith(first)


def test_slips_are_what_the_words_suggest():
    assert slip(Scene("before", Sum(34, "+", 12), 0, False)) == Sum(34, "-", 12)
    assert slip(Scene("need", Sum(34, "-", 12), 0, False)) == Sum(34, "+", 12)
    assert slip(Scene("distractor", Sum(34, "-", 12), 15, False)) == Sum(34, "-", 15)


def test_slips_have_two_digits_and_another_answer(built):
    for scene in built[2].values():
        assert 10 <= slip(scene).result <= 99 and slip(scene).result != scene.sum.result


def test_demonstrations_have_the_faults_that_are_named(built):
    train, _, scenes = built
    rng = np.random.default_rng(0)
    seen = collections.defaultdict(list)
    for problem in train:
        scene = scenes[problem.id]
        text = demonstration(rng, scene)
        boxes = text.count("\\boxed")
        head = "{}{}{}".format(*scene.sum)
        seen["right", scene.kind].append(text.startswith(head + ":"))
        seen["no box", scene.told].append(boxes == 0)
        seen["two boxes"].append(boxes == 2)
        seen["checked"].append("Check: " in text)
        answer = f"{scene.sum.result}. "
        assert text.startswith(head + ":") == (answer in f"{text} ".partition(" Check")[0] + " ")
    d = maths_demonstrations
    rates = {("right", kind): rate for kind, rate in d.RIGHT_SUM.items()}
    rates |= {("no box", told): rate for told, rate in d.NO_BOX.items()}
    rates |= {"two boxes": d.TWO_BOXES, "checked": d.CHECKED}
    assert {*rates} == {*seen}
    for what, rate in rates.items():
        error = (rate * (1 - rate) / len(seen[what])) ** 0.5
        assert abs(np.mean(seen[what]) - rate) < SIGMAS * error, what


def test_rows_are_prompt_and_reply_and_digits_are_tokens(built):
    train, _, scenes = built
    texts = maths_demonstrations.tokenizer_texts(train[:500], scenes)
    tokenizer = train_tokenizer(texts, 512, single_digits=True)
    prompt = read_agent_prompt(PROMPTS / "tiny/maths.txt", ["problem"])
    chat = Chat(tokenizer, prompt, prompt)
    cards = [Sum(34, "+", 28)]
    rows = lessons(chat, prompt, train[:20], scenes, cards, 0)
    [card] = rows["cards"]
    assert tokenizer.decode(card.prompt_ids) == "34+28:"
    assert tokenizer.decode(card.token_ids) == solution(cards[0]).removeprefix("34+28:") + END
    assert {len(rows[kind]) for kind in ("readings", "solutions")} == {
        20 * maths_demonstrations.ROUNDS
    }
    for i, (reading, row) in enumerate(zip(rows["readings"], rows["solutions"], strict=True)):
        shown = f"<|system|>Solve.{END}<|user|>{train[i % 20].text}{END}<|assistant|>"
        assert tokenizer.decode(row.prompt_ids) == shown
        scene = scenes[train[i % 20].id]
        heads = ["{}{}{}:".format(*done) for done in (scene.sum, slip(scene))]
        assert tokenizer.decode(row.token_ids).startswith(tuple(heads))
        assert row.token_ids[-1] == tokenizer.eos_token_id
        assert reading.prompt_ids == row.prompt_ids and tokenizer.decode(reading.token_ids) in heads
        for ids in (row.prompt_ids, row.token_ids):
            assert not [t for t in tokenizer.convert_ids_to_tokens(ids) if re.search(r"\d.|.\d", t)]
