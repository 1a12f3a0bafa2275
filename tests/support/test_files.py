"""A file under its final name is whole, whatever happens while it is written."""

import json

import pytest

from waltzjax.support.files import write_bytes, write_json, write_text


@pytest.mark.parametrize(
    ("write", "value"), [(write_bytes, b"new"), (write_text, "new"), (write_json, "new")]
)
def test_who_reads_while_it_is_written_reads_the_old_one_whole(tmp_path, write, value):
    path = tmp_path / "results.json"
    path.write_text("the old one")
    with path.open() as reader:
        write(path, value)
        assert reader.read() == "the old one"
    assert path.read_text().strip('"\n') == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_not_counted_is_null(tmp_path):
    write_json(tmp_path / "r.json", {"orr": float("nan"), "of": [1, float("inf")]})
    assert json.loads((tmp_path / "r.json").read_text()) == {"orr": None, "of": [1, None]}
