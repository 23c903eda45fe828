"""Annotation batch by batch, in which a document that fails does not take its batch along."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from spacy import util
from spacy.tokens import Doc

from .entities import Found


class Annotator(Protocol):
    """What is asked of the component."""

    name: str

    def predict(self, docs: Sequence[Doc]) -> Any:
        """Label probabilities of each document."""

    def find(self, docs: Sequence[Doc], probabilities: Any) -> list[Found]:
        """Entities of each document, which stays as it is."""

    def write(self, doc: Doc, found: Found) -> None:
        """Write entities into a document."""

    def get_error_handler(self) -> Callable[..., Any]:
        """What is called with the component's name, the component, documents and an exception."""


def annotated(pipe: Annotator, docs: Sequence[Doc]) -> Iterator[Doc]:
    """The documents with their entities; those that fail go to the error handler and are left out.

    Unlike spaCy's own components, which give up the whole batch, those of a batch that fails are
    tried one by one, unless the handler is spaCy's default, which raises.
    """
    handle = pipe.get_error_handler()
    try:
        found = pipe.find(docs, pipe.predict(docs))
    except Exception as error:
        if len(docs) == 1 or handle is util.raise_error:
            handle(pipe.name, pipe, list(docs), error)
            return
        for doc in docs:
            yield from annotated(pipe, [doc])
        return
    for doc, entities in zip(docs, found, strict=True):
        try:
            pipe.write(doc, entities)
        except Exception as error:
            handle(pipe.name, pipe, [doc], error)
        else:
            yield doc
