"""Embeddings and labels -> how much a linear classifier finds in them, beside plain k-mer counts."""
