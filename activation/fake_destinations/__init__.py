"""Stand-ins for vendors that enforce the vendors' own rules, for tests and for people (`weft fake-destination`)."""
