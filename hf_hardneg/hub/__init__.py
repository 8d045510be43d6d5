"""Publishing on the Hugging Face Hub: what goes there, and how it gets there whole."""
