"""Command line, and a YAML recipe under it -> dataclasses, before anything heavy is imported."""

import argparse
import dataclasses
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class _Parser(argparse.ArgumentParser):
    place = ""  # of what is parsed, where that is no command line

    def error(self, message: str) -> NoReturn:
        """One sentence instead of pages of usage."""
        self.exit(2, f"{self.prog}: error: {self.place}{message} ({self.prog} --help lists the arguments)\n")


def parse(
    program: str,
    description: str,
    classes: Sequence[type],
    argv: Sequence[str] | None = None,
    recipe: bool = False,
    **defaults: Any,
) -> tuple[Any, ...]:
    """
    Read the command line into an instance of each dataclass.

    A field is a flag of its name, its class a group of the help, titled by the first line of the docstring. The type
    of a field says what the flag takes: str, int, float, bool (`--flag`, `--flag false`), Literal, list of these
    (several values), each or None. `metadata={"help": ...}` explains it. With `recipe`, the first argument may be a
    YAML file of `flag: value`, which the flags after it override. `defaults` stand in place of those of the classes.

    Raises:
        SystemExit: With status 2 after one sentence, for an unknown flag or a value that it does not take.
        ValueError: From the `__post_init__` of a class.
    """
    parser = _Parser(
        prog=program,
        usage=f"{program} {'[recipe.yaml] ' * recipe}[--flag value ...]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags: dict[str, argparse.Action] = {}
    for each in classes:
        group = parser.add_argument_group((each.__doc__ or each.__name__).strip().partition("\n")[0].rstrip("."))
        hints = get_type_hints(each)
        for field in dataclasses.fields(each):
            flags[field.name] = _add(group, field, hints[field.name], defaults)
    argv = list(sys.argv[1:] if argv is None else argv)
    if recipe and argv and not argv[0].startswith("-"):
        parser.place = f"recipe {argv[0]}: "
        given = _recipe_flags(Path(argv[0]), flags, parser)
        parser.parse_args(given)  # by itself, for errors that name it
        parser.place, argv = "", [*given, *argv[1:]]  # the last value of a flag counts
    values = vars(parser.parse_args(argv))
    required = [name for name, action in flags.items() if values[name] is dataclasses.MISSING]
    if required:
        parser.error(f"--{required[0]} is required")
    return tuple(each(**{field.name: values[field.name] for field in dataclasses.fields(each)}) for each in classes)


def _add(group: Any, field: dataclasses.Field, hint: Any, defaults: dict[str, Any]) -> argparse.Action:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    default = defaults.get(field.name, default)
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    several = get_origin(hint) is list
    kind = get_args(hint)[0] if several else hint
    options: dict[str, Any] = {"default": default, "help": field.metadata.get("help", "").replace("%", "%%")}
    if kind is bool:
        options |= {"type": _truth, "nargs": "?", "const": True, "metavar": "BOOL"}
    elif get_origin(kind) is Literal:
        options |= {"choices": get_args(kind), "type": type(get_args(kind)[0])}
    else:
        options |= {"type": kind, "metavar": {int: "N", float: "X"}.get(kind, field.name.upper())}
    if several:
        options["nargs"] = "+"
    if default is dataclasses.MISSING:
        options["help"] = f"(required) {options['help']}"
    elif default not in (None, [], False):
        options["help"] += f" (default: {default})".replace("%", "%%")
    return group.add_argument(f"--{field.name}", **options)


def _truth(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


class _Plain(str):
    """A value without quotes."""


class TextLoader(yaml.BaseLoader):
    """YAML whose values are text, as written, and nothing else, and whose keys may stand only once."""

    def construct_scalar(self, node: yaml.ScalarNode) -> str:
        return _Plain(node.value) if node.style is None else node.value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        keys = [key.value for key, _ in node.value]
        for i, (key, _) in enumerate(node.value):
            if key.value in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
        return super().construct_mapping(node, deep=deep)


def _read(text: str, kind: type) -> Any:
    """The text, unless YAML without quotes is something else there: 010 is 8, no is False, 1.10 is 1.1, ~ is None."""
    value: Any = text
    try:
        value = yaml.safe_load(text)
        is_same = kind(text) == value if isinstance(value, (bool, int, float)) else value is not None
    except (yaml.YAMLError, ValueError, argparse.ArgumentTypeError):
        is_same = False
    return text if is_same or str(value) == text else value


def _recipe_flags(path: Path, flags: dict[str, argparse.Action], parser: _Parser) -> list[str]:
    """A recipe as flags, so that argparse checks both alike."""
    fault = parser.error
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), TextLoader)  # nosec B506
    except FileNotFoundError:
        fault("there is no such file; flags begin with --")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fault(f"{' '.join(str(error).split())}; if that is a value, quote it")
    if not isinstance(found, dict):
        fault("write one `flag: value` a line")
    given: list[str] = []
    for name, value in found.items():
        if name not in flags:
            fault(f"there is no argument {name}")
        values = value if isinstance(value, list) and flags[name].nargs == "+" else [value]
        if not all(isinstance(each, str) for each in values):
            fault(f"{name} takes one value{' or a list' if flags[name].nargs == '+' else ''}")
        read = [_read(each, flags[name].type) if isinstance(each, _Plain) else each for each in values]
        if not values or read[0] in (None, ""):
            fault(f"{name} has no value; write one, and quote it if it begins with # or is ~, or leave the line out")
        for text, as_read in zip(values, read, strict=True):
            if as_read != text:
                fault(f'{name}: {text} is {as_read} to YAML; quote it, "{text}", if it is meant as written')
        given += [f"--{name}", *values] if isinstance(value, list) else [f"--{name}={value}"]
    return given
