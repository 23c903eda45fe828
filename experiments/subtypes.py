"""Any number of types, made from those of a corpus, to find the limits of a method.

Fewer than there are: the two rarest become one, again and again. More: the most frequent is cut in
two, again and again, by the last word of its mentions (in "acute chest pain" that is "pain"): the
words are ordered by a hash and cut where half of the mentions are. So the types of a smaller number
are unions of those of a greater one, and get more even as they get more.

Mentions that end alike stay together, as in a finer scheme of a real annotation; which endings go
together has no meaning and must be learnt by heart. An ending that is not in the training documents
can be recognized as of the original type, but its part cannot. A cut at random by mention
could not be learnt at all, one by the whole mention only where the very same one was trained on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256

from spacy.tokens import Doc, Span, SpanGroup

from spacy_btl.data.gold import GOLD_KEY

Ending = tuple[str, str]
"""Original type of a mention, and its last word."""


def relabel(docs: Iterable[Doc], n_types: int) -> None:
    """Give the entities of converted documents new types, in place: ents, spans and gold."""
    docs = list(docs)
    new = make_types(Counter(ending for doc in docs for ending in endings(doc).values()), n_types)
    for doc in docs:
        of_id = {record: new[ending] for record, ending in endings(doc).items()}

        def renamed(span: Span, of_id: Mapping[str, str] = of_id) -> Span:
            return Span(span.doc, span.start, span.end, of_id[span.id_], span_id=span.id_)

        doc.set_ents([renamed(ent) for ent in doc.ents])
        for name, group in list(doc.spans.items()):
            doc.spans[name] = SpanGroup(doc, name=name, spans=[renamed(span) for span in group])
        for entity in doc.user_data[GOLD_KEY]["entities"]:
            entity["label"] = of_id[entity["id"]]


def endings(doc: Doc) -> dict[str, Ending]:
    """Return the type and lower-case last word of each entity of a document, by its id."""
    return {
        entity["id"]: (entity["label"], _last_word(doc.text, entity["fragments"]))
        for entity in doc.user_data[GOLD_KEY]["entities"]
    }


def make_types(mentions: Mapping[Ending, int], n_types: int) -> dict[Ending, str]:
    """Return the new type of each ending, by how often it occurs.

    Merged types are named for the more frequent of the two, with a ``+``; cut types for the
    whole, with a digit for each cut. Raises ValueError where the endings do not suffice.
    """
    types: dict[str, Counter[Ending]] = {}
    for ending, count in sorted(mentions.items()):
        types.setdefault(ending[0], Counter())[ending] = count
    while len(types) > n_types:
        second, first = sorted(types, key=lambda name: (types[name].total(), name))[:2]
        types[first.rstrip("+") + "+"] = types.pop(first) + types.pop(second)
    while len(types) < n_types:
        divisible = [name for name in types if len(types[name]) > 1]
        if not divisible:
            raise ValueError(
                f"the corpus has endings for {len(types)} types, not for {n_types}; ask for fewer"
            )
        name = max(divisible, key=lambda name: (types[name].total(), name))
        stem = name if "." in name else f"{name}."
        types[f"{stem}0"], types[f"{stem}1"] = _halves(types.pop(name))
    return {ending: name for name, members in types.items() for ending in members}


def _halves(members: Counter[Ending]) -> tuple[Counter[Ending], Counter[Ending]]:
    """Return two parts of about as many mentions, none of them empty."""
    ordered = sorted(members, key=lambda ending: sha256(repr(ending).encode()).digest())
    first: Counter[Ending] = Counter()
    for ending in ordered[:-1]:
        if first and first.total() + members[ending] / 2 > members.total() / 2:
            break
        first[ending] = members[ending]
    return first, members - first


def _last_word(text: str, fragments: Iterable[tuple[int, int]]) -> str:
    words = " ".join(text[start:end] for start, end in fragments).lower().split()
    return words[-1] if words else ""
