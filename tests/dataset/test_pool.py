"""What belongs together stays together, whichever rows said so and in whatever order."""

import itertools
import random

from waltzjax.dataset.sources import Found, Links, Pool


def found(text, group, category="edge_case", ignored=""):
    return Found(text, category, "JSONL harmless", "a:1", group, ignored)


def pooled(*rows):
    pool = Pool()
    met = [pool.add(row, file) for file, row in rows]
    return pool, met


def test_links_are_those_of_a_search():
    rng = random.Random(0)
    texts = [str(i) for i in range(60)]
    pairs = [rng.sample(texts, 2) for _ in range(40)]
    links = Links()
    for a, b in pairs:
        links.join(a, b)
    for text in texts:
        reached, new = {text}, {text}
        while new:
            new = {b for pair in pairs for a, b in (pair, pair[::-1]) if a in new} - reached
            reached |= new
        assert links.root(text) == min(reached)


def test_groups_are_joined_through_texts_that_are_not_kept():
    rows = [
        (0, found("Tale.", "tale.")),  # kept, and says nothing of what it rewrites
        (1, found("TALE.", "pick it.", "safe_complex")),
        (1, found("Song.", "pick it.")),
        (1, found("Tale. ", "mend it.")),
        (1, found("Poem.", "mend it.")),
        (1, found("Dust it.", "dust it.")),
    ]
    pool, met = pooled(*rows)
    assert met == [False, True, False, True, False, False]
    groups = {f.text: f.group for f in pool.prompts()}
    assert groups == {
        "Tale.": "mend it.", "Song.": "mend it.", "Poem.": "mend it.", "Dust it.": "dust it.",
    }  # fmt: skip


def test_of_one_text_in_many_forms_the_order_of_rows_keeps_none():
    forms = [found("why?", "why?"), found("Why?", "why?"), found("Why?", "why?", "safe_complex")]
    for order in itertools.permutations(forms):
        (kept,) = pooled(*((1, form) for form in order))[0].prompts()
        assert (kept.text, kept.category) == ("Why?", "edge_case")
        (kept,) = pooled((0, found("why?", "why?")), *((1, form) for form in order))[0].prompts()
        assert kept.text == "why?"  # that of the first file
    harmful = found("WHY?", "why?", "malicious_query")
    for order in itertools.permutations([*forms, harmful]):
        assert pooled(*((1, form) for form in order))[0].prompts() == []
