"""Self-supervised pretraining: what a clip's own frames teach an encoder without a label.

:mod:`~lusfx.pretraining.run` joins clips, network and encoder directory; torch is imported where it is used.
"""
