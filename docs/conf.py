"""Sphinx: the site has the repository's own layout, so that a link in a page holds in both.

make docs
"""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "spacy-btl"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**.md", "benchmarks/README.md"]
include_patterns += ["experiments/README.md", "experiments/results/*.md"]
include_patterns += ["experiments/results/joint/*.md"]
exclude_patterns = [".*"]
highlight_language = "none"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = project
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

RUN = ("docs/results/maccrobat/report", "docs/results/maccrobat/neighbors/dev")
TABLES = ROOT / "experiments" / "results"

CONTENTS = {
    "Start": ["docs/quickstart", "docs/data"],
    "Use": [
        "docs/training",
        "docs/annotate",
        "docs/curation",
        "docs/companions",
        "docs/deploying",
        "docs/troubleshooting",
    ],
    "Understand": [
        "docs/predictions",
        "docs/neighbors",
        "docs/evaluation",
        "docs/corpora",
        "docs/config",
        "docs/commands",
    ],
    "Trust": ["docs/privacy", "docs/security"],
    "Figures": [
        "docs/results",
        *RUN,
        "benchmarks/README",
        "experiments/README",
        *sorted(f"experiments/results/{page.stem}" for page in TABLES.glob("*.md")),
        *sorted(f"experiments/results/joint/{page.stem}" for page in TABLES.glob("joint/*.md")),
    ],
    "The code": ["docs/layout", "docs/style", "CHANGELOG"],
}
TITLES = {  # of pages that commands have written, and that have none
    RUN[0]: "Scores of the test part",
    RUN[1]: "Neighbors, as tried on dev",
}


def complete(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give pages the title they lack, and the front page the contents of the site."""
    if docname in TITLES:
        source[0] = f"# {TITLES[docname]}\n\n{source[0]}"
    if docname == root_doc:
        for caption, pages in CONTENTS.items():
            options = f":caption: {caption}\n:hidden:\n"
            source[0] += "\n:::{toctree}\n" + options + "\n" + "\n".join(pages) + "\n:::\n"


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """The front page again under the name that a browser looks for in a folder."""
    if exception is None:
        folder = Path(app.outdir)
        shutil.copyfile(folder / f"{root_doc}.html", folder / "index.html")


def setup(app: Sphinx) -> None:
    """Connect the two."""
    app.connect("source-read", complete)
    app.connect("build-finished", write_index)
