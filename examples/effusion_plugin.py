"""A task in one file: pleural effusion, for label tables with a column ``effusion``.

It is answered where the task ``view`` of lusfx-view says *pleural*, and is *not assessable* elsewhere.

Register it in the pyproject.toml of a distribution of yours:

    [project.entry-points.lusfx]
    effusion = "effusion_plugin"
"""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.contracts import Gate, MinSensitivity, Task, Youden
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2


class Effusion(Task):
    """Pleural effusion in a pleural view, one answer a clip."""

    name, version = "effusion", 1
    classes = ("no effusion", "effusion")
    label_columns = ("effusion",)
    requires = Gate(task="view", is_="pleural")
    operating_points = {"balanced": Youden(), "screen": MinSensitivity(0.95)}


@hookimpl
def lusfx_register_tasks() -> Sequence[Task]:
    return [Effusion()]
