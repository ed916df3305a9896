"""Writes a folder with this metric and all modules that it needs, to be uploaded to the Hub.

    python -m geo_attributes.bundle OUT
    hf upload --repo-type space OWNER/geo_attributes OUT

`evaluate.load("OWNER/geo_attributes")` copies only the files that the metric's file imports
relatively. So imports from our packages become relative, that file imports every module, and the
file of the world's regions becomes text in a module.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
from pathlib import Path

from gcd_metric import region_file

_METRIC = "geo_attributes"
_IMPORT = re.compile(r"^( *)from (gcd_metric|geo_attributes|)\.(\w+) import ", re.MULTILINE)
_HERE = Path(__file__).resolve().parent


def bundle(folder: str | Path) -> None:
    """Write the folder, which must be new or empty; else raise a FileExistsError."""
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    sources = {_METRIC: _HERE / f"{_METRIC}.py"}
    texts: dict[str, str] = {}
    while waiting := sources.keys() - texts.keys():
        name = min(waiting)
        text = sources[name].read_text(encoding="utf-8")
        for _, package, module in _IMPORT.findall(text):
            where = _HERE.parent / package if package else sources[name].parent
            if sources.setdefault(module, where / f"{module}.py").parent != where:
                raise ValueError(f"both packages have a module {module}: rename one of them")
        texts[name] = _IMPORT.sub(r"\1from .\3 import ", text)
    texts["region_file"] = _region_module()
    names = sorted(texts.keys() - {_METRIC})
    lines = [f"from .{name} import __name__ as _{name}\n" for name in names]
    texts[_METRIC] += "\n# so that evaluate copies these files, too\n" + "".join(lines)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    for name in ("README.md", "requirements.txt"):
        shutil.copy(_HERE / name, folder)


def _region_module() -> str:
    """Return a module that stands for gcd_metric/region_file.py and contains the file."""
    content = base64.b85encode(region_file.read_regions()).decode("ascii")
    return (
        '"""Contains the file of the world\'s regions."""\n\nimport base64\n\n\n'
        "def read_regions() -> bytes:\n"
        '    """The content of the file regions.npz."""\n'
        f'    return base64.b85decode("{content}")\n'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m geo_attributes.bundle OUT")
    try:
        bundle(sys.argv[1])
    except OSError as error:
        sys.exit(f"bundle: {error}")
    print(f"Wrote the metric to {sys.argv[1]}")
