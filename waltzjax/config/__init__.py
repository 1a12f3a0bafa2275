"""Every key of a config: its default, meaning, unit and source; the rules between keys."""
