"""The cache key of prepared rows contains every module that makes rows, and no other."""

import ast
import importlib.util
from pathlib import Path

import pytest

from im2gps import Im2GPSConfig
from justzoomin.justzoomin import JustZoomInConfig

OURS = {"geoload", "im2gps", "justzoomin", "gcd_metric"}
# These decide what is downloaded, printed or allowed, but not what is in a row.
NOT_ROWS = {f"geoload.{name}" for name in ("hub", "messages", "processes", "registry", "report")}
NOT_ROWS |= {"gcd_metric.inspect_scorer"}  # reads predictions, and needs the extra `inspect`


def imports(module: str) -> set[str]:
    """Return the imported modules of this project, except those for type checking."""
    tree = ast.parse(Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parent = module.rpartition(".")[0] + "." if node.level else ""
            base = f"{parent}{node.module or ''}".rstrip(".")
            found |= {base, *(f"{base}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.split(".")[0] in OURS and is_module(name)}


def is_module(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:  # the parent is a module (or needs an extra), so this is one of its names
        return False
    return spec is not None and not spec.submodule_search_locations


@pytest.mark.parametrize("config", [Im2GPSConfig, JustZoomInConfig])
def test_the_cache_key_contains_every_module_that_makes_rows(config):
    package = config.__module__.split(".")[0]
    waiting, found = {f"{package}.{package}"}, set()
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= imports(module) - found - NOT_ROWS
    listed = set(config.ROW_MODULES)
    assert listed == found, f"ROW_MODULES of {config.__name__} should be as the imports are"
    assert not {module for module in listed if module.endswith((".cli", ".publish", ".sample"))}
