"""The passage in another document that speaks most against an annotation."""

from collections.abc import Iterator, Sequence

from .consistency import Lexicon, Place
from .findings import Evidence, Finding


class TokenAt:
    """Looks up the token of a document at a character.

    Args:
        starts: The first character of each token, by document.
    """

    def __init__(self, starts: Sequence[Sequence[int]]) -> None:
        self._index = [{start: i for i, start in enumerate(own)} for own in starts]

    def __call__(self, document: int, offset: int) -> int:
        """Return the token that begins at a character, -1 for none."""
        return self._index[document].get(offset, -1)


def counter_example(
    finding: Finding, evidence: Evidence, lexicon: Lexicon, token_at: TokenAt
) -> Place | None:
    """Return the place in another document that speaks most against an annotation.

    That is one of the same words with the suggested label, or else with another one than is
    annotated; or else the nearest token with the suggested label. None where there is neither.

    Args:
        finding: The finding.
        evidence: Evidence of its document.
        lexicon: Where words occur.
        token_at: The token of a document at a character.
    """
    wanted = -1 if finding.suggested is None else finding.suggested[2]
    annotated = -1 if finding.annotated is None else finding.annotated[2]
    document = lexicon.documents[finding.document]
    words = document.key(*finding.span)
    for kind in (wanted, *(kind for kind in finding.words if kind != wanted)):
        place = lexicon.example(words, kind, finding.document)
        if place and kind != annotated:
            return place
    for number, token in _nearest(finding, evidence, token_at):
        there = [e for e in lexicon.documents[number].entities if e[0] <= token < e[1]]
        if wanted < 0 and not there:
            return (number, token, token + 1)
        for start, end, kind in there:
            if kind == wanted:
                return (number, start, end)
    return None


def _nearest(finding: Finding, evidence: Evidence, token_at: TokenAt) -> Iterator[tuple[int, int]]:
    """Yield document and token of the neighbors of a finding's tokens, the nearest ones first."""
    for rank in range(evidence.nearest.shape[1]):
        for token in range(*finding.span):
            number, offset = evidence.nearest[token, rank].tolist()
            if number >= 0 and number != finding.document:
                there = token_at(number, offset)
                if there >= 0:
                    yield number, there
