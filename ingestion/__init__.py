"""Collect: every source becomes events of one shape.

This stage offers the envelope (`envelope`), mappings that say in YAML how a file becomes events (`mappings`), the
compiler from a mapping to SQL text (`compile`), the landing statements (`settlement`), the files and the bytes of what
cannot be accepted (`source_files`, `readable_files`), and a seeded shop to try it all on (`simulator`). It runs no SQL
itself: `orchestration.landing` does.
"""
