"""Fine-tuning as Spark tasks: the start and the listing in one task, then processes that train side by side.

Spark's TorchDistributor starts a process in each task of a barrier stage; what they tell each other goes by torch
(gloo, on cards NCCL), what they read and keep goes by the store. Start, listing and checkpoints lie in the run's
staging below a key of settings, vocabulary and listing: a run that was killed goes on from there, and what is there of
other settings or images is not looked at.
"""

import hashlib
import json
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from devise import errors
from devise.config import TrainConfig
from devise.errors import AlreadyExists, ConfigError, DeviseError
from devise.spark.frame import metering
from devise.spark.frame.job import Task, say
from devise.spark.frame.memory import is_one_machine
from devise.spark.frame.tables import deliver
from devise.spark.stages import fit
from devise.store import scratch, storage, traffic
from devise.warehouse.manifest import File

START = "start.json"


def tune(task: Task, rows: DataFrame) -> list[File]:
    """Fit the projection in one task, then train core and projection in processes; the model's files.

    Args:
        rows: fit.TO_FIT.

    Raises:
        ConfigError: Spark has no tasks for the processes, or takes executors away.
        TrainingError: nothing to learn from, or the loss is not finite.
    """
    config: TrainConfig = task.config
    refuse_without_slots(task.spark, config.finetune.processes)
    scratch_of_run = storage.join(storage.normalise(config.warehouse), "_staging", task.name, f"run={config.run}")
    folder, vocabulary = storage.join(scratch_of_run, "finetune"), task.input("vocabulary").identity()

    def hand_over(fitted: Any, images: pa.Table, features_NF: Any) -> list[File]:
        return [_write_start(config, vocabulary, folder, fitted, images)]

    [start] = fit.fit(task, rows, [], hand_over)
    place = storage.join(folder, start.path.rsplit("/", 1)[0])
    with task.named("fine-tune"):
        told = json.loads(_launch(task.spark, config, place, task.folder("model")))
    for counts in told["requests"]:
        metering.add(counts)
    return [File(**file) for file in told["files"]]


def refuse_without_slots(spark: SparkSession, processes: int) -> None:
    """`ConfigError` where a barrier stage of so many tasks would wait, or be refused after minutes."""
    context = spark.sparkContext
    if context.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        raise ConfigError(
            "spark.dynamicAllocation.enabled is true: fine-tuning takes executors that stay (a barrier stage); set it "
            "to false for train_model"
        )
    if is_one_machine(context.master) and processes > context.defaultParallelism:
        raise ConfigError(
            f"train_model, finetune.processes {processes}: {context.master} runs {context.defaultParallelism} tasks at "
            "one time, wanted one a process"
        )


def _write_start(config: TrainConfig, vocabulary: str, folder: str, fitted: Any, images: pa.Table) -> File:
    """Keep the start and the listing, unless an earlier attempt did: then that one stands. The file that names them."""
    from devise.learning import listings
    from devise.vision import model as models

    with tempfile.TemporaryDirectory() as local:
        place = Path(local)
        files = listings.write(fitted.learned, images, place, "learned")
        files += listings.write(fitted.watched, images, place, "watched")
        content = " ".join(scratch.hash_file(path) for path in files)
        key = hashlib.sha256(f"{config.config_hash()} {vocabulary} {content}".encode()).hexdigest()
        own, attempt = storage.join(folder, key), uuid.uuid4().hex
        uri = storage.join(own, START)
        if storage.stat(uri) is None:
            models.save(fitted.model, place)
            kept = [deliver(path, storage.join(own, attempt), rows=-1) for path in sorted(place.iterdir())]
            told = {"folder": attempt, "files": [file.model_dump() for file in kept]}
            try:
                storage.create(uri, json.dumps(told).encode())
            except AlreadyExists:
                say("train_model", "another driver of this run wrote the start of the fine-tuning: its is taken")
        else:
            say("train_model", "an earlier attempt of this run began to fine-tune: its start is taken")
    return File(path=f"{key}/{START}", size_bytes=storage.stat(uri).size_bytes, sha256=key, rows=-1)


def _launch(spark: SparkSession, config: TrainConfig, place: str, folder: str) -> str:
    """What process 0 returns; a `DeviseError` that one of them raised is raised again."""
    from pyspark.ml.torch.distributor import TorchDistributor

    context, n = spark.sparkContext, config.finetune.processes
    on_cards = int(context.getConf().get("spark.task.resource.gpu.amount", "0")) > 0
    # Spark tells each Python process to use the cores of its task; on one machine those of no other task are in use.
    threads = max(1, context.defaultParallelism // n) if is_one_machine(context.master) else None
    fault = storage.join(place, f"fault-{uuid.uuid4().hex}.json")
    try:
        return TorchDistributor(num_processes=n, local_mode=False, use_gpu=on_cards).run(
            train, config.model_dump_json(), place, folder, threads, fault
        )
    except (PySparkException, Py4JJavaError) as error:
        if (told := storage.read_tagged(fault)) is None:
            raise
        name, text = json.loads(told[0])
        raise getattr(errors, name)(text) from error


def train(settings: str, place: str, folder: str, threads: int | None, fault: str) -> str | None:
    """`train_with_others`; a `DeviseError` that ends it is left in the file `fault`: Spark hears only that one did."""
    try:
        return train_with_others(settings, place, folder, threads)
    except DeviseError as error:
        storage.write_bytes(fault, json.dumps([type(error).__name__, str(error)]).encode())
        raise


def train_with_others(settings: str, place: str, folder: str, threads: int | None) -> str | None:
    """The work of one process: train with the others; process 0 writes the model.

    Args:
        settings: a TrainConfig, as JSON.
        place: folder of the start, the listing and the checkpoints.
        folder: where the model goes.
        threads: of torch in this process; None leaves what Spark said.

    Returns:
        JSON with `files`, the model's, and `requests`, of each process to the store; None but for process 0.
    """
    from devise.learning import finetune, listings, ranks
    from devise.vision import model as models

    config, before = TrainConfig.model_validate_json(settings), traffic.snapshot()
    with ranks.together(threads) as device:
        local = _localise(place)
        start = models.load(local)
        card = {name: value for name, value in start.card.items() if name != "model_id"}
        model = models.DeviseModel(start.core, start.projection, start.preprocessing, **card).to(device)
        learned, watched = listings.read(local, "learned"), listings.read(local, "watched")
        figures = finetune.Tuning(model, learned, watched, config, place, fit.tell).run()
        requests = [json.loads(text) for text in ranks.gather_texts(json.dumps(traffic.since(before)), device)]
        if ranks.number() != 0:
            return None
    model.card["training"] = {**card.get("training", {}), "finetune": figures}
    files = [file.model_dump() for file in fit.deliver_model(model.cpu().requires_grad_(False), folder)]
    return json.dumps({"files": files, "requests": requests})


def _localise(place: str) -> Path:
    """A local folder with the start and the listing; itself on file://."""
    told = json.loads(storage.read_bytes(storage.join(place, START)))
    folder, files = storage.join(place, told["folder"]), [File(**file) for file in told["files"]]
    if storage.is_local(folder):
        return storage.local_path(folder)
    remotes = {
        file.path: scratch.Remote(storage.join(folder, file.path), file.size_bytes, file.sha256) for file in files
    }
    return scratch.localise_folder(hashlib.sha256(folder.encode()).hexdigest(), remotes)
