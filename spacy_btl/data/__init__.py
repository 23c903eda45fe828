"""From annotation to spaCy documents and back, with an account of every entity."""
