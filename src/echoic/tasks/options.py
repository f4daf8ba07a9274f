"""Options under flat names ("horizon", "hidden_size") and the four groups of settings they live in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from echoic.errors import OptionError
from echoic.models.settings import CHOSEN
from echoic.tasks.base import TaskSettings


class Option(NamedTuple):
    """One option of a task."""

    group: str
    name: str
    field: FieldInfo


def options_of(settings: type[TaskSettings]) -> dict[str, Option]:
    """Every option of a task by its flat name, in the order of the groups."""
    return {option.name: option for option in _walk(settings)}


def _walk(settings: type[TaskSettings]) -> Iterator[Option]:
    for group, group_field in settings.model_fields.items():
        kind = group_field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items():
            yield Option(group, name, field)


def settings_from(kind: type[TaskSettings], values: Mapping[str, Any]) -> TaskSettings:
    """Settings from flat options; what is not given keeps the task's default.

    Names may carry their group ("model.dropout"). Raises OptionError for a name that does not exist (with the nearest
    that does) and for a value that cannot be, naming the option, the value and what was expected; CellError for a file
    named as the cell, which is run here, that holds none.
    """
    known = options_of(kind)
    grouped: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        flat = name.rsplit(".", 1)[-1].replace("-", "_")
        if flat not in known or ("." in name and name.rsplit(".", 1)[0] != known[flat].group):
            raise OptionError(_unknown(name, known))
        grouped.setdefault(known[flat].group, {})[flat] = value
    try:
        return kind.model_validate(grouped, context=CHOSEN)
    except ValidationError as error:
        raise OptionError(_explained(error)) from error


def flat_values(settings: TaskSettings) -> dict[str, Any]:
    """Flat name to value, for every option."""
    return {name: getattr(getattr(settings, o.group), name) for name, o in options_of(type(settings)).items()}


def _unknown(name: str, known: Mapping[str, Option]) -> str:
    near = get_close_matches(name.rsplit(".", 1)[-1].replace("-", "_"), known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(sorted(known))}."
    return f'there is no option "{name}". {hint}'


def _explained(error: ValidationError) -> str:
    """A line for each option that cannot be, with all that it could have been."""
    lines: list[str] = []
    expected: dict[tuple[str, str], list[str]] = {}
    for one in error.errors():
        path = [str(part) for part in one["loc"]]
        if one["type"] == "value_error":  # ours, which says what was found
            option = f"option {path[1]}: " if len(path) > 1 else ""
            lines.append(option + one["msg"].removeprefix("Value error, ") + ".")
            continue
        name = path[1] if len(path) > 1 else ".".join(path)
        message = one["msg"].removeprefix("Input should be ").partition(", unable to parse")[0]
        expected.setdefault((name, repr(one["input"])), []).append(message[0].lower() + message[1:])
    for (name, found), possible in expected.items():
        lines.append(f"option {name}: found {found}, expected {' or '.join(possible)}.")
    return "\n".join(lines)
