"""Studies: encoders and ways of learning compared on labelled data."""

from lusfx.studies.forecast import Forecast, forecast_study
from lusfx.studies.result import StudyResult
from lusfx.studies.run import RunsDone, StudyListener, study

__all__ = ["Forecast", "RunsDone", "StudyListener", "StudyResult", "forecast_study", "study"]
