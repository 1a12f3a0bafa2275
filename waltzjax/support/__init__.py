"""Console, files, processes, signals, errors: what everything else stands on."""
