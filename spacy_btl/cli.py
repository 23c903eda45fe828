"""``python -m spacy btl``: hangs the commands of the package on spaCy's command line."""

from spacy.cli._util import app as spacy_app

# Importing them adds their commands.
from . import commands_annotate, commands_data, commands_model, commands_neighbors  # noqa: F401
from .commands import app

spacy_app.add_typer(app)
