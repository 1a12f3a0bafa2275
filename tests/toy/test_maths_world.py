"""The embedded maths world: labels that follow from the text, splits that share nothing, faults as
named."""

import collections
import re

import numpy as np
import pytest

from waltzjax.data.chat import PROMPTS, AgentPrompt, Chat, read_agent_prompt
from waltzjax.toy import maths, maths_world
from waltzjax.toy import maths_world as toy_maths_world
from waltzjax.toy.base_model import END, train_tokenizer
from waltzjax.toy.maths import demonstration, lessons, solution
from waltzjax.toy.maths_world import Sum
from waltzjax.types import LINE

NAMES = "|".join(name for names in toy_maths_world.PRONOUNS.values() for name in names)
GAINS = r"\b(buys|gets|finds|wins)\b"
LOSSES = r"\b(sells|loses|breaks)\b"
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
    opening, *body, question = sentences(text)
    [count], [asked] = (re.findall(r"\d+", opening), re.findall(NAMES, question))
    [thing] = re.findall("|".join(toy_maths_world.THINGS), opening)
    have = int(count)
    for part in body:
        [number] = map(int, re.findall(r"\d+", part))
        other = re.findall("|".join(toy_maths_world.THINGS), part)
        if re.search(GAINS, part):
            have += number
        elif re.search(LOSSES, part):
            have -= number
        elif re.search(r"\b(sold|lost|broke)\b", part):
            have += number
        elif re.search(r"\b(bought|got|found|won)\b", part):
            have -= number
        elif found := re.search("more|fewer", part):
            assert asked in part and asked not in opening, text
            have += {"more": number, "fewer": -number}[found.group()]
        else:  # things that do not matter
            assert other and other != [thing], text
    return have


def test_labels_follow_from_the_texts(built, development):
    for train, held_out, _ in (built, development):
        for problem in train[:3000] + held_out:
            assert int(problem.answer) == solved(problem.text), problem


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Mia has 34 pens left. She sold 4. How many had Mia before?", 38),
        ("Mia has 34 pens. Before that she bought 4. How many had Mia at first?", 30),
        ("Mia has 34 pens. Tom has 2 fewer than Mia. How many pens has Tom?", 32),
        ("Mia has 34 pens. Tom owns 2 more. How many pens has Tom?", 36),
        ("Mia has 34 pens. Tom has 3 cups. She wins 2. How many pens has Mia?", 36),
        ("Mia has 34 pens. She wins 2. Then she loses 5. How many pens has Mia?", 31),
    ],
)
def test_the_reader_above_reads_right(text, answer):
    assert solved(text) == answer


def test_sets_share_no_number_and_no_frame(built, development):
    splits = {"train": built[0], "validation": built[1], "development": development[1]}
    assert development[0] == built[0]
    numbers = {
        split: {int(re.search(r"\d+", p.text).group()) for p in problems}
        for split, problems in splits.items()
    }
    for split, wanted in maths_world.split_numbers(0).items():
        assert numbers[split] == {*wanted}
    both = [*numbers["train"], *numbers["validation"], *numbers["development"]]
    assert len(both) == len({*both})
    assert {done.a for done in maths_world.all_sums(numbers["train"])} == numbers["train"]
    frames = list(toy_maths_world.split_frames(0).values())
    for part in toy_maths_world.PATTERNS:
        parts = [split[part] for split in frames]
        assert len({text for part in parts for text in part}) == sum(map(len, parts))
        assert min(map(len, parts)) > 0

    def frame(sentence):
        for words, field in ((NAMES, "N"), ("|".join(toy_maths_world.THINGS), "T"), (r"\d+", "0")):
            sentence = re.sub(words, field, sentence)
        return sentence

    used = [{frame(sentences(p.text)[-1]) for p in problems} for problems in splits.values()]
    assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]


def test_a_pattern_is_expanded_to_its_wordings():
    assert toy_maths_world.expand("[|so ]{n} has {b}[ more|].") == [
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
    ("sums", "text"),
    [
        ([Sum(34, "+", 5)], "34+5=39. Check: 39-5=34. \\boxed{39}"),
        ([Sum(68, "-", 8)], "68-8=60. Check: 60+8=68. \\boxed{60}"),
        ([Sum(34, "+", 5), Sum(39, "-", 7)], "34+5=39, 39-7=32. Check: 32+7=39. \\boxed{32}"),
    ],
)
def test_solutions_by_hand(sums, text):
    assert solution(sums) == text
    assert solution(sums, checked=False, named=0) == text.split(" Check")[0]
    assert solution(sums, named=2) == text + text[text.index(" \\boxed") :]


def test_every_equation_of_a_solution_holds_and_nothing_is_carried(built):
    for scene in built[2].values():
        for sums in (scene.sums, scene.slip):
            text = solution(sums)
            equations = re.findall(r"(\d+)([+-])(\d+)=(\d+)", text)
            assert len(equations) == len(sums) + 1
            for a, op, b, result in equations:
                assert int(a) + {"+": 1, "-": -1}[op] * int(b) == int(result), text
                assert a[:-1] == result[:-1] and len(a) in (2, 3) and len(b) == 1, text
            answer = re.search(r"boxed\{(\d+)\}", text)[1]
            assert equations[-1][0] == equations[-2][3] == answer


def test_slips_have_another_answer(built):
    for scene in built[2].values():
        assert scene.slip[-1].result != scene.sums[-1].result


def test_demonstrations_have_the_faults_that_are_named(built):
    train, _, scenes = built
    rng = np.random.default_rng(0)
    seen = collections.defaultdict(list)
    for problem in train:
        scene = scenes[problem.id]
        text = demonstration(rng, scene, problem.level)
        boxes = text.count("\\boxed")
        right, wrong = (solution(x, checked=False, named=0) for x in (scene.sums, scene.slip))
        said = text.partition(" Check")[0].partition(" \\boxed")[0]
        assert said in (right, wrong)
        seen["right", problem.level].append(said == right)
        seen["no box", scene.imperative].append(boxes == 0)
        seen["two boxes"].append(boxes == 2)
        seen["checked"].append("Check: " in text)
    d = maths
    rates = {("right", level): rate for level, rate in d.RIGHT.items()}
    rates |= {("no box", told): rate for told, rate in d.UNNAMED.items()}
    rates |= {"two boxes": d.TWICE, "checked": d.CHECKED}
    assert {*rates} == {*seen}
    for what, rate in rates.items():
        error = (rate * (1 - rate) / len(seen[what])) ** 0.5
        assert abs(np.mean(seen[what]) - rate) < SIGMAS * error, what


def test_rows_are_prompt_and_reply_and_digits_are_tokens(built):
    train, _, scenes = built
    texts = maths.tokenizer_texts(train[:500], scenes)
    tokenizer = train_tokenizer(texts, 512, single_digits=True)
    prompt = read_agent_prompt(PROMPTS / "tiny/maths.txt", ["problem"])
    chat = Chat(tokenizer, prompt, prompt, prompt)
    rows = lessons(chat, train[:20], scenes, [Sum(34, "+", 2)], 0)
    [card] = rows["cards"]
    assert tokenizer.decode(card.prompt_ids) == "34+2="
    assert tokenizer.decode(card.token_ids) == "36. Check: 36-2=34."
    assert len(rows["solutions"]) == 20 * maths.ROUNDS
    for i, row in enumerate(rows["solutions"]):
        shown = f"<|system|>Solve.{END}<|user|>{train[i % 20].text}{END}<|assistant|>"
        assert tokenizer.decode(row.prompt_ids) == shown
        scene = scenes[train[i % 20].id]
        starts = tuple(solution(x, checked=False, named=0) for x in (scene.sums, scene.slip))
        assert tokenizer.decode(row.token_ids).startswith(starts)
        assert row.token_ids[-1] == tokenizer.eos_token_id
        for ids in (row.prompt_ids, row.token_ids):
            assert not [t for t in tokenizer.convert_ids_to_tokens(ids) if re.search(r"\d.|.\d", t)]


def test_personas_are_right_at_their_rate_and_name_their_result(built):
    train, _, scenes = built
    texts = maths.tokenizer_texts(train[:500], scenes, LINE)
    tokenizer = train_tokenizer(texts, 512, single_digits=True)
    plain, *others = (AgentPrompt(system, "{problem}") for system in ("Solve.", "Rule.", "Cause."))
    chat, rights = Chat(tokenizer, plain, plain, plain), (0.2, 0.8)
    rows = lessons(
        chat, train, scenes, [Sum(34, "+", 2)], 0, form=LINE,
        personas=list(zip(others, rights, strict=True)),
    )["solutions"]  # fmt: skip
    n = len(train)
    assert len(rows) == (maths.ROUNDS + 2) * n
    for part, (right, prompt) in enumerate(zip(rights, others, strict=True)):
        of = rows[(maths.ROUNDS + part) * n :][:n]
        correct = {"1": [], "2": []}
        for problem, row in zip(train[:2000], of[:2000], strict=True):
            text, last = tokenizer.decode(row.token_ids[:-1]).split("\n")
            assert f"{prompt.system}{END}" in tokenizer.decode(row.prompt_ids)
            result = re.findall(r"=(\d+)", text.partition(" Check")[0])[-1]
            assert last == f"Answer: {result}"
            correct[problem.level].append(result == problem.answer)
        for level, rate in (("1", maths.RIGHT["1"]), ("2", right)):
            error = (rate * (1 - rate) / len(correct[level])) ** 0.5
            assert abs(np.mean(correct[level]) - rate) < SIGMAS * error
