"""Begin a training with the weights of a trained pipeline: its encoder, its head type by type.

The setting is `StartFrom`, a block of ``[initialize.components.NAME]``. The trained pipeline is
read once, when the component is initialized, and then removed from the configuration: what is saved
later needs no start, and names none.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import is_package

from ..data.label_sets import corpus_of
from ..labels.bio import n_columns
from ..ml.shared_encoder import encoder_of
from ..ml.token_classifier import take_columns
from ..ml.weights import weights_fingerprint
from ..training.losses import TokenLoss
from ..util.arrays import Ints1d
from ..util.checks import one_of
from ..util.files import restore_folder
from ..util.seal import CONFIG, check_seal

Unseen = Literal["keep", "drop"]

SETTING = "start_from"
"""The name of the setting in ``[initialize.components.NAME]``."""

STAGES = "trained_on"
"""The key in the meta of a pipeline for the corpora of each stage of its training: their names,
with the number of documents of each. A stage whose documents name no corpus is left out."""

_VARIABLE = re.compile(r"\$\{([\w.:-]+)\}")


class StartFrom:
    """Trained pipeline that a training begins with.

    It is for ``[initialize.components.NAME] start_from``.

    Args:
        path: Folder of a trained pipeline, or the name of one that is installed.
        component: Name of the component there; None if there is only one btl_knn_ner.
        unseen: For types that the trained pipeline knows and no training document has:
            "keep" keeps them as they are; "drop" forgets them.
        corpus: A corpus of a joint training with rows by corpus (`spacy-btl.JointCorpus.v1`): its
            rows ``CORPUS:TYPE`` are taken for TYPE. None for rows of the same names.

    Raises:
        ValueError: If there is no such pipeline, or a setting is out of its range.
    """

    def __init__(
        self,
        path: str | None,
        *,
        component: str | None = None,
        unseen: Unseen = "keep",
        corpus: str | None = None,
    ) -> None:
        if not path:
            raise ValueError(
                f"{SETTING} names no trained pipeline: give the path of its folder or the name of "
                "its package (with a config that has [paths] start: --paths.start FOLDER), or "
                f"leave the block {SETTING} out to train from nothing"
            )
        folder = Path(path)
        restore_folder(folder)
        if not (folder / CONFIG).is_file() and not is_package(str(path)):
            raise ValueError(
                f"{SETTING}: {path} is neither the folder of a trained pipeline nor an installed "
                "package. Train it first (spacy train writes OUTPUT/model-best), correct the "
                f"path, or leave the block {SETTING} out to train from nothing"
            )
        self.path = str(path)
        self.component = component
        self.unseen: Unseen = one_of("unseen", unseen, get_args(Unseen))
        self.corpus = corpus

    def load(self) -> Language:
        """Return the trained pipeline; raise ValueError if a file of it has changed."""
        if (folder := Path(self.path)).is_dir():
            check_seal(folder)
        return spacy.load(self.path)

    def labels(self, known: Sequence[str], own: Sequence[str]) -> list[str]:
        """Return the types of the new head: known ones in their order, then new ones in theirs.

        Args:
            known: Types of the trained head.
            own: Types of the training documents.
        """
        kept = list(dict.fromkeys(label.removeprefix(self._prefix) for label in known))
        if self.unseen == "drop":
            kept = [label for label in kept if label in own]
        return list(dict.fromkeys([*kept, *own]))

    def columns(self, known: Sequence[str], labels: Sequence[str]) -> Ints1d:
        """Return the column of the trained head for each column of the new one, -1 for a new one.

        Args:
            known: Types of the trained head.
            labels: Types of the new head.
        """
        columns = [0]
        for label in labels:
            names = [name for name in (self._prefix + label, label) if name in known]
            first = n_columns(known.index(names[0])) if names else None
            columns += [-1, -1] if first is None else [first, first + 1]
        return np.array(columns, dtype=np.int64)

    @property
    def _prefix(self) -> str:
        return f"{self.corpus}:" if self.corpus else ""


class Component(Protocol):
    """A component, as far as a start reads or changes it."""

    name: Any  # a descriptor in spaCy
    model: Any
    loss: TokenLoss

    @property
    def label_data(self) -> list[str]:
        """Entity types of the head."""


class Start:
    """A start whose pipeline is loaded, or a training from nothing.

    Args:
        setting: What is taken; None for nothing.
        nlp: The trained pipeline.
        source: Its component, whose encoder is handed over and not copied.
    """

    def __init__(
        self,
        setting: StartFrom | None = None,
        nlp: Language | None = None,
        source: Component | None = None,
    ) -> None:
        self.setting, self.nlp, self.source = setting, nlp, source
        self._documents: dict[str, set[int]] = {}

    def noting(self, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield examples, and note which corpora they are of, for `STAGES`."""
        references = []  # kept, so that no other document gets the id of one
        for example in examples:
            if name := corpus_of(example.reference):
                references.append(example.reference)
                self._documents.setdefault(name, set()).add(id(example.reference))
            yield example

    def _name_corpora(self, nlp: Language | None) -> None:
        """Write the corpora of the trained pipeline, and those noted, into the meta of another."""
        stages = list(self.nlp.meta.get(STAGES, [])) if self.nlp is not None else []
        if self._documents:
            stages.append({name: len(own) for name, own in self._documents.items()})
        if nlp is not None and stages:
            nlp.meta[STAGES] = stages

    def labels(self, own: Sequence[str]) -> Sequence[str]:
        """Return the types of a head; see `StartFrom.labels`."""
        if self.setting is None or self.source is None:
            return own
        return self.setting.labels(self.source.label_data, own)

    def kept(self, seen: Collection[str]) -> frozenset[str]:
        """Return the types that are kept though no training document has them."""
        return frozenset(self.labels([])).difference(seen)

    def initialize(
        self, target: Component, nlp: Language | None, initialize: Callable[[], object]
    ) -> None:
        """Initialize a component, and let it take over what the start has for it.

        Args:
            target: The component, whose labels and loss are set already.
            nlp: Its pipeline, whose configuration names no start afterwards.
            initialize: Initializes its model.

        Raises:
            ValueError: If the encoders or heads have other shapes, or if the target's encoder
                belongs to a component that is not trained here, with other weights.
        """
        self._name_corpora(nlp)
        setting, source = self.setting, self.source
        if setting is None or source is None:
            initialize()
            return
        # Imports transformers, which no pipeline without an encoder needs.
        from .handover import copy_weights, differences_of, hand_over_equals, listed

        where = f'{SETTING}: "{setting.path}" does not fit "{target.name}"'
        theirs, _ = encoder_of(self.nlp, source.model, source.name)
        ours, shared_by = encoder_of(nlp, target.model, target.name)
        hand_over_equals(ours, theirs)
        initialize()
        if differences := differences_of(ours, theirs):
            raise ValueError(
                f"{where}, since its encoder has a different shape: {listed(differences)}. Name "
                "the encoder and its settings as in the config.cfg of the start"
            )
        if shared_by is None or nlp is None or shared_by in nlp.pipe_names:
            copy_weights(ours, theirs)
        elif weights_fingerprint(ours) != weights_fingerprint(theirs):
            raise ValueError(
                f'{where}: "{shared_by}", whose token vectors it takes, is frozen or comes from '
                "another pipeline, with other weights than those of the start; give it "
                f'source = "{setting.path}"'
            )
        columns = setting.columns(source.label_data, target.label_data)
        try:
            take_columns(target.model, source.model, columns)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        target.loss.take_columns(source.loss, columns)
        forget_start(nlp, target.name)


def load_start(
    setting: StartFrom | None, find: Callable[[Language, str | None], Component]
) -> Start:
    """Return the start of a setting, loaded.

    Args:
        setting: None for a training from nothing.
        find: Returns the component of a pipeline by its name, or the only one.
    """
    if setting is None:
        return Start()
    nlp = setting.load()
    return Start(setting, nlp, find(nlp, setting.component))


def forget_start(nlp: Language | None, name: str) -> None:
    """Remove the start of a component from the configuration of its pipeline.

    A variable that names the path becomes null, so that no pipeline carries the path of a machine.

    Args:
        nlp: The pipeline, whose configuration is changed in place; None for nothing.
        name: Name of the component.
    """
    blocks: dict[str, Any] = {}
    if nlp is not None:
        blocks = nlp.config.get("initialize", {}).get("components") or {}
    if nlp is None or SETTING not in blocks.get(name, {}):
        return
    block = blocks[name].pop(SETTING)
    if not blocks[name]:
        del blocks[name]
    path = block.get("path") if isinstance(block, dict) else None
    if found := _VARIABLE.fullmatch(str(path)):
        *sections, key = re.split("[.:]", found[1])
        place: Any = nlp.config
        for section in sections:
            place = place.get(section, {})
        if key in place:
            place[key] = None
