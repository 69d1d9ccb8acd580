"""End-to-end fine-tuning: a backbone and one linear layer, trained together on labelled clips.

What comes of it is an encoder and, an outcome, a logistic head over mean-pooled embeddings: nothing else has to be served.
:mod:`~lusfx.fine_tuning.run` joins clips, network and task model; torch is imported where it is used.
"""
