"""Where figures go: what may be chosen, and which keys are read only with what was chosen."""

import pytest

from waltzjax.config import metrics
from waltzjax.config.defaults import default
from waltzjax.metrics.writer import BACKENDS
from waltzjax.recipes import validate


def test_every_backend_can_be_chosen_and_no_other():
    assert tuple(BACKENDS) == metrics.WRITERS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"writers": ("tensorboard", "nowhere")}, "tensorboard, wandb, trackio, prometheus, once"),
        ({"writers": ("wandb", "wandb")}, "once each"),
        ({"project": "mine"}, "only where config.metrics.writers has wandb or trackio"),
        ({"project": "", "writers": ("wandb",)}, "is a name"),
        ({"writers": (), "transcripts_every": 5}, "tensorboard or wandb or trackio"),
        ({"transcripts_every": -1}, ">= 0"),
        ({"prometheus_file": "/tmp/a.prom"}, "only where config.metrics.writers has prometheus"),
        ({"prometheus_file": "/tmp/a.txt", "writers": ("prometheus",)}, "NAME.prom"),
        ({"prometheus_file": "/nowhere/a.prom", "writers": ("prometheus",)}, "that exists"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes, says):
    c = default()
    c.metrics.update(changes)
    with pytest.raises(ValueError) as error:
        validate(c, training=True)
    [line] = [line for line in str(error.value).split("\n  ") if "config.metrics." in line]
    assert says in line


@pytest.mark.parametrize(
    "changes",
    [
        {"writers": ()}, {"writers": ("wandb", "trackio"), "project": "mine"},
        {"transcripts_every": 0}, {"prometheus_file": "/tmp/a.prom", "writers": ("prometheus",)},
    ],
)  # fmt: skip
def test_what_makes_sense_is_taken(changes):
    c = default()
    c.metrics.update(changes)
    validate(c)
