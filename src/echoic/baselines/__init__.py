"""Simple methods that stand beside every model."""
