"""From a plan to receipts: `run` schedules units, executes them on an engine and seals what they complete."""

from corpuskit.run.execute import execute
from corpuskit.run.scheduler import Outcome, failure_report, run

__all__ = ["Outcome", "execute", "failure_report", "run"]
