"""Walks a state machine of the States Language with JSONata, as far as ours needs it; AWS is a function of the test.

Knows Task, Choice, Pass, Wait, Succeed and Fail, Assign, Retry and Catch. It is ours, not AWS's: what it agrees with is
the published language, read by us.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from jsonata import Jsonata

EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)


class Fault(Exception):
    """What a task of the test raises: an error's name and cause."""

    def __init__(self, name: str, cause: str = ""):
        super().__init__(name)
        self.output = {"Error": name, "Cause": cause}


class Walk(NamedTuple):
    """What became of an execution: its states in order, how it ended, and what that said."""

    states: list[str]
    status: str
    output: Any


def evaluate(value: Any, states: dict[str, Any], variables: dict[str, Any]) -> Any:
    """A value of the machine with each `{% %}` in it replaced by what it says."""
    if isinstance(value, dict):
        return {name: evaluate(each, states, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [evaluate(each, states, variables) for each in value]
    found = EXPRESSION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return value
    expression = Jsonata(found[1])
    frame = expression.create_frame()
    for name, bound in (variables | {"states": states}).items():
        frame.bind(name, bound)
    return expression.evaluate(None, frame)


def walk(machine: dict[str, Any], given: Any, aws: Callable[[str, dict[str, Any]], Any]) -> Walk:
    """Run the machine; `aws` answers each task's resource and arguments, or raises `Fault`."""
    variables: dict[str, Any] = {}
    context = {"StateMachine": {"Id": "arn:machine"}, "Execution": {"Name": "it"}}
    name, value, seen = machine["StartAt"], given, []
    while True:
        assert len(seen) < 500, "it never ends"
        state = machine["States"][name]
        seen.append(name)
        at = {"input": value, "context": context}
        if state["Type"] == "Succeed":
            return Walk(seen, "SUCCEEDED", value)
        if state["Type"] == "Fail":
            return Walk(seen, "FAILED", evaluate({k: state[k] for k in ("Error", "Cause")}, at, variables))
        if state["Type"] == "Choice":
            chosen = next((c for c in state["Choices"] if evaluate(c["Condition"], at, variables)), {})
            variables |= evaluate(chosen.get("Assign", {}), at, variables)
            name = chosen.get("Next", state.get("Default"))
            continue
        step = state
        if state["Type"] == "Task":
            try:
                value = _do(state, evaluate(state["Arguments"], at, variables), aws)
                at["result"] = value
            except Fault as fault:
                step = next(c for c in state["Catch"] if set(c["ErrorEquals"]) & {fault.output["Error"], "States.ALL"})
                at["errorOutput"] = value = fault.output
        variables |= evaluate(step.get("Assign", {}), at, variables)
        name = step["Next"]


def _do(state: dict[str, Any], arguments: dict[str, Any], aws: Callable[[str, dict[str, Any]], Any]) -> Any:
    left = {id(retry): retry["MaxAttempts"] for retry in state.get("Retry", [])}
    while True:
        try:
            return aws(state["Resource"].removeprefix("arn:aws:states:::"), arguments)
        except Fault as fault:
            names = {fault.output["Error"], "States.ALL"}
            if fault.output["Error"] != "States.Timeout":
                names.add("States.TaskFailed")
            retry = next((r for r in state.get("Retry", []) if set(r["ErrorEquals"]) & names and left[id(r)]), None)
            if retry is None:
                raise
            left[id(retry)] -= 1
