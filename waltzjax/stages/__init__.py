"""Training stages: the loop, and how a step of each kind learns."""
