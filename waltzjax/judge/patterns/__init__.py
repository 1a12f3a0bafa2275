"""Stage-1 pattern rules: unsafe requests and answers by their words, in linear time."""
