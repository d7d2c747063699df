"""The only package that imports the others: wires the four stages, runs the SQL, owns the `weft` command line."""
