"""Audiences as JSON rules: read strictly, checked against the columns there are, and compiled to SQL with bound values.

parse_rule(rule, known)          JSON to a tree, or RuleError with up to ten sentences
compile_rule(tree, sources)      the tree to SQL for DuckDB and PostgreSQL; values are bound, never text
read_json, write_json            JSON with limits, and in one form

The language itself: docs/audience-rules.md.
"""

from activation.rules.columns import Column, Known, column
from activation.rules.compile import Compiled, Sources, compile_rule
from activation.rules.fragments import Sql
from activation.rules.parsing import parse_rule
from activation.rules.problems import Problem, RuleError
from activation.rules.strict_json import read_json, write_json

__all__ = [
    "Column",
    "Compiled",
    "Known",
    "Problem",
    "RuleError",
    "Sources",
    "Sql",
    "column",
    "compile_rule",
    "parse_rule",
    "read_json",
    "write_json",
]
