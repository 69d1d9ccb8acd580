"""End-to-end fine-tuning: a backbone and one linear layer, trained together on labelled clips.

What comes of it is an encoder and, an outcome, a logistic head over mean-pooled embeddings: nothing else has to be served.
Only the engine joins this with readers, preprocessing and directories; torch is imported where it is used.
"""
