"""Find the best pictures for words, and those nearest to several words or to a picture.

reads    word_images (schemas.WORD_IMAGES), for single words; index (the base and the runs made from it), vocabulary
         (schemas.VOCABULARY), the model
writes   results     (schemas.RESULTS), at most k rows a query
"""

from devise.config import SearchConfig
from devise.facts import shipped
from devise.spark.frame import command, job
from devise.spark.stages import listed


def main(task: job.Task) -> None:
    task.write("results", listed.find_images(task))


JOB = job.Job(
    "search_images",
    SearchConfig,
    main,
    reads={"index": "through", "word_images": "through", "model": "newest", "vocabulary": "newest"},
    writes=("results",),
    files=lambda config: [config.queries_file, shipped.tag("vectors", config.vectors)],
)

if __name__ == "__main__":
    command.run(JOB)
