"""The reader ``spacy-btl.JointCorpus.v1``: several DocBins as one training corpus.

One pass reads every document at least once, those of small corpora several times (`sampling`), and
spreads the corpora evenly. ``spacy train`` reads one pass and shuffles it in every epoch; with
``max_epochs = -1`` it reads a pass an epoch, in this order.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Corpus, Example

from ..data.gold import GOLD_KEY, gold_of
from ..data.label_sets import CORPUS_KEY, label_set_of, set_label_set
from ..util.checks import between, one_of, whole_number
from ..util.messages import warn
from .agreement import annotated_spans, compare_names
from .sampling import interleaved, repeated, repetitions

Rows = Literal["type", "corpus"]
LabelSets = Literal["own", "all"]
Paths: TypeAlias = str | Mapping[str, str | None]


class JointCorpus:
    """Reads several DocBins as one training corpus.

    Args:
        paths: The DocBin of each corpus, by the name of the corpus. A folder, in the table or
            instead of it, means all corpora in it: each a folder with ``PART.spacy``, as
            ``convert`` writes it.
        part: Name of the DocBins in folders.
        smoothing: The share of a corpus is proportional to its number of words to this power: 1
            for the shares that they have, 0 for equal ones.
        seed: Draws the documents that a pass reads once more than others.
        rows: "type": types of one name share a row of the head. "corpus": TYPE is CORPUS:TYPE, and
            a document annotates types of its own corpus only.
        label_sets: Types that a document without a label set annotates. "own": those that occur in
            its corpus; all others are unknown in it. "all": all types of all corpora.
        limits: The most documents of a corpus that are read, the first ones; all by default.

    Raises:
        ValueError: If a setting is out of its range, or a name or file is missing.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        part: str = "train",
        smoothing: float = 0.5,
        seed: int = 0,
        rows: Rows = "type",
        label_sets: LabelSets = "own",
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self.paths = _found(paths, part)
        self.smoothing = between("smoothing", smoothing, 0, 1)
        self.seed = whole_number("seed", seed, 0)
        self.rows: Rows = one_of("rows", rows, get_args(Rows))
        self.label_sets: LabelSets = one_of("label_sets", label_sets, get_args(LabelSets))
        self.limits = dict(limits or {})
        if unknown := [name for name in self.limits if name not in self.paths]:
            raise ValueError(
                f"limits names {', '.join(unknown)}, which is not among the corpora: "
                f"{', '.join(self.paths)}"
            )
        for name, limit in self.limits.items():
            whole_number(f"limits of {name}", limit, 1)
        self._n_passes = 0

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Yield the examples of one pass.

        Raises:
            ValueError: If a corpus has no document, or none with an entity where types are needed.
        """
        corpora = {name: self._read(name, nlp) for name in self.paths}
        if not self._n_passes and self.rows == "type":
            self._warn_of_names(corpora)
        rng = np.random.default_rng([self.seed, self._n_passes])
        self._n_passes += 1
        sizes = {name: sum(len(eg.reference) for eg in each) for name, each in corpora.items()}
        times = repetitions(sizes, self.smoothing)
        every = list(corpora.values())
        indices = [repeated(len(each), times[name], rng).tolist() for name, each in corpora.items()]
        for corpus, item in interleaved([len(each) for each in indices]):
            example = every[corpus][indices[corpus][item]]
            is_first = item < len(every[corpus])
            predicted = example.predicted if is_first else example.predicted.copy()
            yield Example(predicted, example.reference)

    def _read(self, name: str, nlp: Language) -> list[Example]:
        """Return the examples of a corpus as spaCy's own reader does, each with its label set."""
        examples = list(Corpus(self.paths[name])(nlp))
        if not examples:
            raise ValueError(f"the corpus {name} ({self.paths[name]}) has no document with a token")
        docs = [example.reference for example in examples]
        types = {span.label_ for doc in docs for span in annotated_spans(doc)}
        needs_types = self.label_sets == "own" or self.rows == "corpus"
        if needs_types and not types and any(label_set_of(doc) is None for doc in docs):
            raise ValueError(
                f"the corpus {name} ({self.paths[name]}) has no entity and no label set, so that "
                "nothing is known of the types that it annotates; leave it out, or convert it "
                "with the types that it annotates (python -m spacy btl convert --labels)"
            )
        examples = examples[: self.limits.get(name)]
        for example in examples:
            doc = example.reference
            doc.user_data[CORPUS_KEY] = name
            own = label_set_of(doc)
            if own is None and needs_types:
                own = frozenset(types)
            if self.rows == "corpus" and own is not None:
                _rename(doc, name)
                own = frozenset(f"{name}:{label}" for label in own)
            set_label_set(doc, own)
        return examples

    def _warn_of_names(self, corpora: Mapping[str, list[Example]]) -> None:
        """Warn of types whose name the corpora use for different things."""
        if len(corpora) < 2:
            return
        references = {name: [eg.reference for eg in each] for name, each in corpora.items()}
        doubtful = [each for each in compare_names(references) if each.is_doubtful]
        if doubtful:
            listed = "\n".join(f"  {each}" for each in doubtful)
            warn(
                "corpora may use one name for different things. Keep such types apart (rename one "
                'when it is converted, --map) or all of them (rows = "corpus"):\n' + listed
            )


def _found(paths: Paths, part: str) -> dict[str, Path]:
    """Return the DocBins by the name of their corpus; ValueError for one that is missing."""
    if isinstance(paths, str):
        return _in_folder(paths, part)
    found: dict[str, Path] = {}
    for name, path in paths.items():
        if path and Path(path).is_dir():
            members = _in_folder(path, part)
        elif path and Path(path).is_file():
            members = {name: Path(path)}
        else:
            raise ValueError(
                f"there is no DocBin for the corpus {name}: {path or 'no path is given'}; "
                "python -m spacy btl convert writes one"
            )
        if twice := found.keys() & members.keys():
            raise ValueError(
                f"these names are used for more than one corpus: {', '.join(sorted(twice))}"
            )
        found.update(members)
    if not found:
        raise ValueError("no corpus is given: paths needs a name and a DocBin for each")
    return found


def _in_folder(folder: str, part: str) -> dict[str, Path]:
    """Return the DocBins of a folder of corpora; ValueError if there is none."""
    found = {path.parent.name: path for path in sorted(Path(folder).glob(f"*/{part}.spacy"))}
    if not folder or not found:
        raise ValueError(
            f'there is no corpus in the folder "{folder}": each needs a folder, with '
            f"{part}.spacy in it (python -m spacy btl convert-sources)"
        )
    return found


def _rename(doc: Doc, corpus: str) -> None:
    """Put the name of the corpus before the types of all entities of a document."""

    def renamed(span: Span) -> Span:
        label = f"{corpus}:{span.label_}"
        return Span(doc, span.start, span.end, label, kb_id=span.kb_id, span_id=span.id)

    doc.set_ents([renamed(span) for span in doc.ents], default="unmodified")
    for key in list(doc.spans):
        doc.spans[key] = [renamed(span) for span in doc.spans[key]]
    if (gold := gold_of(doc)) is not None:
        named = [{**each, "label": f"{corpus}:{each['label']}"} for each in gold["entities"]]
        doc.user_data[GOLD_KEY] = {**gold, "entities": named}
        if "lost" in gold:
            lost = [f"{corpus}:{label}" for label in gold["lost"]]
            doc.user_data[GOLD_KEY]["lost"] = lost
