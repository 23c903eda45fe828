"""Audit annotated files, and write what is found.

The files contain names of documents, offsets, labels and figures. Only the page contains text of
the documents.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config, load_model_from_config
from spacy.vocab import Vocab
from thinc.api import ConfigValidationError

from ..conversion.convert import read_brat
from ..data.docbin import read_docbin
from ..data.gold import heading_in
from ..packaging.saving import load_pipeline
from ..util.files import check_apart, write_files
from ..util.messages import error_text
from .audit import DEFAULT_SETTINGS, Audit, AuditSettings, audit_documents
from .page import render_page

FINDINGS, SUMMARY, PAGE, FOLDS = "findings.jsonl", "audit.json", "audit.html", "folds"
"""Files of an audit: a line for each finding, figures by type, the page with text of the documents,
and the folder with the predictions of each fold."""


def audit_files(
    data: Sequence[Path],
    output: Path,
    *,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    model: Path | None = None,
    settings: AuditSettings = DEFAULT_SETTINGS,
    progress: bool | None = None,
) -> Audit:
    """Find likely errors in annotated files, and write them to a folder.

    Writes ``findings.jsonl``, ``audit.json`` and ``audit.html``, and with a configuration
    ``folds``, by which a second audit of the same documents and settings trains nothing. Only the
    page contains text of the documents.

    Args:
        data: DocBins, or files and folders of any format that `convert` reads.
        output: The folder to write to; files of an earlier audit in it are replaced.
        config: A training configuration, for predictions by cross-fitting.
        overrides: Values of the configuration by dotted name, as of ``spacy train``.
        model: Instead, a trained pipeline that has not seen the documents.
        settings: How they are audited.
        progress: Whether to show progress bars; None to show them in a terminal only.

    Raises:
        ValueError: If there is neither a configuration nor a pipeline, or both, if the output is
            an input or in one, or as `audit_documents` and the readers do.
        OSError: If a file cannot be read or written.
    """
    if (config is None) == (model is None):
        raise ValueError(
            "name a training configuration (--config) for predictions by cross-fitting, or a "
            "pipeline that has not seen the documents (--model), and not both"
        )
    if overrides and config is None:
        raise ValueError("values of the configuration (--set) need a configuration (--config)")
    check_apart(output, (*data, config, model), names=(FINDINGS, SUMMARY, PAGE, FOLDS))
    output.mkdir(parents=True, exist_ok=True)  # before the work, should that fail
    nlp = _untrained(config, overrides or {}) if config else load_pipeline(Path(str(model)))
    docs, heading = _read(data, nlp)
    audit = audit_documents(
        nlp,
        docs,
        trained=model is not None,
        folder=output / FOLDS,
        settings=settings,
        progress=progress,
    )
    audit = replace(audit, heading=audit.heading or heading)
    lines = "".join(json.dumps(row) + "\n" for row in audit.rows())
    contents = {
        FINDINGS: lines,
        SUMMARY: json.dumps(audit.to_json(), indent=1) + "\n",
        PAGE: render_page(audit),
    }
    write_files(output, {name: text.encode("utf8") for name, text in contents.items()})
    return audit


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Return values by dotted name; a value is JSON, or else a text.

    >>> parse_overrides(["training.dropout=0.2", "paths.train=corpus"])
    {'training.dropout': 0.2, 'paths.train': 'corpus'}

    Raises:
        ValueError: If a pair is not a name of at least two parts, "=" and a value.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or "." not in name.strip("."):
            raise ValueError(
                f'"{pair}" is not a value of a configuration, such as training.dropout=0.2'
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _untrained(path: Path, overrides: Mapping[str, Any]) -> Language:
    """Return the untrained pipeline of a configuration."""
    if not path.is_file():
        raise FileNotFoundError(f"the configuration {path} does not exist; configs/btl.cfg is one")
    try:
        config = load_config(path, overrides=dict(overrides), interpolate=False)
        nlp = load_model_from_config(config, auto_fill=True)
    except (ConfigValidationError, UnicodeDecodeError, ImportError) as error:
        if isinstance(error, ConfigValidationError) and error.errors:
            raise ValueError(f"in {path}, {error_text(error)}") from error
        raise ValueError(f"{path} is not a training configuration: {error}") from error
    for name in overrides:  # spaCy drops what it does not know
        section, _, key = name.rpartition(".")
        if key not in reduce(
            lambda block, part: block.get(part, {}), section.split("."), nlp.config
        ):
            raise ValueError(f"{path} has no setting {name}; docs/config.md lists the settings")
    return nlp


def _read(data: Sequence[Path], nlp: Language) -> tuple[list[Doc], str]:
    """Return the documents of files and folders, and what a report on them must carry."""
    if not data:
        raise ValueError("name at least one DocBin, file or folder of annotated documents")
    docs: list[Doc] = []
    headings = []
    for path in data:
        if path.suffix == ".spacy":
            docs += read_docbin(path, Vocab())
        else:
            docs += read_brat(path, lang=nlp.lang or "en")[0]
            headings.append(heading_in(path) if path.is_dir() else "")
    return docs, "; ".join(dict.fromkeys(filter(None, headings)))
