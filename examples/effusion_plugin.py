"""A task in one file: pleural effusion, for label tables with a column ``effusion``.

Register it in the pyproject.toml of a distribution of yours:

    [project.entry-points.lusfx]
    effusion = "effusion_plugin"
"""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.contracts import MinSensitivity, Task, Youden
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 1


class PleuralEffusion(Task):
    """Pleural effusion in the clip."""

    name = "pleural-effusion"
    classes = ("no effusion", "effusion")
    label_column = "effusion"
    operating_points = {"balanced": Youden(), "screen": MinSensitivity(0.95)}


@hookimpl
def lusfx_register_tasks() -> Sequence[Task]:
    return [PleuralEffusion()]
