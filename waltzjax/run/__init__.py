"""The parts that every command shares: flags, the model at hand, run directories."""
