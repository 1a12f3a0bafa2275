"""RL from verifiable rewards on maths: problems, signals, rollouts, evaluation."""
