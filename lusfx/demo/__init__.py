"""The demo: lusfx's main job on synthetic patients, from nothing to one page."""

from lusfx.demo.result import DemoResult, Stage
from lusfx.demo.run import FEWEST_PATIENTS, run_demo

__all__ = ["FEWEST_PATIENTS", "DemoResult", "Stage", "run_demo"]
