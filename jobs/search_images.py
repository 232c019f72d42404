"""Find the pictures nearest to words, to several words, or to a picture.

reads    index (the base and the runs made from it), vocabulary (schemas.VOCABULARY), the model
writes   results     (schemas.RESULTS), at most k rows a query
"""

from devise.config import SearchConfig
from devise.facts import shipped
from devise.spark.frame import command, job
from devise.spark.stages import search


def main(task: job.Task) -> None:
    config, model, vocabulary = task.config, task.input("model"), task.input("vocabulary")
    search.refuse_other_model(task.inputs["index"], task.model_id)
    queries = search.read_queries(config)
    vectors = search.query_vectors(task.spark, queries, config.warehouse, vocabulary, config.vectors, model)
    results = search.search_shards(task.spark, queries, vectors, config.warehouse, task.inputs["index"], config.k)
    task.write("results", results)


JOB = job.Job(
    "search_images",
    SearchConfig,
    main,
    reads={"index": "through", "model": "newest", "vocabulary": "newest"},
    writes=("results",),
    files=lambda config: [config.queries_file, shipped.tag("vectors", config.vectors)],
)

if __name__ == "__main__":
    command.run(JOB)
