"""Train once more, on train and dev together, with all that dev has chosen before.

Dev decides on the number of updates, on how neighbors vote and on the calibration. Once it has, its
documents are worth more as training than as a judge of one more choice. Nothing is chosen after
that: no document is left to choose on but those of test, which stay untouched.
"""

from collections.abc import Sequence

from spacy.language import Language
from spacy.training import Example

from ..evaluation.cross_fitting import train_anew
from ..evaluation.evaluate import TRAINED_ON_DEV
from ..pipeline.component import BtlKnnNer, component_of
from ..pipeline.workflow import fit_knn


def train_final(
    nlp: Language, train: Sequence[Example], dev: Sequence[Example], *, progress: bool | None = None
) -> Language:
    """Return a new pipeline, trained on train and dev with the choices of a fitted one.

    It is trained anew from the configuration, with its seed, and takes as many updates as are
    behind the fitted pipeline (the checkpoint that dev has chosen), along the same schedule. Its
    neighbors are the tokens of both parts and vote as dev has chosen. The calibration is carried
    over: scores on documents that nobody trained on are what it was fitted on, and there are none
    left to fit it again. Where dev had too little for one, scores stay raw. The fitted pipeline
    stays as it is.

    Args:
        nlp: The pipeline, fitted with dev (`spacy_btl.fit_knn`).
        train: The documents that it was trained on.
        dev: The documents that its settings were chosen on.
        progress: Whether to show progress bars; None to show them in a terminal only.

    Returns:
        The trained pipeline, to be saved with `spacy_btl.save_pipeline`.

    Raises:
        ValueError: If nothing was chosen on dev yet, there is no document in it, the pipeline began
            with another one or has types that only neighbors know, or it cannot be trained.
    """
    pipe, examples = component_of(nlp), [*train, *dev]
    _check(nlp, pipe, dev)
    seen = {label for example in examples for label in pipe.scheme.entity_labels(example)}
    made = train_anew(
        nlp,
        examples,
        steps=pipe.state.updates - 1,  # spaCy takes one update more than max_steps
        keep_schedule=True,
        labels=[*pipe.label_data, *sorted(seen - set(pipe.label_data))],
        seed=nlp.config.interpolate()["training"]["seed"] or 0,
        title="train on train and dev",
        progress=progress,
    )
    if pipe.has_neighbors:
        read = [Example(made.tokenizer(eg.reference.text), eg.reference) for eg in examples]
        fit_knn(made, read, progress=progress)
    component_of(made).calibration = pipe.calibration
    made.meta[TRAINED_ON_DEV] = len(dev)
    made.meta["performance"] = {}
    return made


def _check(nlp: Language, pipe: BtlKnnNer, dev: Sequence[Example]) -> None:
    """Raise ValueError if a pipeline cannot be trained once more as it was."""
    if not dev:
        raise ValueError("there are no dev documents to train on")
    if pipe.state.calibrated_for != pipe.decision or pipe.state.updates < 2:
        raise ValueError(
            "dev has not chosen yet: give a trained pipeline as fit-knn --dev writes it, with its "
            "present settings"
        )
    if nlp.meta.get(TRAINED_ON_DEV):
        raise ValueError("the pipeline was trained on dev already: give the one of fit-knn --dev")
    if pipe.state.added_labels:
        raise ValueError(
            f"only neighbors know {', '.join(pipe.state.added_labels)}: give the pipeline as it "
            "was before add-examples"
        )
    if "start" in nlp.config.get("paths", {}):
        raise ValueError(
            "the pipeline began with another one, whose path it does not keep: train it with "
            "spacy train on a DocBin of both parts"
        )
