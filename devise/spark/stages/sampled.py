"""A sample of what is live, the same from night to night, and its places on a map that is frozen with a model.

An image is in it if its image_id, which is a hash, lies below a bound that never rises while the setting stays. So a
night adds those of its new images that lie below it, and takes away what is lost: no vector of the corpus is read
again, but on a first night and for another model.
"""

import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from devise.spark.frame import schemas
from devise.spark.frame.job import Task, say
from devise.spark.frame.live import CONTENT, Change, count_live, few, find_change, read_live
from devise.spark.frame.tables import deliver
from devise.warehouse import manifest
from devise.warehouse.manifest import File, Manifest

if TYPE_CHECKING:
    from devise.learning.places import Map

IDS = 2**63
GROWN = 2
"""A sample of so many times the images that made the map gets a map of its own."""
MAP, ARRAYS, CARD = "_map-", ".safetensors", ".json"
"""How the names of the map's files begin, and how they end."""
MAPPED = [*CONTENT, "x", "y", "place"]


@dataclass
class Sampled:
    """Live images of the sample, by image_id, each with its place; what the map's files and its run are.

    x, y, place are None where there is no map. below: every live image with a smaller image_id is in the sample.
    """

    below: int
    rows: list[tuple]
    files: list[File] = field(default_factory=list)
    map_run: str | None = None


def draw_sample(task: Task) -> Sampled:
    """Tonight's sample and its places, told by the sample of the publication before where that can be gone on from."""
    config, n_live = task.config, count_live(task.inputs["embeddings"][-1])
    below = min(IDS - 1, IDS * config.images_on_map // max(1, n_live))
    change, before = find_change(task), _before(task)
    made = _map_of(task, before, min(n_live, config.images_on_map)) if before else None
    map_run = before.details["map_run"] if made is not None else None
    if made is not None and _goes_on(task, before, change):
        below = min(below, before.details["below"])
        lost = few(change.lost.select("image_id"), change.n_lost)
        stood = task.read("map_images").where(F.col("image_id") < below)
        known = stood.join(lost, on="image_id", how="left_anti").select(MAPPED).collect()
        came = _collect(change.embeddings, below)
    else:
        known, came = [], _collect(read_live(task), below)
    rows, made = _placed(came, made)
    if made is None:
        say("report_run", f"{len(rows)} images are too few for a map")
        return Sampled(below, sorted([*known, *rows]))
    map_run = map_run or config.run
    say(
        "report_run",
        f"{len(known):,} images of the sample keep their places, {len(rows):,} get theirs on map {map_run}",
    )
    return Sampled(below, sorted([*map(tuple, known), *rows]), _keep(task, made, map_run), map_run)


def _before(task: Task) -> Manifest | None:
    """The pages' run that is live, if its map is of this model."""
    before = task.inputs["reports"][-1] if task.inputs["reports"] else None
    return before if before and before.model_id == task.model_id and before.details["map_run"] else None


def _map_of(task: Task, before: Manifest, n_wanted: int) -> "Map | None":
    """The frozen map; None where it was made of far fewer images than there are now."""
    from devise.learning import places

    local = [manifest.localise_one(task.config.warehouse, before, MAP, end) for end in (ARRAYS, CARD)]
    made, _ = places.load(*local)
    return made if n_wanted <= GROWN * len(made.vector_ND) else None


def _goes_on(task: Task, before: Manifest, change: Change | None) -> bool:
    """Whether the sample before is that of the publication which tonight's change starts from."""
    same = before.config["images_on_map"] == task.config.images_on_map
    return same and change is not None and before.inputs["images"][0].split()[0] == change.since


def _collect(embeddings: DataFrame, below: int) -> list:
    """Content and vector of the images below the bound: as many as the settings allow, about."""
    return embeddings.where(F.col("image_id") < below).select(*CONTENT, "embedding").collect()


def _placed(came: list, made: "Map | None") -> tuple[list[tuple], "Map | None"]:
    """Rows of MAPPED for these images, on the map, or on one that is made of them; without places if they are few."""
    import numpy as np

    from devise.learning import places

    came = sorted(came)  # by image_id: a map is the same whatever the order of files
    vector_ND = np.array([row.embedding for row in came], np.float32)
    if made is None and len(came) < places.LEAST_IMAGES:
        return [(*row[:3], None, None, None) for row in came], None
    made = made or places.fit(vector_ND)
    if not came:
        return [], made
    place_N2 = places.place(made, vector_ND)
    nearest = places.nearest_centre(made, place_N2).tolist()
    told = zip(came, place_N2.tolist(), nearest, strict=True)
    return [(*row[:3], x, y, number) for row, (x, y), number in told], made


def _keep(task: Task, made: "Map", map_run: str) -> list[File]:
    """Put the map into tonight's run, so that it lives as long as what is published with it: some megabytes."""
    from devise.learning import places

    with tempfile.TemporaryDirectory() as folder:
        attempt = uuid.uuid4().hex
        arrays, card = (Path(folder) / f"{MAP}{attempt}{end}" for end in (ARRAYS, CARD))
        told = {"run": map_run, "model_id": task.model_id, "n_images": len(made.vector_ND)}
        places.save(made, told, arrays, card)
        return [deliver(path, task.folder("reports"), rows=-1) for path in (arrays, card)]


def read_told(task: Task, sampled: Sampled) -> dict[int, list]:
    """image_id -> its labels' rows, best first, of the sampled images: labels are sorted by image_id."""
    names = ("image_id", "rank", "label", "probability", "answer", "answer_probability")
    rows = task.read("labels").where((F.col("image_id") < sampled.below) & (F.col("rank") <= 3)).select(*names)
    found: dict[int, list] = {}
    for row in sorted(rows.collect()):
        found.setdefault(row.image_id, []).append(row)
    return found


def map_images(task: Task, sampled: Sampled, told: dict[int, list]) -> DataFrame:
    """schemas.MAP_IMAGES of the images that have a place."""
    rows = [
        (*row[:3], told[row[0]][0].answer or told[row[0]][0].label, *row[3:], task.model_id)
        for row in sampled.rows
        if row[3] is not None
    ]
    return task.spark.createDataFrame(rows, schemas.MAP_IMAGES).coalesce(1)
