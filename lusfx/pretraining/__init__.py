"""Self-supervised pretraining: what a clip's own frames teach an encoder without a label.

Only the engine joins this with readers, preprocessing and encoder directories; torch is imported where it is used.
"""
