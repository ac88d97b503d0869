"""Packages import in one direction, and no cycle: CONTRIBUTING.md."""

import ast

import pytest

from tests.hub_fixtures import REPOSITORY

# A package may import those of the lines below its own; of its own line only itself.
LAYERS = [
    ("training",),
    ("inference",),
    ("reports",),
    ("tasks",),
    ("checkpoints", "sequences", "metrics"),
    ("hub_code", "hub", "machine"),
]
DEPTH = {package: depth for depth, layer in enumerate(LAYERS) for package in layer}


def imported(path) -> set[str]:
    """Packages of dnahub that a module imports, inside of functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
    return {name.split(".")[1] for name in names if name.startswith("dnahub.")}


@pytest.mark.parametrize("package", DEPTH)
def test_a_package_imports_only_those_below_it(package):
    allowed = {other for other, depth in DEPTH.items() if depth > DEPTH[package]} | {package}
    found = {path.name: imported(path) - allowed for path in (REPOSITORY / "dnahub" / package).rglob("*.py")}
    assert {name: others for name, others in found.items() if others} == {}


def test_every_package_has_its_place():
    folders = {path.name for path in (REPOSITORY / "dnahub").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(DEPTH)
