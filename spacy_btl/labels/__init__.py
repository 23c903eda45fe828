"""Label columns, their best sequence, and the scores of the spans in it.

Pure arrays.
"""
