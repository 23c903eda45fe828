"""Sphinx: the site has the repository's own layout, so that a link in a page holds in both.

make docs
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "spacy-btl"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "docs/**.md", "benchmarks/README.md"]
FOLDERS = [
    f"experiments/results{name}" for name in ("", "/joint", "/quality", "/audit", "/suggest")
]
include_patterns += ["experiments/README.md", *(f"{folder}/*.md" for folder in FOLDERS)]
exclude_patterns = [".*"]
highlight_language = "none"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# A name in single backticks is code, as in Markdown.
default_role = "code"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_typehints_description_target = "documented_params"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = project
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

RUN = ("docs/results/maccrobat/report", "docs/results/maccrobat/neighbors/dev")

CONTENTS = {
    "Guides": [
        "docs/quickstart",
        "docs/data",
        "docs/training",
        "docs/evaluation",
        "docs/neighbors",
        "docs/curation",
        "docs/corpora",
        "docs/annotate",
        "docs/deploying",
        "docs/companions",
        "docs/troubleshooting",
    ],
    "Reference": ["docs/commands", "docs/config", "docs/api"],
    "Background": [
        "docs/method",
        "docs/results",
        "docs/privacy",
        "experiments/README",
        "benchmarks/README",
    ],
    "For contributors": ["docs/layout", "docs/style", "docs/release", "CHANGELOG"],
}
BELOW = {  # pages that the contents show below another page
    "docs/results": RUN,
    "experiments/README": [
        *(
            f"{folder}/{page.stem}"
            for folder in FOLDERS
            for page in sorted((ROOT / folder).glob("*.md"))
        ),
    ],
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
            source[0] += toctree(pages, f":caption: {caption}\n")
    if docname in BELOW:
        source[0] += toctree(BELOW[docname])


def toctree(pages: Sequence[str], options: str = "") -> str:
    """Return a hidden list of pages for the contents."""
    return f"\n:::{{toctree}}\n{options}:hidden:\n\n/" + "\n/".join(pages) + "\n:::\n"


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Copy the front page to the name that a browser looks for in a folder."""
    if exception is None:
        folder = Path(app.outdir)
        shutil.copyfile(folder / f"{root_doc}.html", folder / "index.html")


def setup(app: Sphinx) -> None:
    """Connect the two."""
    app.connect("source-read", complete)
    app.connect("build-finished", write_index)
