"""Unify: which identifiers are one customer. Arrays in, arrays out; knows neither the warehouse nor Dagster nor dbt.

    identity.engine.resolve        evidence and the state of the last run -> memberships, new ledger rows, merge history
    identity.decisions.judge       whether what a person decides contradicts the decisions in force
    identity.explain               the way of events between two identifiers, and where a rule closes it
    identity.rules.load_rules      the YAML file that analysts edit -> Rules
    identity.normalise.normalise   one value as a shop gives it -> the value identifiers are compared by (stdlib only)
    identity.fuzzy.match_contacts  contacts -> pairs that may be one person, with a probability (an extra: Splink)
    identity.tables                the columns of every table that goes in or comes out

Nothing is imported here, so that `identity.normalise` stays as light as it is promised to be.
"""
