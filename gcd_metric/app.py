"""Starts the page, in a Space or by hand: `python app.py`. The page itself is page.py.

A Space contains only the files of this folder, and the folder can have any name. The files still
have to be imported as the package `gcd_metric`.
"""

import importlib.util
import os
import sys
from pathlib import Path


def _load_package() -> None:
    """Import this file's folder as the package `gcd_metric`, whatever the folder's name is."""
    folder = Path(__file__).resolve().parent
    # Otherwise `import torch` would find this folder's torch.py.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != folder]
    spec = importlib.util.spec_from_file_location(
        "gcd_metric", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    package = sys.modules["gcd_metric"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def main() -> int:
    """Serve the page until it is stopped; return 2, after a one-line error, if it cannot start."""
    # The page reads public repositories only, whatever token its machine has.
    os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    try:
        _load_package()

        from gcd_metric.intake import check_references_folder

        check_references_folder()  # before gradio, which takes seconds to import

        from gcd_metric import page
    except ModuleNotFoundError as error:
        print(
            f"app.py: the page needs {error.name}, which is not installed: pip install "
            "'.[space]' in a checkout, or pip install -r requirements.txt beside this file",
            file=sys.stderr,
        )
        return 2
    except ValueError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    page.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
