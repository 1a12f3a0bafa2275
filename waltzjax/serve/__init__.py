"""Serving: the two agents as a guard, behind an OpenAI-compatible endpoint or in a program."""
