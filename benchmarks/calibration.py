r"""Calibrated scores with and without what is around an entity, on documents that are held out.

python benchmarks/calibration.py training/model-best corpus/train.spacy corpus/dev.spacy \
    corpus/test.spacy

Neighbors are fitted and chosen as by ``fit-knn --dev``. Both calibrations are fitted on the
entities that are found in dev, and judged on those in test.
"""

import argparse
from pathlib import Path

import numpy as np

from spacy_btl.evaluation.evaluate import read_examples
from spacy_btl.labels.calibration import fit_calibration
from spacy_btl.packaging.saving import load_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.fitting import examples_for
from spacy_btl.pipeline.tuning import Dev, current_setting
from spacy_btl.pipeline.workflow import fit_knn
from spacy_btl.scoring.reliability import expected_calibration_error
from spacy_btl.util.text import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pipeline", type=Path, help="trained pipeline")
    for part in ("train", "dev", "test"):
        parser.add_argument(part, type=Path, help="DocBin")
    options = parser.parse_args()
    nlp = load_pipeline(options.pipeline)
    train, dev, test = (
        read_examples(getattr(options, part), nlp) for part in ("train", "dev", "test")
    )
    fit_knn(nlp, train, dev)
    pipe = component_of(nlp)
    setting = current_setting(pipe)
    known, asked = (
        Dev(pipe, examples_for(nlp, pipe, part), most=setting.n_neighbors).scored(setting)
        for part in (dev, test)
    )
    rows = []
    for name, of_known, of_asked in (
        ("without context", None, None),
        ("with context", known.context, asked.context),
    ):
        sample = (known.scores, known.types, known.lengths, known.correct, known.documents)
        fitted = fit_calibration(*sample, of_known)
        p = fitted.apply(asked.scores, asked.types, asked.lengths, of_asked).astype(np.float64)
        loss = -np.log(np.where(asked.correct, p, 1 - p)).mean()
        figures = (loss, ((p - asked.correct) ** 2).mean())
        error = expected_calibration_error(p, asked.correct)
        rows.append([name, *(f"{figure:.4f}" for figure in (*figures, error))])
    print(f"{len(known.scores):,} entities in dev, {len(asked.scores):,} in test")
    print("\n".join(markdown_table(["scores", "log loss", "Brier score", "error"], rows)))


if __name__ == "__main__":
    main()
