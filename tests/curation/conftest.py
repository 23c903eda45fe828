"""One tokenizer for all tests of the room: making it takes longer than they do."""

from collections.abc import Iterator
from functools import cache

import pytest

from spacy_btl.curation import agreement


@pytest.fixture(scope="session", autouse=True)
def one_tokenizer() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "blank", cache(agreement.blank))
        patch.setattr(agreement, "clinical_tokenizer", cache(agreement.clinical_tokenizer))
        yield
