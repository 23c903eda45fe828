"""Save pipelines whole, sealed and without the words of their training texts; load them again.

spaCy's vocabulary keeps every string that it has met and saves them with the pipeline, so that a
model trained on patient reports would contain all their words, names among them.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import spacy
from packaging.requirements import Requirement
from spacy.language import Language
from spacy.util import get_minor_version_range, import_file, load_model_from_config
from thinc.api import Config

from ..pipeline.workflow import current_config
from ..util.checks import python_file
from ..util.files import check_apart, replacing_folder, restore_folder
from ..util.seal import CONFIG, check_seal, write_seal


def save_pipeline(nlp: Language, out_dir: Path) -> None:
    """Write a pipeline and its seal as a folder, without the words of its training texts.

    A pipeline that is there is replaced as a whole, and stays if anything fails.

    Args:
        nlp: The pipeline.
        out_dir: A folder that is new, empty or that of a pipeline.

    Raises:
        ValueError: If the folder contains something else.
        OSError: If it cannot be written, see `util.files.replace_folder`.
    """
    check_target(out_dir)
    with replacing_folder(out_dir) as new:
        without_training_texts(nlp).to_disk(new)
        write_seal(new)


def check_target(out_dir: Path, *inputs: Path | str | None) -> None:
    """Raise what `save_pipeline` would raise, before hours of work instead of after them.

    Args:
        out_dir: The folder to write to.
        inputs: Pipelines and files that are read. None of them may be lost with what was in the
            folder, or get another pipeline in it.

    Raises:
        ValueError: If the folder contains something else than a pipeline, is an input, or is in
            one.
    """
    if out_dir.is_file():
        raise ValueError(f"{out_dir} is a file; name a folder")
    check_apart(out_dir, inputs)
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / CONFIG).is_file():
        raise ValueError(f"{out_dir} has files, but no pipeline; name another folder")


def load_pipeline(model: Path) -> Language:
    """Return the pipeline in a folder, whose seal is checked before any of its files is read.

    With ``spacy.load``, the component checks the seal too, but after spaCy's own files, which may
    fail with any error.

    Args:
        model: Folder of a pipeline, or name of an installed package.

    Raises:
        ValueError: If a file of a sealed pipeline has changed; the text names it. If a component is
            not registered, see `run_code`.
        OSError: If there is no pipeline.
    """
    restore_folder(model)
    check_seal(model)
    try:
        return spacy.load(model)
    except ValueError as error:
        if "[E002]" not in str(error):  # spaCy's number for a factory that it does not find
            raise
        why = str(error).partition(" for language")[0]
        raise ValueError(
            f"{model}: {why}. Write a Python file that imports the package of this component, "
            "and name it with --code (from Python, import it first, or give the setting code)"
        ) from error


def run_code(path: Path) -> None:
    """Run a Python file that registers components or functions of a pipeline, before it is loaded.

    Args:
        path: The file.

    Raises:
        ValueError: If it is not Python, or if it fails.
        FileNotFoundError: If there is no such file.
    """
    python_file(path)
    try:
        import_file("spacy_btl_user_code", path)
    except Exception as error:  # the code may raise anything
        raise ValueError(f"{path} fails: {type(error).__name__}: {error}") from error


def without_training_texts(nlp: Language) -> Language:
    """Return a copy of a pipeline without the strings that its vocabulary has met.

    The strings of its language, labels and vectors stay, as do lookup tables. The copy is made
    anew from the configuration and takes over everything else. Texts that it reads later bring
    their own strings with them, as in any pipeline. A model card is left out: it was made for the
    pipeline as it was. The range of spaCy's versions is that of `with_spacy_range`.
    """
    copy = made_anew(nlp, current_config(nlp))  # its settings may have changed
    copy.meta.pop("model_card", None)
    copy.meta.update(with_spacy_range(copy.meta))
    return copy


def made_anew(nlp: Language, config: Config, *, exclude: Sequence[str] = ()) -> Language:
    """Return a pipeline of a configuration with the weights of another, without its strings.

    Args:
        nlp: The pipeline whose vectors, lookup tables, tokenizer and components are taken over.
        config: A configuration with the same components.
        exclude: Components that stay as the configuration makes them.
    """
    copy = load_model_from_config(config, meta=nlp.meta, auto_fill=False, validate=False)
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
    left_out = ["vocab", *exclude]
    copy.from_bytes(nlp.to_bytes(exclude=left_out), exclude=left_out)
    return copy


def with_spacy_range(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta of a pipeline with the versions of spaCy that this package is tested with.

    spaCy itself writes the version that a pipeline was made with as the lowest one, so that its
    wheel could not be installed beside a package that needs an earlier one. Another range, which
    somebody has chosen, stays.
    """
    made_with = get_minor_version_range(metadata.version("spacy"))
    if meta.get("spacy_version", made_with) != made_with:
        return dict(meta)
    return {**meta, "spacy_version": tested_range("spacy") or made_with}


def tested_range(dependency: str) -> str:
    """Return the versions of a dependency that this package admits, "" if it is not installed."""
    try:
        lines = metadata.requires("spacy-btl") or []
    except metadata.PackageNotFoundError:
        return ""
    ranges = (each.specifier for each in map(Requirement, lines) if each.name == dependency)
    return ",".join(sorted(map(str, next(ranges, ())), reverse=True))


def make_without_training_texts() -> Callable[[Language], Language]:
    """Return a callback that saves no word of the training texts with the vocabulary.

    It is for ``[training] before_to_disk``. There are no settings.
    """
    return without_training_texts
