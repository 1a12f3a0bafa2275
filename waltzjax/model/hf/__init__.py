"""Hugging Face directories, in and out: config, weights, tokenizer, adapters."""
