"""Training: heads are fitted on samples, judged on patients that they have not seen, and saved as a task model."""
