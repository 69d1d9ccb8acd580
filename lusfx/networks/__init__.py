"""What every training of a network needs, with labels or without: its initial weights, its frames and its processes.

torch is imported where it is used.
"""
