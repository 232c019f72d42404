"""Would a night run here? Starts Spark as the jobs do, looks at driver and every executor, and changes nothing.

reads    the night's settings; lists the corpus and gets one image; makes and removes a probe in the warehouse
writes   a line a check: `ok`, or `warning` and `fault` with what was found, what was wanted and what to do

`devise doctor --config FILE` is the same; it ends with 2 where something would stop a night.
"""

from collections.abc import Sequence

from devise.spark.frame import command
from devise.spark.stages import doctor


def main(arguments: Sequence[str] | None = None) -> None:
    command.check(__doc__, doctor.examine, arguments)


if __name__ == "__main__":
    main()
