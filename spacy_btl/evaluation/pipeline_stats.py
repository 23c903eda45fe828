"""What a trained pipeline tells of its components: labels, updates, class weights, neighbours."""

from typing import Any

from spacy.language import Language

from ..labels.bio import column_names
from ..pipeline.component import BtlKnnNer
from ..util.text import markdown_table


def pipeline_stats(nlp: Language) -> dict[str, Any]:
    """For each ``btl_knn_ner``, by its name: ``labels``, ``updates``, ``neighbors``, ``weights``.

    ``updates`` are the optimizer steps behind the weights, ``neighbors`` the number of keys,
    ``weights`` the class weight of each column (None where they are counted on each batch). Raises
    ValueError for a pipeline without such a component.
    """
    pipes = [(name, pipe) for name, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)]
    if not pipes:
        raise ValueError("the pipeline has no component btl_knn_ner")
    return {
        name: {
            "labels": list(pipe.labels),
            "updates": pipe.state.updates,
            "neighbors": len(pipe.neighbors.datastore or ()),
            "weights": label_weights(pipe),
        }
        for name, pipe in pipes
    }


def label_weights(pipe: BtlKnnNer) -> dict[str, float] | None:
    """Class weight of each column, by its name.

    None where no one weight can be told: counted anew on each batch or copy, or not counted yet.
    """
    names = column_names(pipe.labels)
    weighting, weights = pipe.loss.weighting, pipe.loss.class_weights
    if weights is not None:
        return {name: float(weight) for name, weight in zip(names, weights, strict=True)}
    return dict.fromkeys(names, 1.0) if weighting is None else None


def pipeline_stats_to_markdown(stats: dict[str, Any]) -> str:
    """The same as readable tables."""
    lines: list[str] = []
    for name, values in stats.items():
        lines += [
            f"{name}: {len(values['labels'])} labels, {values['updates']} updates, "
            f"{values['neighbors']} neighbours",
            "",
        ]
        if values["weights"] is None:
            lines += ["class weights are counted on each batch", ""]
        else:
            rows = [[column, f"{weight:.6f}"] for column, weight in values["weights"].items()]
            lines += [*markdown_table(["column", "class weight"], rows), ""]
    return "\n".join(lines)
