"""Pretraining: an encoder is made from clips without labels."""
