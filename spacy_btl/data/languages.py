"""Languages: an empty pipeline, tokenizers that need a package, and tokens of another tokenizer."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any

import spacy
import spacy.lang
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import get_lang_class, registry

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
"""What is taken for the code of a language, and that code."""

EXAMINED = 200
"""Training documents whose tokens are compared with those of the pipeline."""


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
