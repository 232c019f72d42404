"""The CloudFormation template with the state machine in it, between two marks; makes no stack.

The template is written by hand and the machine by schedule.py. What is delivered carries the machine of the default
settings, so that it can be read and linted whole; `devise emr up` puts in that of the user's.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devise.emr.config import EmrConfig
from devise.emr.night import Step, steps_of
from devise.emr.schedule import definition

BEGIN, END = "# begin: made by `make emr-template`", "# end: made by `make emr-template`"
DEFAULT = EmrConfig(subnets=["subnet-0"])
"""The settings of what is delivered; subnets are a parameter of the template anyhow."""
STEPS = steps_of({})
"""Its steps: what is by choice is in none."""


def with_machine(text: str, settings: EmrConfig, steps: Sequence[Step]) -> str:
    """The CloudFormation template with the state machine of these settings and steps between its marks.

    Raises:
        ValueError: the marks are not there, once each.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"found no place for the state machine, wanted {BEGIN!r} and {END!r} once each")
    before, _, rest = text.partition(BEGIN)
    indent = before.rpartition("\n")[2]
    lines = "".join(f"{indent}  {line}\n" for line in _a_state_a_line(definition(settings, steps)))
    return f"{before}{BEGIN}\n{indent}DefinitionString: |-\n{lines}{indent}{END}{rest.partition(END)[2]}"


def _a_state_a_line(machine: dict[str, Any]) -> list[str]:
    """Its JSON so that a changed state is a changed line; CloudFormation takes templates of 51,200 bytes at most."""
    head = json.dumps({name: value for name, value in machine.items() if name != "States"})[:-1]
    states = [f"{json.dumps(name)}: {json.dumps(state)}" for name, state in machine["States"].items()]
    return [f'{head}, "States": {{', *(f"{state}," for state in states[:-1]), f"{states[-1]}}}}}"]


if __name__ == "__main__":  # `make emr-template`
    place = Path(sys.argv[1])
    place.write_text(with_machine(place.read_text(encoding="utf-8"), DEFAULT, STEPS), encoding="utf-8")
