"""Prompt datasets on disk: published sources, checks, splits."""
