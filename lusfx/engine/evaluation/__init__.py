"""Evaluation: a task model is judged on labelled units of other patients."""
