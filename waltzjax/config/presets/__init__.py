"""Variants of the configs: sizes, and what is trained in them."""
