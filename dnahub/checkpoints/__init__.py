"""A checkpoint: folder or Hub id -> model and tokenizer, and back into a complete folder."""
