"""Run the tests with the oldest and the newest versions that pyproject.toml admits.

    python .ci/check_versions.py
    python .ci/check_versions.py --only oldest --output versions.md

Makes a virtual environment for each, on the running Python (3.11 or newer): "oldest" takes every
direct dependency at its lower bound, "newest" the newest that the ranges and pip's
resolver admit, "medspacy" the newest that medspaCy admits, which wants an older spaCy on some
Pythons. The requirements of those are the newest that fit. torch is the exception: a package index
has builds of several GB for its other versions, so it is that of constraints.txt everywhere
unless --torch names another. Needs a package index, and some minutes for each.
"""

import argparse
import json
import re
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

# Things that a version may break: registration, training, saving, the tokenizers and files of
# transformers, shared encoders, scikit-learn's search, safetensors, the commands.
TESTS = ("data", "ml", "neighbors", "pipeline", "training", "integration/spacy_contract")
TESTS += ("integration/test_companions.py",)

ENVIRONMENTS = ("oldest", "newest", "medspacy")


def read_ranges() -> dict[str, Requirement]:
    """Return the package's dependencies by name."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    every = [Requirement(line) for line in content["project"]["dependencies"]]
    return {each.name: each for each in every}


def lower_bound(requirement: Requirement) -> str:
    """Return the version after ``>=``."""
    bounds = [each.version for each in requirement.specifier if each.operator == ">="]
    if len(bounds) != 1:
        raise SystemExit(f'pyproject.toml: "{requirement}" needs one lower bound (>=)')
    return bounds[0]


def tested_torch() -> str:
    """The version in constraints.txt."""
    content = (ROOT / "constraints.txt").read_text(encoding="utf8")
    (found,) = re.findall(r"^torch==(\S+)$", content, flags=re.MULTILINE)
    return str(found)


def install(python: Path, environment: str, ranges: Mapping[str, Requirement], torch: str) -> None:
    """Install the package, the needs of its tests, and the versions of the environment."""
    versions = {"torch": torch}
    if environment == "oldest":
        versions = {name: lower_bound(each) for name, each in ranges.items()} | versions
    pins = [f"{name}=={version}" for name, version in versions.items()]
    if environment == "medspacy":
        pins.append("medspacy")
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*command, ROOT, "pytest", "hypothesis", *pins], check=True)


def installed_versions(python: Path) -> dict[str, str]:
    command = [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {each["name"].lower().replace("_", "-"): each["version"] for each in listed}


def run_tests(python: Path, places: Sequence[str]) -> tuple[str, bool]:
    """Return pytest's last line, such as "200 passed", and whether all is well."""
    options = ["-o", "addopts=--import-mode=importlib", "--tb=short", "-p", "no:cacheprovider"]
    command = [python.with_name("pytest"), *options, *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-20_000:], done.stderr[-2_000:], sep="\n")
    summary = done.stdout.strip().rpartition("\n")[2].strip("= ")
    return re.sub(r"(, \d+ warnings?)? in .*", "", summary), done.returncode == 0


def table(
    ranges: Mapping[str, Requirement],
    found: Mapping[str, Mapping[str, str]],
    results: Mapping[str, str],
) -> str:
    """Return Markdown: a row for each package, a column for each environment."""
    lines = [["package", "range", *found], ["---", "---", *("---" for _ in found)]]
    for name, each in sorted(ranges.items()):
        versions = [installed.get(name, "none") for installed in found.values()]
        lines.append([name, f"`{each.specifier}`", *versions])
    medspacy = [installed.get("medspacy", "none") for installed in found.values()]
    lines.append(["medspacy, not needed", "", *medspacy])
    lines.append(["tests", "", *(results[name] for name in found)])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=ENVIRONMENTS, help="one of them")
    parser.add_argument("--torch", default=tested_torch(), help="version of torch [%(default)s]")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "build" / "versions",
        help="for the environments [build/versions]",
    )
    parser.add_argument("--output", type=Path, help="file for the table")
    options = parser.parse_args()
    ranges, found, results, well = read_ranges(), {}, {}, True
    for name in [options.only] if options.only else ENVIRONMENTS:
        folder = options.folder.resolve() / name
        print(f"{name}: installing into {folder} (minutes)", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install(python, name, ranges, options.torch)
        found[name] = installed_versions(python)
        print(f"{name}: testing (minutes)", flush=True)
        results[name], passed = run_tests(python, [f"tests/{each}" for each in TESTS])
        print(f"{name}: {results[name]}", flush=True)
        well = well and passed
    text = table(ranges, found, results)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"\nPython {version}; torch was not varied: {options.torch}\n\n{text}", end="")
    if options.output:
        options.output.write_text(text, encoding="utf8")
    if not well:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
