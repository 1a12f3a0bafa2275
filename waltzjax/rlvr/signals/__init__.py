"""Signals of an answer that need no label: its form, and whether it was checked."""
