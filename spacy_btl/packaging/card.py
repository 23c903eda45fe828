"""The model card of a pipeline as Markdown, written with a copy of the pipeline.

The markup is in ``templates/card.md.j2``. The card has no YAML front matter: spacy-huggingface-hub,
which pushes a wheel to a model hub, writes that itself, from ``meta.json``, before the README.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import srsly

from ..evaluation.evaluate import Scored
from ..evaluation.rows import (
    compared_rows,
    interval_note,
    label_set_note,
    overall_rows,
    reliability_rows,
)
from ..pipeline.component import component_of
from ..util.files import replacing_folder
from ..util.templates import markdown_templates
from ..util.text import printable
from .card_facts import CardFacts, card_facts, pipeline_facts
from .saving import check_target, load_pipeline, with_spacy_range
from .size import files_of, sizes

NOT_STATED = "not stated"

FEW = 10
"""Entities in the test part below which the scores of a type say next to nothing."""


def make_card(
    model: Path,
    out_dir: Path,
    *,
    metrics: Path,
    account: Path | None = None,
    source: Path | None = None,
    dev: Path | None = None,
    comparison: Path | None = None,
    data_title: str = "",
    data_license: str = "",
    license: str = "",
    encoder_license: str = "",
    author: str = "",
    name: str = "",
    version: str = "",
) -> CardFacts:
    """Write a copy of a pipeline with its model card, as README.md and in meta.json.

    A file or an option that is not given makes its facts "not stated". No text of a document is in
    the card.

    Args:
        model: The pipeline.
        out_dir: The folder for the copy. A pipeline that is there is replaced as a whole.
        metrics: The metrics.json of an evaluation.
        account: The account.json of a conversion; the split.json beside it is read too.
        source: The corpus.json of a corpus.
        dev: The dev.json of a choice of settings.
        comparison: The comparison.json of the same evaluation, with the version before.
        data_title: The name of the data.
        data_license: The license of the data.
        license: The license of the pipeline, by default the one in its meta.json.
        encoder_license: The license of the encoder's weights, which the pipeline contains.
        author: Author of the pipeline, by default the one in its meta.json.
        name: The name of the package without the language, by default the one in meta.json.
        version: The version of the package, by default the one in meta.json.

    Returns:
        The facts of the card.

    Raises:
        ValueError: A file has another form, the pipeline does not have one component
            ``btl_knn_ner``, or the folder contains something else or is the pipeline itself.
        OSError: A file cannot be read or written.
    """
    check_target(out_dir, model, metrics, account, source, dev, comparison)
    nlp = load_pipeline(model)
    labels, pipeline = component_of(nlp).labels, pipeline_facts(nlp)
    given_source = _without_empty({"title": data_title, "license": data_license})
    given_meta = _without_empty(
        {"license": license, "author": author, "name": name, "version": version}
    )
    with _errors_of_form():
        meta = {**_read_json(model / "meta.json"), **given_meta}
        facts = card_facts(
            meta=meta,
            metrics=_read_json(metrics),
            source={**_read_json(source), **given_source},
            account=_read_json(account),
            split=_read_json(_split_of(account)),
            trials=_read_json(dev) or [],
            labels=labels,
            pipeline=pipeline,
            size=sizes(files_of(model)),
            comparison=None if comparison is None else _read_json(comparison),
            encoder_license=encoder_license,
        )
        text, new_meta = render_card(facts), card_meta(meta, facts)
    with replacing_folder(out_dir) as new:
        shutil.copytree(model, new, dirs_exist_ok=True)
        (new / "README.md").write_text(text, encoding="utf8")
        srsly.write_json(new / "meta.json", new_meta)
    return facts


def render_card(facts: CardFacts) -> str:
    """Return the card as Markdown."""
    template = markdown_templates("spacy_btl.packaging").get_template("card.md.j2")
    size = facts["size"]
    scored: Scored = {"scores": facts["scores"], "intervals": facts["intervals"]}
    return template.render(
        **{"began_with": None, "previous": None, **facts},
        description=description(facts),
        few=FEW,
        limits=_limits(facts),
        not_stated=NOT_STATED,
        overall_rows=overall_rows(scored),
        label_set_note=label_set_note(facts["test"]["documents"], facts["test"]["label_sets"]),
        interval_note=interval_note(scored, facts["test"]["documents"]),
        reliability_rows=reliability_rows(facts["reliability"]),
        label_rows=_label_rows(facts),
        previous_rows=_previous_rows(facts),
        size_rows=[(part, f"{n:,}") for part, n in {**size, "all": sum(size.values())}.items()],
    )


def not_stated(facts: CardFacts) -> list[str]:
    """Return the facts that a card lacks, each with the option that gives it."""
    untold = [counts["train"] is None for counts in facts["labels"].values()]
    missing = {
        "entities in training (evaluate --train)": any(untold),
        "name of the data (--data-title or --source)": not facts["data"]["title"],
        "split and conversion (--account)": not facts["data"]["entities"],
        "license (--license)": not facts["license"],
        "license of the encoder (--encoder-license)": bool(facts["encoder"]["name"])
        and not facts["encoder"]["license"],
        "author (--author)": not facts["author"],
    }
    return [fact for fact, is_missing in missing.items() if is_missing]


def card_meta(meta: Mapping[str, Any], facts: CardFacts) -> dict[str, Any]:
    """Return the meta of a pipeline with the facts, under spaCy's keys for them and in full.

    From then on ``performance`` has the scores of the test part, before those of dev.
    """
    data = facts["data"]
    author, url = data["citation"], f"https://doi.org/{data['doi']}" if data["doi"] else ""
    source = {"name": data["title"] or NOT_STATED, "author": author, "url": url}
    return {
        **with_spacy_range(meta),
        "description": meta.get("description") or printable(description(facts)),
        "author": facts["author"],
        "license": facts["license"],
        "sources": [source | _without_empty({"license": data["license"]})],
        "performance": dict(facts["scores"]),
        "model_card": dict(facts),
    }


def description(facts: CardFacts) -> str:
    """Return a sentence on the pipeline."""
    data = facts["data"]["title"] or "annotated reports"
    return (
        f"Clinical named entity recognition, {len(facts['labels'])} types of entities, trained on "
        f"{data} with spacy-btl."
    )


@contextmanager
def _errors_of_form() -> Iterator[None]:
    """Raise ValueError for the errors of a block that reads values of an unknown form."""
    try:
        yield
    except KeyError as error:
        raise ValueError(
            f"none of the files has {error}: give those that evaluate, fit-knn, convert and corpus "
            "wrote"
        ) from error
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            "a file has another form than those that evaluate, fit-knn, convert and corpus write"
        ) from error


def _limits(facts: CardFacts) -> dict[str, list[str]]:
    """Return the labels with few or no entities in the test part, and those never correct."""
    support = {label: counts["test"] for label, counts in facts["labels"].items()}
    by_type = facts["scores"]["ents_per_type"]
    return {
        "few": [label for label in support if 0 < support[label] < FEW],
        "without_test": [label for label in support if not support[label]],
        "never_correct": [lb for lb in support if support[lb] and not by_type[lb]["f"]],
    }


def _label_rows(facts: CardFacts) -> list[list[str]]:
    by_type = facts["scores"]["ents_per_type"]
    rows = []
    for label, counts in sorted(facts["labels"].items(), key=lambda it: (-it[1]["test"], it[0])):
        figures = by_type.get(label)
        shown = [f"{figures[key]:.3f}" for key in "prf"] if figures else ["-"] * 3
        trained = "-" if counts["train"] is None else f"{counts['train']:,}"
        rows.append([label, trained, f"{counts['test']:,}", *shown])
    return rows


def _previous_rows(facts: CardFacts) -> list[list[str]]:
    """Return the scores of this version and the one before; nothing where that is not known."""
    if "previous" not in facts:
        return []
    figures: Any = facts["previous"]["figures"]
    return compared_rows(figures)


def _read_json(path: Path | None) -> Any:
    """Return the content of a JSON file, numbers to the last digit; {} without a file.

    Raises:
        ValueError: The file is not JSON. The error has its name, and nothing of its content.
    """
    if path is None:
        return {}
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError:
        raise ValueError(f"{path} is not a JSON file") from None


def _split_of(account: Path | None) -> Path | None:
    """Return the split.json beside an account, where there is one."""
    path = account.parent / "split.json" if account else None
    return path if path and path.is_file() else None


def _without_empty(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}
