"""Build the label table: nouns with unit vectors, synsets and synonyms.

reads    word vectors, the noun hierarchy, the class table of the core visual model
writes   vocabulary  (schemas.VOCABULARY), and the classes' vectors beside it
"""

from devise.config import VocabularyConfig
from devise.facts import shipped
from devise.spark.frame import command, job
from devise.spark.stages.vocabulary import write_vocabulary


def main(task: job.Task) -> None:
    write_vocabulary(task)


JOB = job.Job(
    "build_vocabulary",
    VocabularyConfig,
    main,
    writes=("vocabulary",),
    files=lambda config: [
        shipped.tag(setting, getattr(config, setting)) for setting in ("vectors", "hierarchy", "classes")
    ],
    reuse=True,
)

if __name__ == "__main__":
    command.run(JOB)
