"""Whether an answer has the value of a label."""
