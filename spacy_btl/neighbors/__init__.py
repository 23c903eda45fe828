"""Stored token vectors, exact search for the nearest of them, and their votes.

Pure arrays.
"""
