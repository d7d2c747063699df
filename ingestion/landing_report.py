"""What happened to the rows of one file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LandingReport:
    """The books of one file: rows_read = accepted + rejected_count + duplicates + conflicts.

    Rejects and conflicts seen before count as duplicates; `rejected` counts by reason. `problem` says why nothing of a
    file could be landed.
    """

    origin: str
    mapping: str
    rows_read: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    is_unchanged: bool = False
    problem: str | None = None

    @property
    def rejected_count(self) -> int:
        """Rows newly rejected, conflicts not included."""
        return sum(self.rejected.values())

    @property
    def is_balanced(self) -> bool:
        """Every row read stands in exactly one of the other counts."""
        return self.rows_read == self.accepted + self.rejected_count + self.duplicates + self.conflicts

    def sentence(self) -> str:
        """One sentence for a person."""
        if self.problem:
            return self.problem
        if self.is_unchanged:
            return f"{self.origin}: unchanged since it was landed, nothing to do."
        if not self.rows_read:
            return f"{self.origin}: no rows in this file, nothing landed."
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.rejected.items()))
        return (
            f"{self.origin}: {self.rows_read:,} rows read, {self.accepted:,} accepted, {self.rejected_count:,} rejected"
            f"{f' ({reasons})' if reasons else ''}, {self.duplicates:,} seen before, {self.conflicts:,} in conflict."
        )
