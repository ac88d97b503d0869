"""Checkpoint + sequences -> embeddings of any number of them, in one file."""
