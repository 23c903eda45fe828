"""One pipeline of several trained ones: an ensemble of them.

An ensemble reads each document with every member and averages their label probabilities. All that
follows, from the best label sequence to neighbors and calibration, is done once, on the average.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from spacy.language import Language

from ..evaluation.evaluate import TRAINED_ON_DEV
from ..labels.bio import OUTSIDE, Averaging, n_columns
from ..ml.shared_encoder import has_listener
from ..ml.token_classifier import check_parts, fill_ensemble
from ..pipeline.component import BtlKnnNer, component_of
from ..pipeline.state import ComponentState
from ..pipeline.workflow import current_config
from ..util.arrays import Ints1d
from .saving import made_anew

ARCHITECTURE = "spacy-btl.Ensemble.v1"


def make_ensemble(pipelines: Sequence[Language]) -> Language:
    """Return a new pipeline that averages trained ones; these stay as they are.

    The first one gives all that is not averaged: tokenizer, other components, settings, the order
    of the labels. The result has no neighbors and no calibration: those of the members belong to
    their own weights. `spacy_btl.fit_knn` with dev documents makes new ones, and
    `spacy_btl.save_pipeline` saves it.

    Args:
        pipelines: Two or more, each with one component ``btl_knn_ner``.

    Raises:
        ValueError: If there are fewer than two, their labels, tokens or the way their logits are
            read differ, a model is not an encoder with one linear layer, or it takes the vectors of
            a shared encoder.
    """
    if len(pipelines) < 2:
        raise ValueError(f"an ensemble is of two pipelines or more, not of {len(pipelines)}")
    pipes = [component_of(nlp) for nlp in pipelines]
    for number, (nlp, pipe) in enumerate(zip(pipelines, pipes, strict=True), 1):
        _check_member(pipe, number)
        _check_alike(pipelines[0], pipes[0], nlp, pipe, number)
    averaging, columns = _averaging(pipes), [_columns(pipe, pipes[0]) for pipe in pipes]
    name, config = pipes[0].name, current_config(pipelines[0])
    config["components"][name]["model"] = _block(pipelines, pipes, averaging)
    made = made_anew(pipelines[0], config, exclude=[name])
    sources = [(pipe.model, own) for pipe, own in zip(pipes, columns, strict=True)]
    fill_ensemble(component_of(made).model, sources)
    pipe = component_of(made)
    pipe.forget_neighbors()
    pipe.state = ComponentState(pipes[0].label_data, updates=sum(p.state.updates for p in pipes))
    pipe.loss.set_state(_mean_state(pipes, columns))
    made.meta["description"] = (
        f"The averaged label probabilities of {len(pipes)} trained pipelines."
    )
    made.meta["performance"] = {}  # the scores of the first
    made.meta.pop("model_card", None)
    if n_dev := max(nlp.meta.get(TRAINED_ON_DEV, 0) for nlp in pipelines):
        made.meta[TRAINED_ON_DEV] = n_dev
    return made


def _check_member(pipe: BtlKnnNer, number: int) -> None:
    """Raise ValueError if the model of a pipeline cannot be averaged with others."""
    where = f"pipeline {number}"
    check_parts(pipe.model, where)
    if not pipe.model.get_ref("output_layer").has_param("W"):
        raise ValueError(f"{where} is not trained")
    if has_listener(pipe.model):
        raise ValueError(
            f"{where} takes the token vectors of a shared encoder; give it a copy of its own: "
            f'nlp.replace_listeners("NAME OF THE ENCODER", "{pipe.name}", ["model.tok2vec"])'
        )


def _check_alike(
    first: Language, its_pipe: BtlKnnNer, nlp: Language, pipe: BtlKnnNer, number: int
) -> None:
    """Raise ValueError if a pipeline has other labels or other tokens than the first one."""
    known, labels = set(its_pipe.label_data), set(pipe.label_data)
    faults = [
        f"{title} {', '.join(sorted(names))}"
        for title, names in (("lacks", known - labels), ("has besides", labels - known))
        if names
    ]
    if faults:
        raise ValueError(
            f"pipeline {number} has other labels than the first one: it {' and '.join(faults)}. "
            "Only pipelines with the same labels, in any order, can be averaged"
        )
    if pipe.spans_key != its_pipe.spans_key:
        raise ValueError(
            f"pipeline {number} has spans_key {pipe.spans_key!r}, and the first one "
            f"{its_pipe.spans_key!r}: entities that overlap and such that do not have other labels"
        )
    for part, content in _read_by_models(first).items():
        if _read_by_models(nlp)[part] != content:
            raise ValueError(
                f"pipeline {number} has {part} than the first one, which reads the documents for "
                "all of them. Train it with the same settings [nlp] and [initialize]"
            )


def _read_by_models(nlp: Language) -> dict[str, object]:
    """Return what decides on the tokens that a model reads, and on their attributes."""
    tokenizer: Any = nlp.tokenizer
    return {
        "another language": nlp.lang,
        "another tokenizer": tokenizer.to_bytes(exclude=["vocab"]),
        "other word vectors": nlp.vocab.vectors.to_bytes() if len(nlp.vocab.vectors) else b"",
        "other lookup tables": nlp.vocab.lookups.to_bytes(),
    }


def _averaging(pipes: Sequence[BtlKnnNer]) -> Averaging:
    """Return how the losses read logits; ValueError if they differ or do not give probabilities."""
    ways = [pipe.loss.averaging(layered=pipe.spans_key is not None) for pipe in pipes]
    names = [type(pipe.loss).__name__ for pipe in pipes]
    for way, name in zip(ways, names, strict=True):
        if way is None:
            raise ValueError(
                f"what logits mean under {name} differs from training to training, so that they "
                "cannot be averaged"
            )
        if way != ways[0]:
            raise ValueError(
                f"{names[0]} and {name} (or their tau) read logits in different ways, so that one "
                "model cannot stand for both: train with the same loss"
            )
    assert ways[0] is not None
    return ways[0]


def _columns(pipe: BtlKnnNer, first: BtlKnnNer) -> Ints1d:
    """Return the column of a head for each column of the first one's."""
    index = {label: n_columns(i) for i, label in enumerate(pipe.label_data)}
    pairs = [(index[label], index[label] + 1) for label in first.label_data]
    return np.array([OUTSIDE, *(column for pair in pairs for column in pair)], dtype=np.int64)


def _block(
    pipelines: Sequence[Language], pipes: Sequence[BtlKnnNer], averaging: Averaging
) -> dict[str, Any]:
    """Return the block of an ensemble's model, with those of its members."""
    members = {
        f"member_{number}": nlp.config.interpolate()["components"][pipe.name]["model"]
        for number, (nlp, pipe) in enumerate(zip(pipelines, pipes, strict=True), 1)
    }
    return {"@architectures": ARCHITECTURE, "averaging": averaging, "*": members}


def _mean_state(pipes: Sequence[BtlKnnNer], columns: Sequence[Ints1d]) -> Mapping[str, object]:
    """Return the mean of the losses' parameters; class weights and priors are the first one's."""
    states: list[dict[str, Any]] = []
    for pipe, own in zip(pipes, columns, strict=True):
        loss = deepcopy(pipes[0].loss)
        loss.take_columns(pipe.loss, own)
        states.append(loss.get_state())
    return {
        name: None if value is None else np.mean([state[name] for state in states], axis=0).tolist()
        for name, value in states[0].items()
    }
