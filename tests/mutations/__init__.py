"""Faults that the test suite must see; ``scripts/check_mutations.py`` puts them in, one at a time.

Each is one a person would make: a sign, an index, a mask, an axis, a denominator, a stale array.
None crashes on import. A fault that no test sees is a hole in the suite, not in this list.
"""

from mutations import core, doctor, engine, metrics, model, serve, text, training, validation
from mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *core.MUTATIONS,
    *model.MUTATIONS,
    *engine.MUTATIONS,
    *training.MUTATIONS,
    *text.MUTATIONS,
    *metrics.MUTATIONS,
    *doctor.MUTATIONS,
    *validation.MUTATIONS,
    *serve.MUTATIONS,
)
