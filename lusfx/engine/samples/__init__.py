"""Samples: the labelled units of a task with their features, from a label table and the cache."""
