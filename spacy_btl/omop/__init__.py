"""Rows of NOTE_NLP, the table of the OMOP Common Data Model 5.4 for what was found in notes."""
