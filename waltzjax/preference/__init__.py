"""Regime W: answers of several arms, preference pairs of them, DPO."""
