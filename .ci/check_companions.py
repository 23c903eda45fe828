"""Run the blocks of docs/companions.md with the packages that they are about.

    python .ci/check_companions.py
    python .ci/check_companions.py --only presidio --output companions.md

Makes a virtual environment for each companion, on the running Python (3.11 or newer), with this
package, the companion at the versions below and pytest, and runs the companion's tests, which run
its blocks of the page. Needs a package index, and some minutes for each.
"""

import argparse
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from check_versions import ROOT, installed_versions, run_tests, tested_torch


class Companion(NamedTuple):
    """Packages, and the tests that need them (an expression for pytest's -k)."""

    packages: tuple[str, ...]
    tests: str


COMPANIONS = {
    "medspacy": Companion(("medspacy==1.3.1",), "TestConText or TestSectionizer"),
    "presidio": Companion(
        ("presidio-analyzer==2.2.366", "presidio-anonymizer==2.2.366"), "TestPresidio"
    ),
    "mlflow": Companion(
        ("mlflow-skinny==3.17.2", "sqlalchemy==2.1.9", "alembic==1.20.1", "pandas"), "test_mlflow"
    ),
    "spacy-llm": Companion(("spacy-llm==0.7.4",), "TestSpacyLlm"),
}
"""Packages outside of the extras: they are large, or need other versions of spaCy or numpy."""


def install(python: Path, companion: Companion) -> None:
    """Install all in one command, so that pip finds versions that suit each other."""
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    torch = f"torch=={tested_torch()}"
    subprocess.run([*command, ROOT, "pytest", "hypothesis", torch, *companion.packages], check=True)


def table(found: Mapping[str, Mapping[str, str]], results: Mapping[str, str]) -> str:
    """Return Markdown with a row for each companion."""
    lines = [["companion", "packages", "spaCy", "numpy", "tests"], ["---"] * 5]
    for name, versions in found.items():
        packages = ", ".join(COMPANIONS[name].packages).replace("==", " ")
        lines.append([name, packages, versions["spacy"], versions["numpy"], results[name]])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=sorted(COMPANIONS), help="one of them")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build" / "companions",
        help="for the environments [build/companions]",
    )
    parser.add_argument("--output", type=Path, help="file for the table")
    options = parser.parse_args()
    found, results, well = {}, {}, True
    for name in [options.only] if options.only else COMPANIONS:
        folder = options.folder.resolve() / name
        print(f"{name}: installing into {folder} (minutes)", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install(python, COMPANIONS[name])
        found[name] = installed_versions(python)
        places = ["tests/integration/test_companions.py", "-k", COMPANIONS[name].tests]
        results[name], passed = run_tests(python, places)
        print(f"{name}: {results[name]}", flush=True)
        # A test that is skipped has not found its companion.
        well = well and passed and "skipped" not in results[name]
    text = table(found, results)
    print(f"\nPython {'.'.join(map(str, sys.version_info[:3]))}\n\n{text}", end="")
    if options.output:
        options.output.write_text(text, encoding="utf8")
    if not well:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
