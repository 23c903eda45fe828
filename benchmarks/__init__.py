"""Benchmarks of speed, memory and privacy."""
