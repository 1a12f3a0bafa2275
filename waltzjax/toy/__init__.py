"""The embedded worlds and their base models: everything a run on a laptop needs."""
