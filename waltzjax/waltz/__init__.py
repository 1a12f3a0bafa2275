"""WaltzRL (arXiv 2510.08240): the game of two agents, its rewards, data and evaluation."""
