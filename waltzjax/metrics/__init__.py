"""Scalars of a run: written, followed while they are written, judged by rules."""
