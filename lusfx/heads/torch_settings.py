"""Settings that the heads trained by torch share, for reading and checking where torch is not installed."""

from __future__ import annotations

from pydantic import Field

from lusfx.contracts import HeadSettings
from lusfx.errors import MissingExtraError
from lusfx.heads.row_weights import ClassWeight


class TorchSettings(HeadSettings):
    """Settings that the heads trained by torch share.

    :param activation_variance: variance of a unit's input before any label is seen, for independent inputs of variance 1
        such as standardised features: the weights of each layer but the last have an L2 penalty that stands for a normal
        prior of this variance over the number of the layer's inputs, so that one value suits encoders of any width.
        Smaller shrinks harder. It is the weight decay, in a unit that means the same everywhere.
    :param dropout: part of the hidden units that each training step leaves out.
    :param learning_rate: Adam's (Kingma and Ba 2015).
    :param max_epochs: passes over the training rows at most.
    :param patience: passes without a lower held-out loss after which training stops.
    :param hold_out_one_in: one in so many patients is held out for early stopping; more than one where a class has fewer
        patients than that.
    :param class_weight: ``balanced`` weighs the classes alike, however rare one is; probabilities then no longer
        reflect how common the finding was.
    """

    activation_variance: float = Field(default=3.0, gt=0, le=1e6, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    max_epochs: int = Field(default=300, ge=1, le=100_000)
    patience: int = Field(default=30, ge=1, le=100_000)
    hold_out_one_in: int = Field(default=5, ge=2, le=100)
    class_weight: ClassWeight = "none"


def require_torch(what: str) -> None:
    """Say in words, and before any work, that torch is missing.

    :param what: what needs it, ``training an MLP head`` say.
    :raises MissingExtraError: if it is not installed.
    """
    try:
        import torch  # noqa: F401 - imported where networks are trained
    except ImportError:
        raise MissingExtraError(what, "train") from None
