"""A training logger that shows spaCy's table and keeps updates, times and scores in a file.

spaCy's own log has neither times nor the figures without a weight in ``score_weights``.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import spacy
from spacy.language import Language
from spacy.training.loggers import console_logger

Log = Callable[[dict[str, Any] | None], None]


@spacy.registry.loggers("experiments.TrainingLog.v1")
def make_training_log(
    path: str,
) -> Callable[[Language, IO[str], IO[str]], tuple[Log, Callable[[], None]]]:
    """Return a logger for ``[training.logger]``.

    Args:
        path: File that gets one JSON line for each evaluation on dev: ``updates`` of the weights so
            far, ``epoch``, ``seconds`` since the start, ``loss`` by component, ``score`` (by which
            the checkpoint is chosen) and all single figures of the scorer. Written anew.
    """
    setup_console = console_logger()

    def setup(
        nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[Log, Callable[[], None]]:
        log_console, finalize_console = setup_console(nlp, stdout, stderr)
        start = time.monotonic()
        Path(path).write_text("", encoding="utf8")

        def log(info: dict[str, Any] | None) -> None:
            log_console(info)
            if info is None or info.get("score") is None:
                return
            row = {
                "updates": info["step"] + 1,  # spaCy counts steps from 0
                "epoch": info["epoch"],
                "seconds": round(time.monotonic() - start, 1),
                "loss": {name: float(loss) for name, loss in info["losses"].items()},
                "score": float(info["score"]),
                **{k: v for k, v in info["other_scores"].items() if isinstance(v, int | float)},
            }
            with Path(path).open("a", encoding="utf8") as file:
                file.write(json.dumps(row) + "\n")

        return log, finalize_console

    return setup
