"""The routes of an external recommender, with documents as INCEpTION sends them."""

from collections.abc import Iterator
from typing import Any

import cassis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_btl.serving.inception import PREDICTED
from tests.helpers.serving import SECRET, Client, client_of, words_of

LAYER = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
TOKEN_TYPE = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token"
READABLE = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"
)
"""What XML can hold."""

STRING, DOUBLE = "uima.cas.String", "uima.cas.Double"


def type_system(*, with_scores: bool = True, with_prediction: bool = True) -> Any:
    """Return the types of a project, extended as for a request."""
    types = cassis.TypeSystem()
    layer = types.create_type(LAYER, "uima.tcas.Annotation")
    types.create_type(TOKEN_TYPE, "uima.tcas.Annotation")
    features = {"value": STRING, "identifier": STRING}
    if with_prediction:
        features[PREDICTED] = "uima.cas.Boolean"
    if with_scores:
        features |= {"value_score": DOUBLE, "value_score_explanation": STRING}
    for name, kind in features.items():
        types.create_feature(layer, name, kind)
    return types


def request_of(text: str | None, types: Any = None, **metadata: Any) -> dict[str, Any]:
    """Make a request with a document of one token and one annotation of a person."""
    types = types or type_system()
    cas = cassis.Cas(typesystem=types)
    if text is not None:
        cas.sofa_string = text
        cas.sofa_mime = "text/plain"
        cas.add(types.get_type(TOKEN_TYPE)(begin=0, end=min(1, len(text))))
        cas.add(types.get_type(LAYER)(begin=0, end=min(1, len(text)), value="Mine"))
    own = {"layer": LAYER, "feature": "value", "projectId": 1337, "anchoringMode": "tokens"}
    own |= {"crossSentence": False, "range": {"begin": 0, "end": 1}}
    return {
        "metadata": own | metadata,
        "document": {"xmi": cas.to_xmi(), "documentId": 42, "userId": "anna"},
        "typeSystem": types.to_xml(),
    }


def annotations(response: Any, types: Any = None) -> list[Any]:
    """Return the annotations of the layer in an answer."""
    assert response.status_code == 200, response.text
    types = cassis.load_typesystem((types or type_system()).to_xml())
    cas = cassis.load_cas_from_xmi(response.json()["document"], types)
    return list(cas.select(LAYER))


@pytest.fixture(scope="module")
def inception() -> Iterator[Client]:
    with client_of(words_of()) as client:
        yield client


def test_a_document_comes_back_with_predictions(inception: Client) -> None:
    response = inception.post("/inception/predict", request_of("She took aspirin"))
    mine, predicted = annotations(response)
    assert (mine.value, mine.get(PREDICTED)) == ("Mine", None)
    assert (predicted.begin, predicted.end, predicted.value) == (9, 16, "Medication")
    assert predicted.get(PREDICTED) is True
    assert predicted.value_score == 0.75
    assert predicted.value_score_explanation == "en_test 1.2.3: calibrated probability"


def test_a_layer_without_scores(inception: Client) -> None:
    types = type_system(with_scores=False)
    response = inception.post("/inception/predict", request_of("She took aspirin", types))
    assert [each.value for each in annotations(response, types)] == ["Mine", "Medication"]


def test_offsets_in_xmi_count_utf16(inception: Client) -> None:
    response = inception.post("/inception/predict", request_of("😀 aspirin"))
    assert 'begin="3" end="10"' in response.json()["document"]
    _, predicted = annotations(response)
    assert predicted.get_covered_text() == "aspirin"


@settings(max_examples=30)
@given(text=st.text(READABLE))
def test_any_text_comes_back_unchanged(inception: Client, text: str) -> None:
    text = f"{text}\n\t aspirin"
    response = inception.post("/inception/predict", request_of(text))
    if response.status_code == 422:  # it looks like markup
        assert "where plain text is read" in response.json()["error"]
        return
    found = annotations(response)[-1]
    assert (found.get_covered_text(), found.begin) == ("aspirin", text.index("aspirin"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"typeSystem": "<a/>"}, "cannot be read"),
        ({"typeSystem": ""}, "cannot be read"),
        ({"document": {"xmi": f"<{SECRET}"}}, "cannot be read"),
        (
            {"document": {"xmi": f"<!DOCTYPE a [<!ENTITY b '{SECRET}'>]><a>&b;</a>"}},
            "document type",
        ),
        ({"metadata": {"layer": "Other", "feature": "value"}}, "no such layer"),
        ({"metadata": {"layer": LAYER, "feature": "other"}}, "lacks the feature"),
        *(
            ({"metadata": {"layer": LAYER, "feature": name}}, "does not take a text")
            for name in ("begin", "end", "sofa", PREDICTED, "value_score")
        ),
        ({"metadata": {"layer": LAYER}}, "does not have the form"),
    ],
)
def test_what_is_refused(
    inception: Client,
    change: dict[str, Any],
    error: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = request_of(f"{SECRET} took aspirin") | change
    response = inception.post("/inception/predict", body)
    assert response.status_code == 422
    assert error in response.json()["error"]
    assert SECRET not in response.text + caplog.text


def test_a_document_without_text(inception: Client) -> None:
    response = inception.post("/inception/predict", request_of(None))
    assert (response.status_code, response.json()["error"]) == (422, "the document has no text")


def test_a_layer_that_takes_no_predictions(inception: Client) -> None:
    types = type_system(with_prediction=False)
    response = inception.post("/inception/predict", request_of("She took aspirin", types))
    assert response.status_code == 422
    assert PREDICTED in response.json()["error"]


def test_nothing_is_learned(inception: Client) -> None:
    response = inception.post("/inception/train", {"documents": [], "metadata": {}})
    assert response.status_code == 501
    assert "does not train" in response.json()["error"]
