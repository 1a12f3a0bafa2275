"""What was trained, handed over: Hugging Face directories with cards, checksums and a check."""
