"""Train and score what the plan names and the results lack, or have with other settings.

python -m experiments.run --corpora ../shared/corpora --jobs 2

A killed run starts anew. Settings are those of the plan; a change elsewhere (in an arm's
configuration file, in a corpus) is not noticed: delete the work folder, which keeps splits, models
and predictions, and run with ``--again``. The store (`store.py`) keeps of a run its configuration,
seed, updates, time, the scores on dev while it trained, and the counts of each document.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from experiments import corpora, predictions, systems
from experiments.plan import Plan, Run, chosen, read_plan
from experiments.record import write_record
from experiments.store import Store
from spacy_btl.util.files import write_file

HERE = Path(__file__).parent
ROOT = HERE.parent


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, default=HERE / "plan.yml")
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "runs")
    parser.add_argument("--work", type=Path, default=ROOT / "training" / "experiments")
    parser.add_argument("--only", default="", help="regular expression on corpus/encoder/arm/seed")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a thread each")
    parser.add_argument(
        "--list", action="store_true", help="show what is there and what is missing"
    )
    parser.add_argument("--again", action="store_true", help="also what is there")
    parser.add_argument("--one", action="store_true", help="run the first, in this process")
    options = parser.parse_args(arguments)
    plan = read_plan(options.plan)
    runs = chosen(plan.runs, options.only)
    store = Store(options.results)
    missing = [run for run in runs if options.again or not is_done(plan, run, store)]
    if options.list:
        for run in runs:
            print("missing" if run in missing else "done   ", run.key)
        return 0
    if options.one:
        for run in missing[:1]:
            lock = options.work / f"{run.key}.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=0):  # against the same run twice at a time
                perform(plan, run, options)
        return 0
    with ThreadPoolExecutor(options.jobs) as pool:
        ended = list(pool.map(lambda run: spawn(run, options), missing))
    failed = [run for run, ok in zip(missing, ended, strict=True) if not ok]
    for run in failed:
        print(f"failed: {run.key}; its output is in {options.work / run.key}", file=sys.stderr)
    return bool(failed)


def is_done(plan: Plan, run: Run, store: Store) -> bool:
    """Return whether the run is in the store, with the settings that the plan has now."""
    summary = store.summary(run)
    return (
        summary is not None
        and summary["settings"] == plan.settings(run)
        and summary.get("stages", {}) == plan.stages(run)
    )


def spawn(run: Run, options: argparse.Namespace) -> bool:
    """Perform one run in its own process, and return whether it came to its end."""
    print(f"{time.strftime('%H:%M:%S')} {run.key}", flush=True)
    command = [sys.executable, "-m", "experiments.run", "--one"]
    command += ["--again"] if options.again else []
    command += ["--only", f"^{re.escape(run.key)}$"]
    for name in ("plan", "corpora", "results", "work"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = systems.with_this_project()
    if options.jobs > 1:
        environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(command, env=environment, check=False).returncode == 0


def perform(plan: Plan, run: Run, options: argparse.Namespace) -> None:
    """Run a split, training, prediction and scoring; the record is written last and whole."""
    work, settings = options.work / run.key, plan.settings(run)
    asked = {**settings, **plan.stages(run)}
    trained = work / "trained.json"
    if trained.is_file() and json.loads(trained.read_text()).get("settings") != asked:
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    corpus = corpora.prepare(
        plan.corpora[run.corpus], options.corpora, options.work / "corpora" / run.corpus, run.seed
    )
    if not trained.is_file():
        (work / "predictions.json").unlink(missing_ok=True)  # of a training that was begun before
        arm = plan.arms[run.arm]
        python = systems.environment(arm.get("requirements", []), options.work / "venvs" / run.arm)
        start = time.monotonic()
        sources = {
            name: corpora.prepare_source(each, options.corpora, options.work / "sources" / name)
            for name, each in plan.sources_of(run).items()
        }
        systems.train(arm, settings, corpus, run.seed, work, python, sources)
        spent = {
            "seconds": round(time.monotonic() - start, 1),
            "peak_mib": round(systems.peak_mib()),
            "settings": asked,
        }
        write_file(trained, json.dumps(spent))
    if not (work / "predictions.json").is_file():
        predictions.write(
            predictions.predict(systems.load(work), corpus), work / "predictions.json"
        )
    write_record(plan, run, corpus, work, Store(options.results))


if __name__ == "__main__":
    sys.exit(main())
