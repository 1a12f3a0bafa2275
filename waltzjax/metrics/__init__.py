"""Scalars, texts and events of a run: measured, and written without stalling the run."""
