"""spacy-btl: named entity recognition for clinical text that keeps the rare entity types."""

__version__ = "0.1.0"
