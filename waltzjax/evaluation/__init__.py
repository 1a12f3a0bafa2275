"""What evaluations of every kind share: intervals, files, likelihoods."""
