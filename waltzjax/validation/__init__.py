"""The eleven checks that two agents pass before they protect anybody."""
