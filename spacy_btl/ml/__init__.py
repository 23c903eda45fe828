"""The encoder and the head as Thinc layers."""
