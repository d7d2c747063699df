"""Benchmarks: Weft and its peer or limit side by side, one command each. `python -m bench --help`."""
