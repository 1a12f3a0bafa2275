"""Judges: whether an answer is unsafe or an over-refusal."""
