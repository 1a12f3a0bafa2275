"""The parts that evaluations of every kind share: intervals, files, likelihoods."""
