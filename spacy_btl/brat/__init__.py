"""Annotation files in BRAT's standoff format, read and written with every byte kept.

Knows nothing of spaCy.
"""
