"""``python -m spacy btl``: the commands of the package, which spaCy adds to its command line.

A command parses its options, calls documented functions of the package, and prints.
"""

from spacy.cli._util import app as spacy_app

from . import (  # noqa: F401  # they add their commands
    annotate,
    curation,
    data,
    evaluate,
    neighbors,
    package,
    sources,
)
from .app import app

spacy_app.add_typer(app)

__all__ = ["app"]
