"""A seeded shop whose true people are known: it writes files that `weft import` lands, and the answers beside them."""

from ingestion.simulator.config import Difficulty, SimulationConfig, SimulationError, SimulationSummary
from ingestion.simulator.simulation import simulate

__all__ = ["Difficulty", "SimulationConfig", "SimulationError", "SimulationSummary", "simulate"]
