"""Neighbors as evidence: the training examples behind an entity, as text and as a page."""
