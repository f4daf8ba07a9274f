"""Command-line options made from a task's settings, so that no option is written down twice."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from echoic.errors import OptionError
from echoic.tasks.base import Task
from echoic.tasks.options import Option, options_of

COMMON = [
    "validation",
    "test",
    "cell",
    "layers",
    "hidden_size",
    "bidirectional",
    "epochs",
    "max_minutes",
    "batch_size",
    "learning_rate",
    "clip",
    "seed",
    "precision",
    "device",
]


def promoted_options(task: type[Task]) -> list[Option]:
    """Options with a name of their own on the command line: the task's, then those all tasks share."""
    known = options_of(task.Settings)
    return [known[name] for name in dict.fromkeys([*task.promoted, *COMMON]) if name in known]


def with_task_options(function: Callable[..., None], task: type[Task]) -> Callable[..., None]:
    """``function(..., options: dict)`` as a command that takes the task's options one by one.

    Values stay text here (flags and lists apart): the settings check and convert them, with one message for the
    command line and for Python.
    """
    own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "options"]
    promoted = promoted_options(task)
    hidden = sorted(set(options_of(task.Settings)) - {o.name for o in promoted})
    parameters = [*own, *(_parameter(option) for option in promoted), _set_parameter(hidden)]

    def command(**values: Any) -> None:
        options = {o.name: value for o in promoted if (value := values.pop(o.name)) not in (None, [])}
        for o in promoted:
            if o.name in options and _is_list(o.field.annotation):
                options[o.name] = [part for item in options[o.name] for part in item.split(",")]
        options |= parse_assignments(values.pop("assignments") or [], task)
        function(**values, options=options)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = task.summary
    return command


def parse_assignments(assignments: Sequence[str], task: type[Task]) -> dict[str, Any]:
    """``--set key=value`` as options. Raises OptionError for one without "="."""
    parsed: dict[str, Any] = {}
    known = options_of(task.Settings)
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise OptionError(f'--set {assignment}: found no "=", expected key=value, for example --set dropout=0.3')
        option = known.get(name.rsplit(".", 1)[-1].replace("-", "_"))
        parsed[name.strip()] = _from_text(value, option.field.annotation if option else str)
    return parsed


def _from_text(value: str, annotation: Any) -> Any:
    if value.lower() in ("none", "null") and types.NoneType in get_args(annotation):
        return None
    if _is_list(annotation):
        return value.split(",")
    if _is_dict(annotation):
        pairs = (pair.partition(":") for pair in value.split(","))
        return {key: item for key, _, item in pairs}
    return value


def _parameter(option: Option) -> inspect.Parameter:
    flag = "--" + option.name.replace("_", "-")
    default = option.field.get_default(call_default_factory=True)
    shown = "" if default in (None, [], ()) else f" [default: {default}]"
    text = f"{option.field.description or ''}{shown}"
    if option.field.annotation is bool:
        kind, declarations, metavar = bool | None, (f"{flag}/--no-{flag[2:]}",), None
    elif _is_list(option.field.annotation):
        kind, declarations, metavar = list[str] | None, (flag,), "A,B,..."
    else:
        kind, declarations, metavar = str | None, (flag,), _metavar(option.field.annotation)
    annotation = Annotated[kind, typer.Option(*declarations, help=text, metavar=metavar, show_default=False)]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _set_parameter(names: Sequence[str]) -> inspect.Parameter:
    text = f"any other option; repeat as needed. There are: {', '.join(names)}"
    annotation = Annotated[list[str] | None, typer.Option("--set", help=text, metavar="KEY=VALUE", show_default=False)]
    return inspect.Parameter("assignments", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [a for a in get_args(annotation) if a is not types.NoneType]
    return [annotation]


def _is_list(annotation: Any) -> bool:
    return any(get_origin(a) in (list, tuple) or a in (list, tuple) for a in _alternatives(annotation))


def _is_dict(annotation: Any) -> bool:
    return any(get_origin(a) is dict or a is dict or get_origin(a) is Mapping for a in _alternatives(annotation))


def _metavar(annotation: Any) -> str:
    names = {int: "N", float: "X", str: "TEXT"}
    words = []
    for alternative in _alternatives(annotation):
        if get_origin(alternative) is Literal:
            words.extend(str(value) for value in get_args(alternative))
        else:
            words.append(names.get(alternative, getattr(alternative, "__name__", "VALUE").upper()))
    return "|".join(words)
