"""Studies: encoders and ways of learning compared on labelled data."""

from lusfx.engine.study.forecast import Forecast, forecast_study
from lusfx.engine.study.result import StudyResult
from lusfx.engine.study.run import RunsDone, Told, study

__all__ = ["Forecast", "RunsDone", "StudyResult", "Told", "forecast_study", "study"]
