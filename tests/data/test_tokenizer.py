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


# Cuts that must be made: stock spaCy's tokens, and ours.
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
    ("COX)-deficient", "COX)-deficient", "COX ) - deficient"),
    ("PET)/CT", "PET)/CT", "PET ) / CT"),
    ("angle.(Fig.1)", "angle.(Fig.1 )", "angle .( Fig . 1 )"),
    ("afe[b]rile", "afe[b]rile", "afe [ b ] rile"),
    ("10/10.The", "10/10.The", "10/10 . The"),
    ("BUCY+ATG", "BUCY+ATG", "BUCY + ATG"),
    ("t(9;22)", "t(9;22 )", "t ( 9;22 )"),
    # A letter at the end of a sentence
    ("hepatitis B.", "hepatitis B.", "hepatitis B ."),
    ("(group A).", "( group A ) .", "( group A ) ."),
    ("group A., B.", "group A. , B.", "group A . , B ."),
    ("J. Smith", "J. Smith", "J . Smith"),
    ("S. aureus", "S. aureus", "S . aureus"),
    ("VEGF-C.", "VEGF - C.", "VEGF - C ."),
    ("vit.D.", "vit . D.", "vit . D ."),
    ("A+.", "A+ .", "A + ."),
    ("545/mm³.", "545 / mm³.", "545 / mm³ ."),
    # A mark or a sign before a word
    ("-Aspirin", "-Aspirin", "- Aspirin"),
    ("--Aspirin", "--Aspirin", "-- Aspirin"),
    ("•Lasix", "•Lasix", "• Lasix"),
    ("\uf0b7Lasix", "\uf0b7Lasix", "\uf0b7 Lasix"),
    ("\ufeffFever", "\ufeffFever", "\ufeff Fever"),
    (".Fever", ".Fever", ". Fever"),
    ("/Fever", "/Fever", "/ Fever"),
    ("-2.6", "-2.6", "- 2.6"),
    ("≥3", "≥3", "≥ 3"),
    ("E-mail:jane@example.com", "E-mail:jane@example.com", "E-mail: jane@example.com"),
    # or behind one
    ("intra- and", "intra- and", "intra - and"),
    ("tamsulosin/ terazosin", "tamsulosin/ terazosin", "tamsulosin / terazosin"),
    ("Na+", "Na+", "Na +"),
    ("HIV-,", "HIV- ,", "HIV - ,"),
    ("GLS= 14", "GLS= 14", "GLS = 14"),
    # A value after its name
    ("EF>55%", "EF>55 %", "EF > 55 %"),
    ("Ki67<2%", "Ki67<2 %", "Ki67 < 2 %"),
    ("HR≥90", "HR≥90", "HR ≥ 90"),
    ("(p<0.05)", "( p<0.05 )", "( p < 0.05 )"),
    ("(n=8):", "( n=8 ):", "( n = 8 ) :"),
    ("CP:28009.", "CP:28009 .", "CP : 28009 ."),
    ("HCO3:24", "HCO3:24", "HCO3 : 24"),
    ("Cr.:3.2", "Cr.:3.2", "Cr. : 3.2"),
    ("BP120/80", "BP120/80", "BP 120/80"),
    ("BP-130/80", "BP-130/80", "BP - 130/80"),
    ("INR-2.57", "INR-2.57", "INR - 2.57"),
    ("Tmax38", "Tmax38", "Tmax 38"),
    ("T38.5", "T38.5", "T 38.5"),
    ("O2sat98%", "O2sat98 %", "O2sat 98 %"),
    ("Hgb12.3", "Hgb12.3", "Hgb 12.3"),
    ("nhc-9764523", "nhc-9764523", "nhc - 9764523"),
    # Two words with a sign between
    ("98%RA", "98%RA", "98 % RA"),
    ("daily;aspirin", "daily;aspirin", "daily ; aspirin"),
    ("200MG,1/2", "200MG,1/2", "200MG , 1/2"),
    ("28,GGT", "28,GGT", "28 , GGT"),
    ("A→G", "A→G", "A → G"),
    ("fever&chills", "fever&chills", "fever & chills"),
    ("MRI.Normal", "MRI.Normal", "MRI . Normal"),
    ("palsy--19", "palsy--19", "palsy -- 19"),
    ("ERK1/2", "ERK1/2", "ERK1 / 2"),
    ("Na+/K+-ATPase", "Na+/K+-ATPase", "Na + / K + - ATPase"),
    ("CD5-/CD23+", "CD5-/CD23 +", "CD5 - / CD23 +"),
    ("CD4+/CD8+", "CD4+/CD8 +", "CD4 + / CD8 +"),
    ("CD4(+)", "CD4(+ )", "CD4 ( + )"),
    ("H.E.-stained", "H.E.-stained", "H.E. - stained"),
]

UNCHANGED = """
e.g.|i.e.|vs.|et al.|approx.|Dr. Smith|St. Mary|M.D.|Ph.D.|No. 5|U.S.
the U.S. today|a U.S.A. man|a.m.|9 a.m. daily|3.5 mg|0.5 mg/kg|5mg|5 mg/day|b.i.d.|t.i.d.|q.d.|p.o.
p.r.n.|q.h.s.|q6h|jane.doe@hospital.org|jane.doe12@hospital.org|https://example.org/page12
see https://doi.org/10.1136/bcr12.|(http://example.com/v.2)|www.example.com/item4|http://a.org/c?d=5
12/05/2019|2019-05-12|5/12|10:30|1990s|in 1999.|10th|1st|COVID-19|COVID19|SARS-CoV-2|IL-6|IL6|HbA1c
T2-weighted|1,000/μL|1.000.000|don't|can't|patient's|I'm|o'clock|BRCA1|p53|CD4+|CYP2D6
H1N1|G6PD|B12|T4|FiO2|SpO2|H2O2|PaO2/FiO2|10 mg/dL|x-ray|CT-guided|beta-blocker|α-fetoprotein
Fig. 1|Fig. 1A|vitamin B12.|24-h|24h|37.5°C|120/80 mmHg|P = .05|95%|50%|2±1
10-20|10–20|>100|<5|x2|2x|(+)|+/-|HLA-B*27|c.35G>A|V600E|46,XY|H&E|N/A|w/o|s/p|and/or|he/she|[sic]
ICD-10|5-HT3|omega-3|vitamin-D3|COX-2|C3–C4|L4/L5|L4-5|T12.|grade II.
hepatitis B virus|MRI.|mmHg.|kg/m2|kg/m2.|10^9/L|×10|10×10
Ki-67|CA19-9|CA-125|CA125
anti-CD20|FDG-PET|18F-FDG|99mTc|MRI/CT|#5|$5|v2.0|…|...|--|—|:)
T.D.S.|S.O.S.|R.A.|St. John|1:100|0:3|C18:1|9;22|1,3-diol|c.35G>A|x|-/-|--|->|N&V|T2N0M0
BRCA1/BRCA2|t.i.d., p.o.|MAP2K1|IL-1.|Hep B/C|Nav|4+3|24/7|2/6|S1|SpO2|PO2|H2S|5-FU.|COVID-19).|"A"
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


@pytest.mark.parametrize(
    ("lang", "text", "expected"),
    [
        ("es", "Sexo:H. Dra. Paz p.ej. EE. UU.", "Sexo : H . Dra. Paz p.ej. EE. UU."),
        ("fr", "l'hépatite B. Dr. Roux", "l' hépatite B . Dr. Roux"),
        ("de", "Grad 3. z.B. bzw. HIV-Infektion", "Grad 3 . z.B. bzw. HIV - Infektion"),
        ("pt", "grau 3. Sra. Paz PA:120/80", "grau 3 . Sra. Paz PA : 120/80"),
        ("it", "5 cm. grado B. ecc.", "5 cm . grado B . ecc."),
        ("ru", "МРТ. витамин К. 2010 г. р<0,05", "МРТ . витамин К . 2010 г . р < 0,05"),
        ("nl", "vitamine K. bijv. d.w.z.", "vitamine K . bijv. d.w.z."),
        ("pl", "5 mg. -Lek", "5 mg . - Lek"),
        ("tr", "evre 3. hepatit B.", "evre 3 . hepatit B ."),
        ("ar", "5 mg. hepatitis B.", "5 mg . hepatitis B ."),
        ("xx", "hepatitis B.", "hepatitis B ."),
    ],
)
def test_other_languages(lang, text, expected):
    nlp = spacy.blank(lang)
    nlp.tokenizer = clinical_tokenizer(nlp)
    assert tokens(nlp, text) == expected
