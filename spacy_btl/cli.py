"""``python -m spacy btl``: hangs the commands of the package on spaCy's command line."""

from spacy.cli._util import app as spacy_app

# Importing them adds their commands.
from . import (  # noqa: F401
    commands_annotate,
    commands_data,
    commands_model,
    commands_neighbors,
    commands_package,
    commands_seal,
)
from .commands import app

spacy_app.add_typer(app)
