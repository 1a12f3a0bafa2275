"""The results file of a run that ends again: what was added to the same results stays."""

import json

import pytest

from waltzjax.config.defaults import default
from waltzjax.run.results import RESULTS, write_results


def written(workdir, results):
    write_results(default(), workdir, results, [], 1.0)
    return json.loads((workdir / RESULTS).read_text())


@pytest.mark.parametrize(
    ("results", "stays"), [({"asr": 0.5, "n": 3}, True), ({"asr": 0.6, "n": 3}, False)]
)
def test_checks_stay_with_the_results_that_they_are_of(tmp_path, results, stays) -> None:
    before = written(tmp_path, {"asr": 0.5, "n": 3})
    (tmp_path / RESULTS).write_text(json.dumps({**before, "checks": [1]}))
    assert written(tmp_path, results) == ({**results, "checks": [1]} if stays else results)


@pytest.mark.parametrize("content", ["{", "[]", "[1]", "null", '"asr"', "[" * 100_000])
def test_a_damaged_file_is_written_anew(content, tmp_path) -> None:
    (tmp_path / RESULTS).write_text(content)
    assert written(tmp_path, {"asr": 0.5}) == {"asr": 0.5}
