"""A pipeline without the words of its training texts.

spaCy's vocabulary keeps every string it has met, and saves them with the pipeline, so that a model
trained on patient reports carries all their words, names among them.
"""

from collections.abc import Callable
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.util import load_model_from_config

from ..util.files import replacing_folder, restore_folder
from ..util.seal import check_seal, write_seal


def save_pipeline(nlp: Language, out_dir: Path) -> None:
    """Write a pipeline and its seal as this folder, without the words of its training texts.

    A pipeline that is there is replaced as a whole: no component of before stays behind. Raises
    ValueError where the folder holds something else.
    """
    check_target(out_dir)
    with replacing_folder(out_dir) as new:
        without_training_texts(nlp).to_disk(new)
        write_seal(new)


def check_target(out_dir: Path) -> None:
    """Raise ValueError where `save_pipeline` would: before hours of work, rather than after."""
    if out_dir.is_file():
        raise ValueError(f"{out_dir} is a file; name a folder")
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "config.cfg").is_file():
        raise ValueError(f"{out_dir} holds files, but no pipeline; name another folder")


def load_pipeline(model: Path) -> Language:
    """Load a pipeline. Raises ValueError, with the file's name, where a sealed one has changed.

    ``spacy.load`` alone meets the seal after spaCy's own files, with whatever error these give.
    """
    restore_folder(model)
    check_seal(model)
    return spacy.load(model)


# --- from privacy


def without_training_texts(nlp: Language) -> Language:
    """A copy of the pipeline without the strings that its vocabulary has met.

    Those of its language, labels and vectors stay, and so do lookup tables. The copy is made anew
    from the configuration and takes over everything else. Texts that it reads later bring their own
    strings with them, as in any pipeline. A model card is left out: what is saved anew is not what
    the card was made for.
    """
    copy = load_model_from_config(nlp.config, meta=nlp.meta, auto_fill=False, validate=False)
    for labels in nlp.pipe_labels.values():
        for label in labels:
            copy.vocab.strings.add(label)
    if nlp.vocab.vectors.shape[0]:
        for key in nlp.vocab.vectors:
            copy.vocab.strings.add(nlp.vocab.strings[key])
        copy.vocab.vectors = nlp.vocab.vectors
    # The lookups, whose norms are what a model may read; not the strings.
    kept = nlp.vocab.to_bytes(exclude=["strings", "vectors"])
    copy.vocab.from_bytes(kept, exclude=["strings", "vectors"])
    copy.from_bytes(nlp.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    copy.meta.pop("model_card", None)
    return copy


def make_without_training_texts() -> Callable[[Language], Language]:
    """The registered form of `without_training_texts`, for ``[training.before_to_disk]``."""
    return without_training_texts
