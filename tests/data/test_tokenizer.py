import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokenizer import Tokenizer

from spacy_btl.data.tokenizer import clinical_tokenizer, make_clinical_tokenizer


@pytest.fixture(scope="module")
def stock():
    return spacy.blank("en")


@pytest.fixture(scope="module")
def clinical():
    nlp = spacy.blank("en")
    nlp.tokenizer = clinical_tokenizer(nlp)
    return nlp


# What must be cut: as stock spaCy leaves it, and as it is here.
CUT = [
    ("200 mg/dL.", "200 mg / dL.", "200 mg / dL ."),
    ("10 mEq/L.", "10 mEq / L.", "10 mEq / L ."),
    ("5 mmol/l.", "5 mmol / l.", "5 mmol / l ."),
    ("20 cm H2O.", "20 cm H2O.", "20 cm H2O ."),
    ("24 h.", "24 h.", "24 h ."),
    ("has T1D.", "has T1D.", "has T1D ."),
    ("μg/24 h", "μg/24 h", "μg / 24 h"),
    ("mL/min/1.73 m2", "mL / min/1.73 m2", "mL / min / 1.73 m2"),
    ("pressure=29", "pressure=29", "pressure = 29"),
    ("n=12", "n=12", "n = 12"),
    ("±2", "±2", "± 2"),
    ("~5", "~5", "~ 5"),
    ("fibers4", "fibers4", "fibers 4"),
    ("criteria.12", "criteria.12", "criteria . 12"),
    ("ECD,1", "ECD,1", "ECD , 1"),
    ("risk[4]", "risk[4 ]", "risk [4]"),
    ("mother(s)", "mother(s )", "mother ( s )"),
    ("uptake(max", "uptake(max", "uptake ( max"),
    ("COX)-deficient", "COX)-deficient", "COX )- deficient"),
    ("PET)/CT", "PET)/CT", "PET )/ CT"),
    ("angle.(Fig.1)", "angle.(Fig.1 )", "angle .( Fig . 1 )"),
    ("afe[b]rile", "afe[b]rile", "afe [ b ] rile"),
    ("10/10.The", "10/10.The", "10/10 . The"),
    ("BUCY+ATG", "BUCY+ATG", "BUCY + ATG"),
    ("t(9;22)", "t(9;22 )", "t ( 9;22 )"),
]

UNCHANGED = """
e.g.|i.e.|vs.|et al.|approx.|Dr. Smith|Mr. X.|St. Mary|M.D.|Ph.D.|J. Smith|A. B. Jones|No. 5|U.S.
the U.S. today|a U.S.A. man|a.m.|9 a.m. daily|3.5 mg|0.5 mg/kg|5mg|5 mg/day|b.i.d.|t.i.d.|q.d.|p.o.
p.r.n.|q.h.s.|q6h|jane.doe@hospital.org|jane.doe12@hospital.org|https://example.org/page12
see https://doi.org/10.1136/bcr12.|(http://example.com/v.2)|www.example.com/item4|http://a.org/c?d=5
12/05/2019|2019-05-12|5/12|10:30|1990s|in 1999.|10th|1st|COVID-19|COVID19|SARS-CoV-2|IL-6|IL6|HbA1c
T2-weighted|1,000/μL|1.000.000|don't|can't|patient's|I'm|o'clock|BRCA1|p53|CD4+|CD4+/CD8+|Na+|CYP2D6
H1N1|G6PD|B12|T4|FiO2|SpO2|H2O2|PaO2/FiO2|10 mg/dL|x-ray|CT-guided|beta-blocker|α-fetoprotein
S. aureus|E. coli|Fig. 1|Fig. 1A|vitamin B12.|24-h|24h|37.5°C|120/80 mmHg|p<0.05|P = .05|95%|50%|2±1
10-20|10–20|>100|<5|≥3|x2|2x|(+)|+/-|HLA-B*27|c.35G>A|V600E|46,XY|H&E|N/A|w/o|s/p|and/or|he/she|[sic]
ICD-10|5-HT3|omega-3|vitamin-D3|COX-2|C3–C4|L4/L5|L4-5|T12.|grade II.|type A.|vitamin C.
hepatitis B.|hepatitis B virus|John F. Kennedy|MRI.|mmHg.|kg/m2|kg/m2.|10^9/L|×10|10×10
Ki-67|CA19-9|CA-125|CA125
anti-CD20|FDG-PET|18F-FDG|99mTc|MRI/CT|#5|$5|v2.0|…|...|--|—|:)
"""


def tokens(nlp, text):
    return " ".join(token.text for token in nlp.make_doc(text))


@pytest.mark.parametrize(("text", "before", "after"), CUT, ids=[text for text, *_ in CUT])
def test_what_annotators_cut_is_cut(stock, clinical, text, before, after):
    assert (tokens(stock, text), tokens(clinical, text)) == (before, after)


@pytest.mark.parametrize("text", UNCHANGED.strip().replace("\n", "|").split("|"))
def test_what_stays_as_it_was(stock, clinical, text):
    assert tokens(clinical, text) == tokens(stock, text)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("It was e.g. warm.", "e.g."),
        ("Seen by Dr. Smith.", "Dr."),
        ("He took 3.5 mg b.i.d. at home", "3.5"),
        ("Write to jane.doe@hospital.org.", "jane.doe@hospital.org"),
        ("See https://example.org/page12.", "https://example.org/page12"),
        ("Positive for COVID-19.", "COVID-19"),
        ("Raised IL-6, and HbA1c.", "HbA1c"),
    ],
)
def test_what_stays_one_token_in_a_sentence(clinical, text, whole):
    assert whole in [token.text for token in clinical.make_doc(text)]


def test_contractions_keep_their_parts(clinical):
    assert tokens(clinical, "he don't") == "he do n't"


CLINICAL = st.lists(
    st.one_of(
        st.sampled_from([text for text, *_ in CUT]),
        st.sampled_from(["mg/dL", ".", " ", "(", ")", "[4]", "\n", "\u2009", "=", "~", "5", "Ab"]),
        st.text(max_size=4),
    )
).map("".join)


@given(CLINICAL)
def test_no_character_is_lost(clinical, text):
    doc = clinical.make_doc(text)
    assert "".join(token.text_with_ws for token in doc) == doc.text == text


def test_it_is_saved_with_its_pipeline(clinical, tmp_path):
    clinical.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    fresh = Tokenizer(spacy.blank("en").vocab).from_bytes(clinical.tokenizer.to_bytes())
    for text, _, after in CUT:
        assert tokens(loaded, text) == after
        assert " ".join(token.text for token in fresh(text)) == after
    for text in ("https://example.org/page12", "e.g.", "don't"):
        assert tokens(loaded, text) == tokens(clinical, text)


def test_it_is_registered():
    make = spacy.registry.tokenizers.get("spacy-btl.ClinicalTokenizer.v1")
    assert make is make_clinical_tokenizer
    assert tokens_of(make()(spacy.blank("en")), "200 mg/dL.") == ["200", "mg", "/", "dL", "."]


def tokens_of(tokenizer, text):
    return [token.text for token in tokenizer(text)]


@pytest.mark.parametrize("lang", ["en", "de", "fr", "xx"])
def test_other_languages_keep_their_own_rules(lang):
    nlp = spacy.blank(lang)
    nlp.tokenizer = clinical_tokenizer(nlp)
    assert tokens(nlp, "5 mg/dL .") == tokens(spacy.blank(lang), "5 mg/dL .")
