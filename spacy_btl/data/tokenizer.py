"""A tokenizer for clinical text: that of the language, with cuts where annotators cut as well.

In clinical text a letter or a unit may end the sentence ("hepatitis B.", "200 mg/dL."), a citation
number follow a word without a space ("fibers4"), a value its name ("EF>55%", "CP:28009"), and a
bracket be inside a word ("COX)-deficient"). Entities that end there do not fall on the tokens of
the language. The rules add cuts and change no text. Abbreviations that the language knows stay
whole, but for those that are more often a letter or a unit at the end of a sentence.

Chinese, Japanese, Korean, Thai and Vietnamese keep the tokenizer that spaCy has for them.
"""

import re
from collections.abc import Callable, Sequence

from spacy.lang.char_classes import ALPHA_UPPER
from spacy.lang.tokenizer_exceptions import emoticons
from spacy.language import Language
from spacy.tokenizer import Tokenizer  # type: ignore[import-not-found]
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

from .languages import own_tokenizer

_LETTER = r"[^\W\d_]"
_SIGN = r"[<>≤≥≦≧⩽⩾=＜＞＝]"
_MARK = "•‣◦▪■□●○◆◇►▶➢➤✓✔→⇒↑↓\uf000-\uf0ff"  # the last are bullets of symbol fonts
_INVISIBLE = "\u200b\u200e\u200f\u2060\ufeff"

PREFIXES = (
    rf"[{_INVISIBLE}]+",
    rf"[{_MARK}]+",
    r"\+/[-−](?=\d)",
    rf"[-–—−‐‑‒·∙+]+(?={_LETTER}|[0-9][0-9.,/]*(?:[^\w-]|$))",  # "-Aspirin", "-2.6", "+34"
    r"[~∼≈±≤≥≦≧⩽⩾](?=\d)",
    rf"/(?={_LETTER})",
    rf"\.(?={_LETTER}{{3}})",  # ".Fever"
    r"(?!mailto:)[^\W\d_](?:[\w-]*\w)?:(?=[\w.+-]+@\w)",  # "E-mail:jane@example.com"
)

SUFFIXES = (
    rf"(?<=^{_LETTER})\.",  # "hepatitis B."
    rf"(?<=[^.\s][{ALPHA_UPPER}])\.",  # "mg/dL.", "cm H2O.", "T1D.", "VEGF-C."
    rf"(?<=[a-z]{{3}}\.[{ALPHA_UPPER}])\.",  # "vit.D."
    r"(?<=[0-9²³⁰-⁹°ºª%])\.",  # "mm³.", and "Grad 3." where the language has ordinals
    r"(?<=[a-zµμ)\]])\.",  # in a text of another script
    r"(?<=[a-z]{4})[0-9]{1,2}",  # "fibers4"
    r"(?<=[a-zA-Z)][.,;])[0-9]{1,3}(?:[,–-][0-9]{1,3})*",  # "criteria.12", "ECD,1"
    r"(?<=[a-z.,;]{3})\[[0-9]{1,3}(?:[,–-][0-9]{1,3})*\]?",  # "risk[4]"
    r"(?<=[\w)\]])[-–—]+",  # "serum- and anchorage-dependent"
    r"(?<=[^\W_])\+",  # "Na+"
    r"(?<=[\w)\]%.])/",  # "tamsulosin/ terazosin"
    rf"(?<=[\w)\]%]){_SIGN}+",  # "GLS= 14"
    r"(?<=[^\s0-9])%",
    rf"[{_MARK}]+",
    rf"[{_INVISIBLE}]+",
)

INFIXES = (
    r"(?<=[\w)])\+/[-−]",
    rf"(?<=[\w)\]%°+.]){_SIGN}+(?=[\w+\-–−.,(~±])",  # "EF>55%", "p<0.05", "n=12"
    r"[.,]?[(\[](?=[\w+\-–−<>=≤≥~*%])",  # "uptake(max", "angle.(Fig.1", "CD4(+)"
    rf"[)\]](?=[-–—/:,;.]?{_LETTER}|[:;][0-9]|{_SIGN})",  # "COX)-deficient", "PET)/CT"
    rf"(?<=[)\]])(?:[-–—/:,;.](?={_LETTER})|[:;](?=[0-9]))",
    r"(?<=\w)\+(?=[\w/(-])",  # "BUCY+ATG", "Na+/K+"
    r"(?<=[^\W_])-(?=/)",  # "CD5-/CD23+"
    r"(?<=\+)[-–/](?=\w)|(?<=-)/(?=\w)",  # "K+-ATPase"
    rf"(?<=\.)[-–/](?={_LETTER}{{2}})",  # "H.E.-stained"
    r"(?<=[^\W\d_]):(?=[%<>≤≥~±+-]?[0-9])|(?<=\.):(?=[0-9])",  # "CP:28009"
    rf"(?<={_LETTER}[0-9]):(?=[%<>≤≥~±+-]?[0-9])",  # "HCO3:24"
    rf"(?<={_LETTER});(?=\w)",  # "daily;aspirin"
    rf"(?<=\w);(?={_LETTER})",
    rf"(?<={_LETTER}),(?=[0-9])",  # "200MG,1/2"
    rf"(?<=[0-9%]),(?![XY]{{2}})(?={_LETTER}{{2}})",  # "28,GGT"
    r"(?<=\w)%(?=[^\W_])",  # "98%RA"
    r"(?<=[0-9])\.(?=[A-Z][A-Za-z])",  # "10/10.The"
    rf"(?<=[{ALPHA_UPPER}]{{2}})\.(?=[{ALPHA_UPPER}]\w)",  # "MRI.Normal"
    rf"(?<={_LETTER}{{4}})\.(?=[0-9])",  # "right.500"
    r"(?<=[a-zµμ])/(?=[0-9])|(?<=[0-9])/(?=[µμ])",  # "μg/24"
    r"(?<=[a-zA-Z][0-9])/(?=[0-9])",  # "ERK1/2"
    r"(?<=[\w)\]])--+(?=[\w(])",  # "encephalopathy--19"
    r"(?<=[0-9])—(?=[0-9])",  # "1820—1824"
    rf"(?<={_LETTER})[-–](?=[0-9]{{4}})",  # "nhc-9764523"
    rf"(?<={_LETTER})[-–](?=[0-9]+[.,][0-9]|[0-9]{{2,3}}/[0-9]{{2}})",  # "INR-2.57", "BP-130/80"
    rf"(?<=[0-9]{{4}})-(?={_LETTER}{{2}})",  # "31008-Pamplona"
    r"(?<=[а-яёА-ЯЁіїєґІЇЄҐ])-(?=[0-9])",  # "ИЛ-6": numbers are annotated on their own in Russian
    r"(?<=[0-9]%)-(?=\w)",
    rf"(?<={_LETTER}{{3}})&(?={_LETTER}{{3}})",  # "fever&chills"
    r"(?<=\w)[|«»“”„\"，；：、。](?=\w)",
    rf"[{_MARK}\u200b\ufeff]+",
)

# Between a name and its value, where no character stands between them.
BOUNDARIES = (
    r"(?<=\b(?i:BP|HR|RR|EF|PA|TA|FC|FR))(?=[0-9]{2})",
    r"(?<=\b(?i:SBP|DBP|GCS|BMI|IMC))(?=[0-9]{2})",
    r"(?<=\b(?i:tmax|LVEF))(?=[0-9]{2})",
    r"(?<=[a-zA-Z0-9](?i:sat))(?=[0-9]{2})",
    rf"(?<={_LETTER}{{2}})(?=[0-9]+[.,][0-9])",
    r"(?<=\bT)(?=[0-9]{2}[.,][0-9])",
)

HYPHEN_IN_COMPOUND = rf"(?<={_LETTER})-(?={_LETTER})"  # "HIV-Infektion"; English has it already
COMPOUNDING = frozenset({"da", "de", "nb", "nl", "sv"})
"""Languages whose own rules keep a compound with hyphens whole."""

# A URL stays whole: the rules for citation numbers would cut "https://example.org/page12".
URL = re.compile(r"(?:https?://|ftp://|www\.)\S*[0-9]\Z").match

_CUT_ALL_THE_SAME = re.compile(
    rf"[0-9]*{_LETTER}\.|[0-9]+\."  # would join the end of "5 mmol/l." again, or "grade 3."
    rf"|[{ALPHA_UPPER}]{{2,}}\."  # a month in capitals: in Russian that of March is "MRI."
    r"|(?:mg|kg|mcg|ml|dl|cl|cm|mm|km|nm|min|hrs?|sec|seg|sek|гг|мг|кг|мл|см|мм|мин|сек)\."
).fullmatch

# Other emoticons are clinical text: "(n=8):", "type:D", "<3".
_SMILEY = re.compile(r"[:;]-?\)+|[\w.]+").fullmatch


def make_clinical_tokenizer() -> Callable[[Language], Tokenizer]:
    """Return `clinical_tokenizer`, for a config."""
    return clinical_tokenizer


def clinical_tokenizer(nlp: Language) -> Tokenizer:
    """Return the tokenizer of a pipeline's language, with the rules of this module first.

    Raises:
        ValueError: If the language needs a package that is not installed.
    """
    if (own := own_tokenizer(nlp)) is not None:
        return own
    defaults = nlp.Defaults
    rules = defaults.tokenizer_exceptions or {}
    # In Turkish it takes "3." for a word.
    matches_numbers = defaults.token_match is None or defaults.token_match("3.")
    infixes = [_at(r"[^\w\s]", INFIXES), _at("[0-9]", BOUNDARIES)]
    if nlp.lang in COMPOUNDING:
        infixes.append(HYPHEN_IN_COMPOUND)

    def joined(
        ours: Sequence[str], theirs: Sequence[str | re.Pattern[str]] | None
    ) -> list[str | re.Pattern[str]]:
        return [*ours, *(theirs or ())]

    return Tokenizer(
        nlp.vocab,
        rules={text: tokens for text, tokens in rules.items() if not _is_dropped(text)},
        prefix_search=compile_prefix_regex(joined(PREFIXES, defaults.prefixes)).search,
        suffix_search=compile_suffix_regex(
            joined([_at(r"[\W0-9]", SUFFIXES)], defaults.suffixes)
        ).search,
        infix_finditer=compile_infix_regex(joined(infixes, defaults.infixes)).finditer,
        token_match=URL if matches_numbers else defaults.token_match,
        url_match=defaults.url_match,
    )


def _at(start: str, rules: Sequence[str]) -> str:
    """Return rules as one, tried only where the next character is such a one: 40 are slow."""
    return f"(?={start})(?:{'|'.join(rules)})"


def _is_dropped(text: str) -> bool:
    """Return whether an exception of a language would join what the rules cut."""
    return bool(_CUT_ALL_THE_SAME(text)) or (text in emoticons and not _SMILEY(text))
