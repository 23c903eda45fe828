"""Helpers of tests in several rooms."""
