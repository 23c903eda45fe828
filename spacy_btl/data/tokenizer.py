"""A tokenizer for clinical text: that of the language, with cuts where annotators cut as well.

In clinical text a unit may end the sentence ("200 mg/dL."), a citation number follow a word without
a space ("fibers4", "criteria.12"), and a bracket be inside a word ("COX)-deficient"). Entities that
end there do not fall on the tokens of the language. The rules add cuts and change no text.
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

# A URL stays whole: the rules for citation numbers would cut "https://example.org/page12".
URL = re.compile(r"(?:https?://|ftp://|www\.)\S*[0-9]\Z").match

# "l." and "h." are exceptions of the language, which would join the end of "5 mmol/l." again.
_SINGLE_LETTER = re.compile(r"[a-z]\.").fullmatch


def make_clinical_tokenizer() -> Callable[[Language], Tokenizer]:
    """Return `clinical_tokenizer`, for a config."""
    return clinical_tokenizer


def clinical_tokenizer(nlp: Language) -> Tokenizer:
    """Return the tokenizer of a pipeline's language, with the rules of this module first."""
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
