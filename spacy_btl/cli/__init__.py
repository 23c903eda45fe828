"""``python -m spacy btl``: hangs the commands of the package on spaCy's command line."""

from spacy.cli._util import app as spacy_app

# Importing them adds their commands.
from . import annotate as commands_annotate  # noqa: F401
from . import data as commands_data  # noqa: F401
from . import evaluate as commands_model  # noqa: F401
from . import neighbors as commands_neighbors  # noqa: F401
from . import package as commands_package  # noqa: F401
from . import seal as commands_seal  # noqa: F401
from .app import app

spacy_app.add_typer(app)
