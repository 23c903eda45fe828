"""A tokenizer for clinical text: the language's own, cut where annotators cut and it does not.

In running clinical text a unit ends the sentence ("200 mg/dL."), citation numbers stick to the word
before ("fibers4", "criteria.12"), and brackets stand inside words ("COX)-deficient"). An entity
that ends there does not fall on the stock tokens. The rules cut more and change no text.
"""

import re
from collections.abc import Callable, Sequence

from spacy.language import Language
from spacy.tokenizer import Tokenizer  # type: ignore[import-not-found]
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

PREFIXES = (r"[~∼≈±](?=\d)",)

SUFFIXES = (
    r"(?<=[a-zµμ0-9][A-Z])\.",  # "mg/dL.", "cm H2O.", "T1D."
    r"(?<=/[A-Z])\.",  # "mEq/L."
    r"(?<=[a-z]{4})[0-9]{1,2}",  # "fibers4"
    r"(?<=[a-zA-Z)][.,;])[0-9]{1,3}(?:[,–-][0-9]{1,3})*",  # "criteria.12", "ECD,1"
    r"(?<=[a-z.,;]{3})\[[0-9]{1,3}(?:[,–-][0-9]{1,3})*\]?",  # "risk[4]"
)

INFIXES = (
    r"[.,]?[(\[](?=[a-zA-Z0-9])",  # "uptake(max", "angle.(Fig.1"
    r"[)\]][-–/]?(?=[a-zA-Z])",  # "COX)-deficient", "PET)/CT"
    r"(?<=[0-9])\.(?=[A-Z][a-z])",  # "10/10.The"
    r"(?<=[a-zA-Z0-9])=(?=[0-9])",  # "pressure=29"
    r"(?<=[a-zµμ])/(?=[0-9])",  # "μg/24"
    r"(?<=[A-Z])\+(?=[A-Z])",  # "BUCY+ATG"
)

# Kept whole, or the rules for citation numbers would cut "https://example.org/page12".
URL = re.compile(r"(?:https?://|ftp://|www\.)\S*[0-9]\Z").match

# "l." and "h." are special cases of the stock rules, which glue the end of "5 mmol/l." again.
_SINGLE_LETTER = re.compile(r"[a-z]\.").fullmatch


def make_clinical_tokenizer() -> Callable[[Language], Tokenizer]:
    """The registered form of `clinical_tokenizer`."""
    return clinical_tokenizer


def clinical_tokenizer(nlp: Language) -> Tokenizer:
    """The tokenizer of the language of ``nlp``, with the rules of this module before its own."""
    defaults = nlp.Defaults
    rules = defaults.tokenizer_exceptions or {}

    def joined(
        ours: Sequence[str], theirs: Sequence[str | re.Pattern[str]] | None
    ) -> list[str | re.Pattern[str]]:
        return [*ours, *(theirs or ())]

    return Tokenizer(
        nlp.vocab,
        rules={text: tokens for text, tokens in rules.items() if not _SINGLE_LETTER(text)},
        prefix_search=compile_prefix_regex(joined(PREFIXES, defaults.prefixes)).search,
        suffix_search=compile_suffix_regex(joined(SUFFIXES, defaults.suffixes)).search,
        infix_finditer=compile_infix_regex(joined(INFIXES, defaults.infixes)).finditer,
        token_match=defaults.token_match or URL,
        url_match=defaults.url_match,
    )
