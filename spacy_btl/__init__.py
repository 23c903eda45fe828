"""spacy-btl: named entity recognition for clinical text with many entity types.

The names below are those that most programs need. Each is imported when it is first used: `import
spacy_btl` alone is fast, and spaCy finds the component ``btl_knn_ner`` without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .annotate.run import AnnotationSettings, annotate_files
    from .audit.audit import AuditSettings, audit_documents
    from .conversion.convert import convert_folder, read_brat
    from .conversion.export import export_docs
    from .conversion.reading import Reading
    from .curation.agreement import compare_annotators
    from .data.docbin import read_docbin
    from .evaluation.compare import compare_evaluations
    from .evaluation.cross_fitting import cross_predict
    from .evaluation.evaluate import evaluate, read_examples
    from .packaging.card import make_card
    from .packaging.ensembles import make_ensemble
    from .packaging.final_training import train_final
    from .packaging.saving import load_pipeline, save_pipeline
    from .pipeline.component import BtlKnnNer, component_of
    from .pipeline.workflow import drop_neighbors, explain_entities, fit_knn
    from .planning.forecast import forecast
    from .planning.suggestion import suggest_reports
    from .serving.server import serve
    from .serving.settings import ServeSettings
    from .util.messages import set_up_logging

__version__ = "0.2.0"

__all__ = [
    "AnnotationSettings",
    "AuditSettings",
    "BtlKnnNer",
    "Reading",
    "ServeSettings",
    "annotate_files",
    "audit_documents",
    "compare_annotators",
    "compare_evaluations",
    "component_of",
    "convert_folder",
    "cross_predict",
    "drop_neighbors",
    "evaluate",
    "explain_entities",
    "export_docs",
    "fit_knn",
    "forecast",
    "load_pipeline",
    "make_card",
    "make_ensemble",
    "read_brat",
    "read_docbin",
    "read_examples",
    "save_pipeline",
    "serve",
    "set_up_logging",
    "suggest_reports",
    "train_final",
]

_PLACES = {
    "AnnotationSettings": "annotate.run:AnnotationSettings",
    "AuditSettings": "audit.audit:AuditSettings",
    "BtlKnnNer": "pipeline.component:BtlKnnNer",
    "Reading": "conversion.reading:Reading",
    "ServeSettings": "serving.settings:ServeSettings",
    "annotate_files": "annotate.run:annotate_files",
    "audit_documents": "audit.audit:audit_documents",
    "compare_annotators": "curation.agreement:compare_annotators",
    "compare_evaluations": "evaluation.compare:compare_evaluations",
    "component_of": "pipeline.component:component_of",
    "convert_folder": "conversion.convert:convert_folder",
    "cross_predict": "evaluation.cross_fitting:cross_predict",
    "drop_neighbors": "pipeline.workflow:drop_neighbors",
    "evaluate": "evaluation.evaluate:evaluate",
    "explain_entities": "pipeline.workflow:explain_entities",
    "export_docs": "conversion.export:export_docs",
    "fit_knn": "pipeline.workflow:fit_knn",
    "forecast": "planning.forecast:forecast",
    "load_pipeline": "packaging.saving:load_pipeline",
    "make_card": "packaging.card:make_card",
    "make_ensemble": "packaging.ensembles:make_ensemble",
    "read_brat": "conversion.convert:read_brat",
    "read_docbin": "data.docbin:read_docbin",
    "read_examples": "evaluation.evaluate:read_examples",
    "save_pipeline": "packaging.saving:save_pipeline",
    "serve": "serving.server:serve",
    "set_up_logging": "util.messages:set_up_logging",
    "suggest_reports": "planning.suggestion:suggest_reports",
    "train_final": "packaging.final_training:train_final",
}


def __getattr__(name: str) -> object:
    """Import one of the names above when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value: object = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all names, those not imported yet as well."""
    return sorted({*globals(), *__all__})
