"""The embedded world's dataset as a run writes it."""

from runpy import run_path

import pytest
from support import REPO

from waltzjax.dataset.dataset import read_prompts
from waltzjax.support.errors import DatasetError
from waltzjax.toy.safety import embedded_data


def test_the_dataset_is_written_once_and_verified_always(tmp_path):
    config = run_path(str(REPO / "configs/stage2.py"))["get_config"]("tiny")
    directory = tmp_path / "data"
    embedded_data(config, directory)
    files = {p: p.read_bytes() for p in directory.iterdir()}
    assert len(read_prompts(directory / "train.jsonl")) == 15_015
    config.embedded.data_seed = 1  # what is there stays
    embedded_data(config, directory)
    assert files == {p: p.read_bytes() for p in directory.iterdir()}
    with (directory / "train.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(DatasetError, match="line"):
        embedded_data(config, directory)
