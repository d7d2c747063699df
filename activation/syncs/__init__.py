"""Reverse ETL: one engine that brings a destination to the state of an audience, and a ledger that cannot lie about it."""
