"""`devise emr up`, `submit`, `status`, `logs`, `down` and `schedule` on moto, a mock of AWS in this process.

The mock keeps what it is told of CloudFormation, S3, Step Functions and EMR; it runs no state machine, starts no
cluster and checks no rights, and its CloudFormation makes no schedule. What AWS would do is not shown here.
"""

import gzip
import json

import boto3
import pytest
import yaml
from moto import mock_aws

from devise import cli
from devise.emr import account, artefacts
from devise.errors import AwsError
from devise.store import s3, scratch
from devise.warehouse import outcome

REGION = "eu-central-1"
RUN = "2026-11-26"
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")
SETTINGS = {
    "warehouse": "s3://acme-devise/nights",
    "emr": {"region": REGION, "subnets": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], "core": {"count": 3}},
    "run_nightly": {"stages": ["catalog_images", "embed_images"]},
    "catalog_images": {"sources": ["s3://corpus/images"]},
    "build_vocabulary": {"vectors": "words.vec"},
    "search_images": {"queries": ["ferry"]},
}


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """A mock account, and a folder with settings, an archive and word vectors."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "mock")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv(s3.VARIABLE, "{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(account, "WAIT_SECONDS", 0)
    (tmp_path / "night.yaml").write_text(yaml.safe_dump(SETTINGS))
    (tmp_path / "words.vec").write_text("a 1 2\n")
    (tmp_path / "devise.tar").write_bytes(b"archive")
    (tmp_path / "devise.tar.sha256").write_text("0  devise.tar\n")
    s3._client.cache_clear()
    with mock_aws():
        yield tmp_path
    s3._client.cache_clear()


def emr(*words):
    cli.main(["emr", words[0], "--config", "night.yaml", *words[1:]])


def up(*words):
    emr("up", "--archive", "devise.tar", *words)


def stack():
    return boto3.client("cloudformation").describe_stacks(StackName="devise")["Stacks"][0]


def parameters():
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack()["Parameters"]}


def executions():
    client = boto3.client("stepfunctions")
    (machine,) = client.list_state_machines()["stateMachines"]
    return client.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]


def machine():
    client = boto3.client("stepfunctions")
    (found,) = client.list_state_machines()["stateMachines"]
    return client.describe_state_machine(stateMachineArn=found["stateMachineArn"])["definition"]


def artefact_keys():
    found = boto3.client("s3").list_objects_v2(Bucket="acme-devise-artefacts").get("Contents", [])
    return {each["Key"]: each["LastModified"] for each in found}


def test_up_makes_the_stack_and_stages_each_file_once(aws, capsys):
    up()
    assert "USD an hour" in capsys.readouterr().out
    assert stack()["StackStatus"] == "CREATE_COMPLETE"
    staged = artefact_keys()
    assert {key.split("/")[1] for key in staged} == {
        "devise.tar", "devise.tar.sha256", "bootstrap.sh", "gpu-cgroup.sh", "words.vec", "night.yaml",
    }  # fmt: skip
    for name in ("Config", "Archive", "Bootstrap", "CgroupScript"):
        assert parameters()[name].removeprefix("s3://acme-devise-artefacts/") in staged
    up()
    assert artefact_keys() == staged


def test_the_machine_does_what_the_file_chooses_and_up_says_that_it_costs_more(aws, capsys):
    up()
    assert "report_run" not in capsys.readouterr().out + machine()
    stages = ["catalog_images", "embed_images", "report_run", "find_neighbours"]
    (aws / "night.yaml").write_text(yaml.safe_dump(SETTINGS | {"run_nightly": {"stages": stages}}))
    up()
    assert "on top: find_neighbours, report_run" in capsys.readouterr().out
    assert "build_index, find_neighbours, search_images, evaluate_model, report_run, publish_run" in machine()


def test_a_night_is_ended_whatever_its_file_says_of_stages(aws, capsys):
    up()
    (aws / "night.yaml").write_text(yaml.safe_dump(SETTINGS | {"run_nightly": {"stages": ["evaluate"]}}))
    capsys.readouterr()
    emr("down")
    assert "error" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        up()
    assert "found 'evaluate', wanted a list of some of build_vocabulary" in capsys.readouterr().err


def test_the_staged_settings_are_the_file_s_with_local_files_as_uris(aws, monkeypatch):
    monkeypatch.setenv("COST", "5 $ each, ${NOT} $HOME")
    document = SETTINGS | {"search_images": {"queries": ["${COST}"], "vectors": f"file://{aws}/words.vec"}}
    (aws / "night.yaml").write_text(yaml.safe_dump(document))
    up()
    place = s3.split(parameters()["Config"])
    (aws / "staged.yaml").write_bytes(boto3.client("s3").get_object(**place)["Body"].read())
    monkeypatch.delenv("COST")
    found = artefacts.read(aws / "staged.yaml")
    vectors = f"s3://acme-devise-artefacts/{scratch.hash_file(aws / 'words.vec')[:16]}/words.vec"
    filled = {"build_vocabulary": {"vectors": vectors}}
    filled |= {"search_images": {"queries": ["5 $ each, ${NOT} $HOME"], "vectors": vectors}}
    assert found == document | filled


def test_jobs_may_read_the_corpus_and_nothing_beside_it(aws):
    up()
    wanted = {"Objects": ["arn:aws:s3:::corpus/images", "arn:aws:s3:::corpus/images/*"]}
    wanted |= {"Buckets": ["arn:aws:s3:::corpus"], "Prefixes": ["images", "images/*"]}
    assert {name: parameters()[f"Readable{name}"] for name in wanted} == {
        name: str(value)
        for name, value in wanted.items()  # the mock's way to tell a list
    }


def test_inputs_are_read_by_whatever_scheme_they_are_named_and_a_slash_ends_no_prefix(aws):
    document = SETTINGS | {"search_images": {"queries_file": "s3a://inputs/q.csv"}, "warehouse": "s3a://acme-devise/w/"}
    (aws / "night.yaml").write_text(yaml.safe_dump(document))
    up()
    assert "arn:aws:s3:::inputs/q.csv" in parameters()["ReadableObjects"]
    assert parameters()["WarehousePrefix"] == "w"


def test_a_stack_keeps_its_bucket(aws, capsys):
    up()
    (aws / "night.yaml").write_text(yaml.safe_dump(SETTINGS | {"warehouse": "s3://elsewhere/nights"}))
    with pytest.raises(SystemExit):
        up()
    assert "found the warehouse in elsewhere, wanted it in acme-devise" in capsys.readouterr().err


def test_a_dry_run_prints_each_change_and_makes_none(aws, capsys):
    up("--dry-run")
    said = capsys.readouterr().out
    assert "cloudformation create_stack" in said and said.count("s3 upload_file") == 5 and "s3 put_object" in said
    assert not boto3.client("cloudformation").list_stacks()["StackSummaries"]
    assert not boto3.client("s3").list_buckets()["Buckets"]
    up()
    capsys.readouterr()
    emr("submit", "--run", RUN, "--dry-run")
    assert 'stepfunctions start_execution {"stateMachineArn"' in capsys.readouterr().out and not executions()
    emr("schedule", "--at", "02:30", "--dry-run")
    emr("down", "--stack", "--dry-run")
    said = capsys.readouterr().out
    assert "cloudformation update_stack" in said and "cloudformation delete_stack" in said
    assert parameters()["ScheduleState"] == "DISABLED"


def test_a_dry_run_needs_no_account(aws, monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(aws))
    up("--dry-run")
    assert "taken for an empty one" in capsys.readouterr().out


def test_a_run_is_begun_once_and_again_only_after_it_failed(aws, capsys):
    model = {"architecture": "small_cnn", "weights": "words.vec", "loss": "none"}
    (aws / "night.yaml").write_text(yaml.safe_dump(SETTINGS | {"train_model": model}))
    up()
    emr("submit", "--run", RUN, "--set", "publish_run.accept_removed=5")
    emr("submit", "--run", RUN)
    assert "goes on" in capsys.readouterr().out
    (begun,) = executions()
    assert begun["name"] == RUN
    client = boto3.client("stepfunctions")
    asked = client.describe_execution(executionArn=begun["executionArn"])["input"]
    assert json.loads(asked) == {"run": RUN, "set": ["publish_run.accept_removed=5"]}
    client.stop_execution(executionArn=begun["executionArn"])
    emr("submit", "--run", RUN, "--setup")
    assert {each["name"] for each in executions()} == {RUN, f"{RUN}+2"}


def test_a_run_that_is_done_is_not_begun_again(aws, capsys, monkeypatch):
    up()
    emr("submit", "--run", RUN)
    real = account.Account.ask

    def done(self, service, operation, absent=(), **parameters):
        found = real(self, service, operation, absent, **parameters)
        return found | {"status": "SUCCEEDED"} if operation == "describe_execution" and found else found

    monkeypatch.setattr(account.Account, "ask", done)
    capsys.readouterr()
    emr("submit", "--run", RUN)
    assert "is done" in capsys.readouterr().out and len(executions()) == 1


def test_settings_changed_since_they_were_staged_are_not_run_in_silence(aws, capsys):
    up()
    (aws / "night.yaml").write_text(yaml.safe_dump(SETTINGS | {"label_images": {"k": 3}}))
    with pytest.raises(SystemExit) as ended:
        emr("submit", "--run", RUN)
    assert ended.value.code == 2 and "other settings than those staged" in capsys.readouterr().err
    assert not executions()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--set", "publish_run.acept_removed=5"], "unknown keys ['acept_removed']"),
        (["--set", "run_nightly.stages=[embed_images]"], "found run_nightly, which is the stack's"),
        (["--set", "warehouse=s3://other/nights"], "found warehouse, which is the stack's"),
        (["--set", "catalog_images.sources=[s3://other/images]"], "found s3://other/images, which nodes may not read"),
        (["--setup"], "train_model: architecture: Field required"),
    ],
)
def test_what_an_execution_could_not_do_is_said_before_there_is_a_cluster(aws, capsys, told, said):
    up()
    with pytest.raises(SystemExit) as ended:
        emr("submit", "--run", RUN, *told)
    assert ended.value.code == 2 and said in capsys.readouterr().err and not executions()


def begin_cluster():
    """A cluster as the state machine would have it, with two steps; moto runs none."""
    client = boto3.client("emr")
    cluster = client.run_job_flow(
        Name=f"devise {RUN}",
        ReleaseLabel="emr-7.13.0",
        Instances={"MasterInstanceType": "m7i.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
        JobFlowRole="r",
        ServiceRole="r",
        Tags=[{"Key": "devise-stack", "Value": "devise"}],
    )["JobFlowId"]
    jar = {"Jar": "command-runner.jar", "Args": ["spark-submit"]}
    steps = [{"Name": name, "HadoopJarStep": jar} for name in ("catalogue", "embed")]
    return cluster, client.add_job_flow_steps(JobFlowId=cluster, Steps=steps)["StepIds"]


def test_status_tells_execution_cluster_steps_and_outcomes(aws, capsys):
    up()
    emr("submit", "--run", RUN)
    cluster, (first, second) = begin_cluster()
    ended = outcome.Outcome(
        run=RUN, stages=["catalog_images"], done=[], exit_code=2, line="no images", started_at=1, finished_at=61
    )
    outcome.write(outcome.place(SETTINGS["warehouse"], RUN, "catalogue"), ended)
    capsys.readouterr()
    emr("status", "--run", RUN)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"execution {RUN}: RUNNING" and said[1].startswith(f"cluster {cluster}: ")
    assert [line.split(":")[0] for line in said[2:4]] == [f"  step catalogue ({first})", f"  step embed ({second})"]
    assert "outcome catalogue: exit code 2 after 60 s, at 1970-01-01 00:01 UTC: no images" in said
    assert "outcome settle: none left: not begun, under way, or killed" in said
    place = outcome.place(SETTINGS["warehouse"], RUN, "catalogue")
    boto3.client("s3").put_object(**s3.split(place), Body=b"torn")
    emr("status", "--run", RUN)
    said = capsys.readouterr().out.splitlines()
    assert f"outcome catalogue: {place}: not an outcome" in said[-3] and "outcome settle: none left" in said[-1]


def test_logs_are_the_step_s_and_its_driver_s(aws, capsys):
    up()
    cluster, (first, second) = begin_cluster()
    client = boto3.client("s3")

    def leave(key, text):
        client.put_object(Bucket="acme-devise-logs", Key=f"emr/{cluster}/{key}", Body=gzip.compress(text.encode()))

    leave(f"steps/{second}/stderr.gz", "Submitted application application_17_0001\n")
    leave("containers/application_17_0001/container_17_0001_01_000001/stderr.gz", "embed_images: error: no GPU\n")
    leave("containers/application_17_0001/container_17_0001_01_000002/stderr.gz", "an executor\n")
    capsys.readouterr()
    emr("logs", "--run", RUN)
    said = capsys.readouterr().out
    assert "Submitted application" in said and "embed_images: error: no GPU" in said and "an executor" not in said
    with pytest.raises(SystemExit):
        emr("logs", "--run", RUN, "--step", "catalogue")
    assert "found no log" in capsys.readouterr().err


def test_schedule_is_a_parameter_of_the_stack_and_survives_up(aws, capsys):
    up()
    emr("schedule", "--at", "02:30", "--zone", "Europe/Berlin")
    wanted = {"ENABLED", "cron(30 2 * * ? *)", "Europe/Berlin"}
    names = ("ScheduleState", "ScheduleExpression", "ScheduleZone")
    assert {parameters()[name] for name in names} == wanted
    up()
    assert {parameters()[name] for name in names} == wanted
    emr("schedule", "--off")
    assert parameters()["ScheduleState"] == "DISABLED"


@pytest.mark.parametrize(
    "told",
    [
        ("--at", "2:30"),
        ("--at", "24:00"),
        ("--at", "02:30", "--zone", "Mars/Olympus"),
        ("--at", "01:30", "--zone", "Europe/Berlin"),  # in UTC on one date twice, when summer begins
    ],
)
def test_a_time_that_is_none_is_refused(aws, told):
    up()
    with pytest.raises(SystemExit) as ended:
        emr("schedule", *told)
    assert ended.value.code == 2 and parameters()["ScheduleState"] == "DISABLED"


def test_down_ends_what_goes_on_and_keeps_the_buckets(aws, capsys):
    up()
    emr("schedule", "--at", "02:30")
    emr("submit", "--run", RUN)
    cluster, _ = begin_cluster()
    boto3.client("emr").run_job_flow(
        Name="devise of somebody else",
        ReleaseLabel="emr-7.13.0",
        Instances={"MasterInstanceType": "m7i.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
        JobFlowRole="r",
        ServiceRole="r",
    )
    emr("down")
    assert parameters()["ScheduleState"] == "DISABLED" and executions()[0]["status"] == "ABORTED"
    states = {each["Name"]: each["Status"]["State"] for each in boto3.client("emr").list_clusters()["Clusters"]}
    assert states[f"devise {RUN}"] == "TERMINATED" and states["devise of somebody else"] != "TERMINATED"
    emr("down", "--stack")
    assert not [
        s
        for s in boto3.client("cloudformation").list_stacks()["StackSummaries"]
        if s["StackStatus"] != "DELETE_COMPLETE"
    ]


def test_a_stack_takes_over_the_buckets_that_an_earlier_one_left(aws):
    key = "arn:aws:kms:eu-central-1:123456789012:key/1"
    client = boto3.client("s3")
    where = {"LocationConstraint": REGION}
    for name in ("acme-devise", "acme-devise-artefacts", "acme-devise-logs"):
        client.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    client.put_bucket_encryption(Bucket="acme-devise", ServerSideEncryptionConfiguration={"Rules": [rule]})
    up()
    assert parameters()["ExistingKey"] == key
    assert len(boto3.client("s3").list_buckets()["Buckets"]) == 3 and not boto3.client("kms").list_keys()["Keys"]


def test_a_bucket_without_a_key_of_its_own_is_refused(aws, capsys):
    boto3.client("s3").create_bucket(Bucket="acme-devise", CreateBucketConfiguration={"LocationConstraint": REGION})
    with pytest.raises(SystemExit):
        up()
    assert "without a KMS key" in capsys.readouterr().err


def test_what_aws_refuses_is_one_line(aws):
    with pytest.raises(AwsError, match=r"^emr describe_cluster: .*not exist|is not valid"):
        account.Account(REGION, dry=False).ask("emr", "describe_cluster", ClusterId="j-1")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"warehouse": "/tmp/here"}, "wanted s3://"),
        ({"warehouse": "s3://acme-devise"}, "a prefix below"),
        ({"warehouse": "s3://acme-devise/our nights"}, "in its prefix on EMR"),
        ({"warehouse": "s3://acme-devise/o'nights$"}, "in its prefix on EMR"),
        ({"search_images": None}, "no queries"),
        ({"search_images": {"queries_file": "file:///gone.csv"}}, "found no file file:///gone.csv"),
        ({"search_images": {"queries_file": "https://x/q.csv"}}, "found scheme 'https'"),
        ({"emr": {"subnets": ["subnet-1"], "hours": 10**6}}, "hours"),
        ({"catalog_images": {"sources": ["/pictures"]}}, "wanted s3:// prefixes"),
        ({"build_vocabulary": {"vectors": "gone.vec"}}, "found no file gone.vec"),
        ({"embed_images": {"engine": {"device": "cpu"}}}, "wanted both alike"),
        ({"emr": {"subnets": []}}, "subnets"),
        ({"emr": {"subnets": ["subnet-1"], "cards": {"instances": ["m7i.xlarge"]}}}, "without a card"),
        ({"emr": {"subnets": ["subnet-1"], "cards": {"instances": ["g6.2xlarge", "g6.xlarge"]}}}, "alike"),
        ({"label_images": {"kk": 3}}, "unknown keys"),
    ],
)
def test_settings_that_no_night_could_run_with_are_refused_before_anything_is_made(aws, capsys, change, told):
    document = {name: value for name, value in (SETTINGS | change).items() if value is not None}
    (aws / "night.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(SystemExit) as ended:
        up()
    error = capsys.readouterr().err
    assert ended.value.code == 2 and told in error and len(error.splitlines()) == 1
    assert not boto3.client("s3").list_buckets()["Buckets"]
