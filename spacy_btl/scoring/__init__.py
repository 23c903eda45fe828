"""Gold and predicted entities: pairs, counts, scores, intervals and tests."""
