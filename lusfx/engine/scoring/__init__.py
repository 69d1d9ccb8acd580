"""Scoring: task models answer for clips, a row a unit, model and outcome."""
