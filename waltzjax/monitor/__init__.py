"""Watching runs: what they are doing, what is wrong with them, and who is told."""
