"""Speed of reading annotation files: MB of .ann text a second, on one core.

    python benchmarks/brat_reading.py [folder]

Without a folder it reads text made up after the mix of MACCROBAT's records. The yardstick is
``str.split`` of the same text into lines and of each line into its fields, which makes no records.
Files are read into memory before the clock starts. Median of several runs, the two in turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from spacy_btl import brat


def made_up(documents: int, records: int = 300) -> list[str]:
    """Return annotation files with T, E, R, A, * and # records in about MACCROBAT's shares."""
    lines = []
    for i in range(1, records // 5 + 1):
        lines += [
            f"T{2 * i}\tSign_symptom {40 * i} {40 * i + 11}\tpalpitation",
            f"E{i}\tSign_symptom:T{2 * i} ",
            f"R{i}\tMODIFY Arg1:E{i} Arg2:E{i + 1}\t",
            f"T{2 * i + 1}\tDetailed_description {40 * i + 14} {40 * i + 20}\tsevere",
            (
                f"A{i}\tPOLARITY E{i} NEG",
                f"*\tOVERLAP E{i} E{i + 1} E{i + 2}",
                f"#{i}\tAnnotatorNotes E{i}\tsee above",
            )[i % 3],
        ]
    return ["\n".join(lines) + "\n"] * documents


def split(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.split("\n")]


def speed(read: Callable[[str], object], texts: list[str], megabytes: float) -> float:
    start = time.perf_counter()
    for text in texts:
        read(text)
    return megabytes / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="any folder with .ann files")
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    if args.folder is None:
        texts = made_up(documents=200)
    else:
        paths = sorted(args.folder.rglob("*.ann"))
        if not paths:
            parser.error(f"no .ann file in {args.folder}")
        texts = [path.read_bytes().decode("utf-8") for path in paths]
    megabytes = sum(len(text.encode("utf-8")) for text in texts) / 1e6
    speeds: dict[str, list[float]] = {"brat.loads": [], "str.split": []}
    for _ in range(args.runs):
        speeds["brat.loads"].append(speed(brat.loads, texts, megabytes))
        speeds["str.split"].append(speed(split, texts, megabytes))
    print(f"{len(texts)} files, {megabytes:.1f} MB, {args.runs} runs")
    for name, each in speeds.items():
        print(
            f"{name:12}{statistics.median(each):7.1f} MB/s "
            f"(from {min(each):.1f} to {max(each):.1f})"
        )


if __name__ == "__main__":
    main()
