import pytest
from hypothesis import given
from hypothesis import strategies as st
from thinc.api import Config

from spacy_btl.labels.config_keys import (
    from_config_key,
    from_config_keys,
    to_config_key,
    to_config_keys,
)


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("Sign_symptom", "Sign_symptom"),
        ("Sign/Symptom", "Sign/Symptom"),
        ("webanno.custom.Span", "webanno.custom.Span"),
        ("Drug name", "Drug name"),
        ("Größe-µ", "Größe-µ"),
        ("B-X", "B-X"),
        ("a,b & (c)", "a,b & (c)"),
        ("<script>", "<script>"),
        ("PHI:NAME", "PHI%3ANAME"),
        ("Drug: dose", "Drug%3A dose"),
        ("a=b", "a%3Db"),
        ("#lab", "%23lab"),
        ("; c", "%3B c"),
        ("[x]", "%5Bx%5D"),
        ("50%", "50%25"),
        ("%s", "%25s"),
        ("%41", "%2541"),
        ("${y}", "%24{y}"),
        ("@misc", "%40misc"),
        ("*", "%2A"),
        ("x\ty", "x%09y"),
        ("a\u2028b", "a%E2%80%A8b"),
        (" a  b ", "%20a  b%20"),
        ("", ""),
    ],
)
def test_keys(label: str, key: str) -> None:
    assert to_config_key(label) == key
    assert from_config_key(key) == label


@pytest.mark.parametrize("key", ["PHI:NAME", "50%", "%s", "100%ig", "%C3", "% 41", "[x]"])
def test_keys_that_nobody_has_escaped_are_the_labels(key: str) -> None:
    assert from_config_key(key) == key


def test_keys_of_tables() -> None:
    table = {"A:B": 0.5, "A": 0.25, "C%3AD": 0.75}
    keys = {"A%3AB": 0.5, "A": 0.25, "C%3AD": 0.75}
    assert to_config_keys(table) == keys
    assert to_config_keys(keys) == keys
    assert from_config_keys(keys) == {"A:B": 0.5, "A": 0.25, "C:D": 0.75}
    with pytest.raises(ValueError, match=r"a label appears twice, as 'A%3AB'"):
        from_config_keys({"A:B": 0.5, "A%3AB": 0.25})


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
awkward = st.text(st.sampled_from(":=#;[]%$@*{}\"'\\ \t\n\r\x1c\x85\xa0\u3000aA1.-"), min_size=1)


@given(st.dictionaries(st.one_of(texts, awkward), st.floats(0, 1)))
def test_every_label_survives_a_configuration_file(table: dict[str, float]) -> None:
    labels = from_config_keys({to_config_key(label): value for label, value in table.items()})
    assert labels == table
    keys = {to_config_key(label): value for label, value in table.items()}
    text = Config({"a": {"thresholds": keys, "last": 1}}).to_str()
    assert Config().from_str(text)["a"]["thresholds"] == keys
