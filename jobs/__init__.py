"""One thin file per job; installed as `devise.jobs`, and started as `spark-submit jobs/NAME.py`."""
