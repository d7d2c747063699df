"""The assets of the four stages, one module each."""
