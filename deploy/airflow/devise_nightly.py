"""A night of DeViSE on EMR as an Airflow DAG: one cluster with its steps, waited for without a worker.

For those who have an Airflow; without one the stack's own schedule does the same (leave it off, then). Wants the stack
that `devise emr up` made; this package beside Airflow (`pip install --no-deps` of its wheel in `make dist`'s archive:
an index may have another devise), with boto3, pydantic, pyyaml;
apache-airflow-providers-amazon with aiobotocore; the environment variable DEVISE_SETTINGS, the nights' YAML file.
The run id is the date of the run's logical date: a task that is cleared does what is left of its night.
"""

import os
from datetime import datetime, timedelta

from airflow.providers.amazon.aws.operators.emr import EmrCreateJobFlowOperator
from airflow.providers.amazon.aws.utils.waiter import WaitPolicy
from airflow.sdk import dag, task

HOURS = 12
"""The most that a night may take."""
POLL_SECONDS = 60


@dag(
    dag_id="devise_nightly",
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,  # one night at a time works in a warehouse
    dagrun_timeout=timedelta(hours=HOURS),
)
def devise_nightly():
    @task
    def request(ds: str) -> dict:
        """RunJobFlow's parameters: from the settings, and from the stack as it stands."""
        from devise import settings, yamlfile
        from devise.emr import jobflow, night, stack
        from devise.emr.account import Account
        from devise.emr.config import EmrConfig

        path = os.environ["DEVISE_SETTINGS"]
        found = settings.load_group(path, "emr", EmrConfig)
        steps = night.steps_of(yamlfile.read(path))
        account = Account(found.region, dry=False)
        now = stack.wanted(account, found.stack)
        return jobflow.request(found, steps, ds, jobflow.holes(found.stack, account.region, now))

    EmrCreateJobFlowOperator(
        task_id="night",
        job_flow_overrides=request("{{ ds }}"),
        emr_conn_id=None,
        wait_policy=WaitPolicy.WAIT_FOR_STEPS_COMPLETION,
        deferrable=True,
        waiter_delay=POLL_SECONDS,
        waiter_max_attempts=HOURS * 3600 // POLL_SECONDS,
        retries=1,
        retry_delay=timedelta(minutes=3),  # a step that died holds the lease of the warehouse for two minutes more
    )


devise_nightly()
