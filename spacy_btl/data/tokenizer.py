"""Tokenizers: that of a language, and one for clinical text with cuts where annotators cut as well.

In clinical text a letter or a unit may end the sentence ("hepatitis B.", "200 mg/dL."), a citation
number follow a word without a space ("fibers4"), a value its name ("EF>55%", "CP:28009"), and a
bracket be inside a word ("COX)-deficient"). Entities that end there do not fall on the tokens of
the language. The rules add cuts and change no text. Abbreviations that the language knows stay
whole, except for those that are more often a letter or a unit at the end of a sentence.

Chinese, Japanese, Korean, Thai and Vietnamese keep the tokenizer that spaCy has for them.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

import spacy
import spacy.lang
from spacy.lang.char_classes import ALPHA_UPPER
from spacy.lang.tokenizer_exceptions import emoticons
from spacy.language import Language
from spacy.tokenizer import Tokenizer  # type: ignore[import-not-found]
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import (
    compile_infix_regex,
    compile_prefix_regex,
    compile_suffix_regex,
    get_lang_class,
    registry,
)

from ..util.messages import warn
from .gold import GOLD_KEY

PACKAGES = {
    "ja": "pip install sudachipy sudachidict_core",
    "ko": "pip install natto-py (and, for the system, MeCab with the dictionary mecab-ko-dic)",
    "th": "pip install pythainlp",
    "vi": "pip install pyvi",
}
"""How to install what spaCy's tokenizer of a language needs."""

ALIASES = {
    "at": "de", "br": "pt", "cn": "zh", "cz": "cs", "deutsch": "de", "dk": "da", "ge": "de",
    "gr": "el", "in": "hi", "jp": "ja", "kr": "ko", "mx": "es", "no": "nb", "se": "sv", "sp": "es",
    "ua": "uk", "us": "en", "vn": "vi",
}  # fmt: skip
"""Aliases of language codes, and the code of each."""

EXAMINED = 200
"""Training documents whose tokens are compared with those of the pipeline."""

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

# Between a name and its value, where no character separates them.
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


def blank(lang: str) -> Language:
    """Return an empty pipeline of a language.

    Raises:
        ValueError: If spaCy does not have the language, or a package that it needs is missing.
    """
    try:
        get_lang_class(lang)
    except ImportError as error:
        raise ValueError(_unknown(lang)) from error
    try:
        return spacy.blank(lang)
    except ImportError as error:
        raise _missing(lang) from error


def own_tokenizer(nlp: Language) -> Callable[[str], Doc] | None:
    """Return the tokenizer that spaCy has for a language without spaces, None for any other.

    Raises:
        ValueError: If a package that it needs is missing.
    """
    settings: dict[str, Any] = nlp.Defaults.config.get("nlp", {})
    block = settings.get("tokenizer", {"@tokenizers": "spacy.Tokenizer.v1"})
    if block["@tokenizers"] == "spacy.Tokenizer.v1":
        return None
    try:
        made: Callable[[str], Doc] = registry.resolve({"made": block})["made"](nlp)
    except ImportError as error:
        raise _missing(str(nlp.lang)) from error
    return made


def warn_of_other_tokens(examples: Iterable[Example], lang: str, name: str) -> None:
    """Warn where documents that were converted have other tokens than the pipeline makes.

    Args:
        examples: Training examples; the first converted documents among them are examined.
        lang: Language of the pipeline.
        name: Name of the component.
    """
    converted = (eg for eg in examples if GOLD_KEY in eg.reference.user_data)
    differ = [_bounds(eg.predicted) != _bounds(eg.reference) for eg in islice(converted, EXAMINED)]
    if any(differ):
        warn(
            f"{sum(differ)} of {len(differ)} converted training documents have other tokens than "
            f'the pipeline of "{name}" makes (its language is "{lang}"): entities are learned '
            f"only where both have the same bounds. Give the conversion and the training one "
            f"language (convert --lang {lang}, or spacy train --nlp.lang), and convert anew after "
            "an update of this package"
        )


def make_clinical_tokenizer() -> Callable[[Language], Tokenizer]:
    """Return the language's tokenizer with more splits, for clinical text.

    Chinese, Japanese, Korean, Thai, and Vietnamese keep spaCy's own. There are no settings.
    """
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


def _bounds(doc: Doc) -> list[tuple[int, int]]:
    return [(token.idx, token.idx + len(token)) for token in doc]


def _missing(lang: str) -> ValueError:
    install = PACKAGES.get(lang, f"pip install 'spacy[{lang}]'")
    return ValueError(f'the tokenizer of the language "{lang}" needs a package: {install}')


def _unknown(lang: str) -> str:
    """Return the message for a language that spaCy does not have, with codes that may be meant."""
    names = _names()
    asked = lang.casefold().replace("_", "-").split("-")[0]
    by_name = {name.casefold(): code for code, name in names.items()}
    if code := ALIASES.get(asked, asked if asked in names else None):
        codes = [code]
    else:
        codes = [by_name[name] for name in get_close_matches(asked, by_name, 3, 0.7)]
        codes = codes or get_close_matches(asked, names, 5, 0.5)
    meant = ", ".join(f'"{code}" ({names[code]})' for code in codes)
    hint = f"; near: {meant}" if meant else ""
    return f'spaCy has no language "{lang}"{hint}. "xx" serves any language that has spaces'


def _names() -> dict[str, str]:
    """Return the names of the languages of spaCy by their codes."""
    codes = [module.name for module in pkgutil.iter_modules(spacy.lang.__path__) if module.ispkg]
    modules = {code: importlib.import_module(f"spacy.lang.{code}") for code in codes}
    return {
        code: each.__name__
        for code, module in modules.items()
        for each in vars(module).values()
        if isinstance(each, type) and getattr(each, "lang", None) == code
    }
