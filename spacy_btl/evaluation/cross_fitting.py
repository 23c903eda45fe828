"""Keys for training tokens by models that have not seen them: cross-fitting by folds of documents.

A converged model is surer of its training tokens than of any others, so that their logits are no
fair neighbours for the tokens of unseen text. Here the pipeline is trained anew on all folds but
one, from its own configuration, and gives the keys of that one.
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.util import load_model_from_config, registry
from thinc.api import fix_random_seed
from tqdm import tqdm

from ..pipeline.component import BtlKnnNer, component_of
from ..pipeline.fitting import TokenKeys, collect_keys, distinct_documents, examples_for


def cross_fitted_keys(
    nlp: Language,
    pipe: BtlKnnNer,
    examples: Sequence[Example],
    *,
    n_folds: int,
    max_steps: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> TokenKeys:
    """Keys and gold labels of all tokens of the examples, each by a model trained without it.

    n_folds: number of trainings, each on ``1 - 1 / n_folds`` of the documents. max_steps: updates
    of each; 0 for what the configuration says, less the held-out share. Keys of different models
    are comparable as logits only. Raises ValueError for hidden states, fewer documents than folds,
    documents of one name that differ, a component that is frozen in training, and a pipeline whose
    configuration cannot be trained without a limit of updates.
    """
    if pipe.keys != "logits":
        raise ValueError(
            "cross-fitted keys must be logits: hidden states of different models are not comparable"
        )
    training = nlp.config.interpolate()["training"]
    if pipe.name in training["frozen_components"]:
        raise ValueError(
            f'"{pipe.name}" is among the frozen_components of [training]: no fold would train it'
        )
    examples = distinct_documents(pipe, examples, pipe.label_data)
    if not 2 <= n_folds <= len(examples):
        raise ValueError(f"{len(examples)} documents cannot be split into {n_folds} folds")
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    steps = max_steps or round(training["max_steps"] * (1 - 1 / n_folds))
    if steps < 1:
        raise ValueError("the configuration has no max_steps; give the updates of each fold")
    parts = []
    for fold in range(n_folds):
        held_out = set(order[fold::n_folds])
        rest = [example for i, example in enumerate(examples) if i not in held_out]
        title = f"fold {fold + 1} of {n_folds}" if progress else None
        trained = train_anew(nlp, pipe, rest, steps=steps, seed=seed, title=title)
        held = [examples[i] for i in sorted(held_out)]
        own = [Example(trained.make_doc(eg.reference.text), eg.reference) for eg in held]
        other = component_of(trained, pipe.name)
        own = examples_for(trained, other, own)
        parts.append(collect_keys(other, own, types=pipe.label_data))
    keys, gold, documents, offsets = zip(*parts, strict=True)
    return TokenKeys(
        np.concatenate(keys),
        np.concatenate(gold),
        [name for names in documents for name in names],
        np.concatenate(offsets),
    )


def train_anew(
    nlp: Language,
    pipe: BtlKnnNer,
    examples: Sequence[Example],
    *,
    steps: int,
    seed: int = 0,
    title: str | None = None,
) -> Language:
    """The pipeline of the same configuration, trained on these examples for so many updates.

    Frozen components are those of ``nlp``, as they are. All others start anew, also one that came
    with weights from another pipeline: which it came with, a saved pipeline does not know. title:
    of the progress bar; None for none.
    """
    fix_random_seed(seed)
    config = nlp.config.copy()
    config["training"].update(max_steps=steps, max_epochs=0, patience=0, eval_frequency=steps)
    # A fold may lack a rare type, which must have its columns all the same.
    config["initialize"]["components"].setdefault(pipe.name, {})["labels"] = pipe.label_data
    copy = load_model_from_config(config, auto_fill=True)
    settings = registry.resolve(config.interpolate()["training"], schema=ConfigSchemaTraining)
    frozen, optimizer = settings["frozen_components"], settings["optimizer"]
    for string in nlp.vocab.strings if frozen else ():
        copy.vocab.strings.add(string)
    for name in frozen:
        theirs: Any = nlp.get_pipe(name)
        ours: Any = copy.get_pipe(name)
        if hasattr(theirs, "to_bytes"):
            ours.from_bytes(theirs.to_bytes(exclude=["vocab"]), exclude=["vocab"])

    def corpus(reader: Language) -> list[Example]:
        return [Example(reader.make_doc(eg.reference.text), eg.reference) for eg in examples]

    copy._link_components()  # while shared encoders that are frozen can be found
    with copy.select_pipes(disable=frozen):
        copy.initialize(lambda: corpus(copy), sgd=optimizer)
    batches = create_train_batches(copy, corpus, settings["batcher"], 0)
    # The last checkpoint is taken, so nothing is evaluated.
    loop = train_while_improving(
        copy,
        optimizer,
        batches,
        lambda: (0.0, {}),
        dropout=settings["dropout"],
        eval_frequency=steps,
        accumulate_gradient=settings["accumulate_gradient"],
        patience=0,
        max_steps=steps,
        exclude=frozen,
        annotating_components=settings["annotating_components"],
        before_update=settings["before_update"],
    )
    for _ in tqdm(loop, desc=title, unit=" updates", total=steps, disable=title is None):
        pass
    if optimizer.averages:
        with copy.use_params(optimizer.averages):
            averaged = copy.to_bytes()
        copy.from_bytes(averaged)  # outside, as the end of the block puts the last weights back
    return copy
