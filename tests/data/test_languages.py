"""Languages: unknown codes, missing packages, languages without spaces, other tokens."""

import importlib.util

import pytest
import spacy
from spacy.training import Example

from spacy_btl.data.gold import GOLD_KEY
from spacy_btl.data.tokenizer import blank, clinical_tokenizer, own_tokenizer, warn_of_other_tokens

NEEDED = {"ja": "sudachipy", "ko": "natto", "th": "pythainlp", "vi": "pyvi"}


@pytest.mark.parametrize(
    ("lang", "near"),
    [
        ("jp", '"ja" (Japanese)'),
        ("cn", '"zh" (Chinese)'),
        ("no", '"nb" (Norwegian)'),
        ("spanish", '"es" (Spanish)'),
        ("Deutsch", '"de" (German)'),
        ("pt-br", '"pt" (Portuguese)'),
        ("portugese", '"pt" (Portuguese)'),  # codespell:ignore portugese
        ("klingon", 'no language "klingon"'),
        ("", 'no language ""'),
    ],
)
def test_an_unknown_language_is_told_with_those_near_it(lang, near):
    with pytest.raises(ValueError, match="spaCy has no language") as error:
        blank(lang)
    assert near in str(error.value)


@pytest.mark.parametrize("lang", NEEDED)
def test_a_missing_package_is_told_with_the_command_that_installs_it(lang):
    if importlib.util.find_spec(NEEDED[lang]):
        pytest.skip(f"{NEEDED[lang]} is installed")
    with pytest.raises(ValueError, match=f'language "{lang}" needs a package: pip install '):
        blank(lang)


@pytest.mark.parametrize(
    ("lang", "text", "word"),
    [
        ("zh", "患者有发热。", "热"),
        ("ja", "患者は発熱を訴えた。", "発熱"),
        ("th", "ผู้ป่วยมีไข้", "ผู้ป่วย"),
    ],
)
def test_languages_without_spaces_have_their_own_tokenizer(lang, text, word, tmp_path):
    if lang in NEEDED and not importlib.util.find_spec(NEEDED[lang]):
        pytest.skip(f"{NEEDED[lang]} is not installed")
    nlp = spacy.util.get_lang_class(lang).from_config(
        {"nlp": {"tokenizer": {"@tokenizers": "spacy-btl.ClinicalTokenizer.v1"}}}
    )
    assert word in [token.text for token in nlp(text)]
    nlp.to_disk(tmp_path)
    assert [t.text for t in spacy.load(tmp_path)(text)] == [t.text for t in nlp(text)]


def test_languages_with_spaces_have_none():
    assert own_tokenizer(blank("en")) is None


def example(lang, trained, text, **user_data):
    gold, nlp = blank(lang), blank(trained)
    for each in (gold, nlp):
        each.tokenizer = clinical_tokenizer(each)
    reference = gold.make_doc(text)
    reference.user_data.update(user_data)
    return Example(nlp.make_doc(text), reference)


@pytest.mark.parametrize(
    ("lang", "trained", "converted", "warned"),
    [
        ("de", "de", True, False),
        ("de", "en", True, True),
        ("zh", "en", True, True),
        ("de", "en", False, False),
    ],
)
def test_tokens_of_another_language_are_warned_of(lang, trained, converted, warned, recwarn):
    user_data = {GOLD_KEY: {}} if converted else {}
    one = example(lang, trained, "Befund bzw. Verlauf", **user_data)
    warn_of_other_tokens([one], trained, "btl_knn_ner")
    found = [str(each.message) for each in recwarn if "other tokens" in str(each.message)]
    assert len(found) == warned
    assert all("1 of 1" in text and f'is "{trained}"' in text for text in found)
