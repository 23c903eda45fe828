"""Losses, class weights and the optimizer.

Pure arrays but for the batcher of the paper.
"""
