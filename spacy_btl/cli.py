"""``python -m spacy btl``: hangs the commands of the package on spaCy's command line."""

from spacy.cli._util import app as spacy_app

from . import commands_data, commands_model  # noqa: F401  (importing them adds their commands)
from .commands import app

spacy_app.add_typer(app)
