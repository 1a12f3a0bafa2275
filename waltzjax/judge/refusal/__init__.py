"""The rules that tell refusals, help and degenerate answers apart."""
