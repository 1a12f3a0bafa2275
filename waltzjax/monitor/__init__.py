"""Watching runs: alerts that reach people."""
