"""Gains of one reading of an arm over another, by how often the types occur."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from experiments.plan import Plan, Reading
from experiments.rows import SHOWN, Rows, difference, figures_together, title_of
from spacy_btl.util.text import markdown_table

LEAST = (200, 40, 1)
"""Gold mentions that a type of each band has at the least; 40 is the bound of the paper, whose
figures leave rarer types out."""


def render_bands(plan: Plan, test: Rows, pairs: Sequence[tuple[Reading, Reading]]) -> list[str]:
    """Return a table of both figures and their difference for each pair and band.

    Types are sorted into bands by their gold mentions in the documents that both readings have. The
    figures of a band are those of its types alone; what is predicted of a type without any mention
    is in no band.
    """
    cells = []
    for pair in pairs:
        if any(row not in test for row in pair):
            continue
        both = set(test[pair[0]]) & set(test[pair[1]])
        own, other = ({seed: test[row][seed] for seed in both} for row in pair)
        mentions = gold_mentions(own)
        for below, least in pairwise((None, *LEAST)):
            types = {t for t, n in mentions.items() if n >= least and (below is None or n < below)}
            ours, theirs = of_types(own, types), of_types(other, types)
            if not types or (found := difference(ours, theirs)) is None:
                continue
            band = f"{least} or more" if below is None else f"{least} to {below - 1}"
            names = [title_of(plan, row) for row in pair]
            cells.append([f"{band} ({len(types)} types)", *names, str(len(both))])
            first, second = figures_together(ours), figures_together(theirs)
            cells[-1] += [
                f"{first[i]:.3f} - {second[i]:.3f} = {found.difference[i]:+.3f} "
                f"({found.low[i]:+.3f} to {found.high[i]:+.3f})"
                for i in range(len(SHOWN))
            ]
    header = ["mentions of a type", "first", "second", "seeds", *SHOWN.values()]
    return markdown_table(header, cells) if cells else []


def gold_mentions(seeds: Mapping[int, Mapping[str, Any]]) -> Counter[str]:
    """Return gold entities of each type in the documents of all seeds, each document once."""
    documents = {name: each for docs in seeds.values() for name, each in docs.items()}
    mentions: Counter[str] = Counter()
    for each in documents.values():
        mentions.update({label: gold for label, (gold, _, _) in each["spans"].items() if gold})
    return mentions


def of_types(
    seeds: Mapping[int, Mapping[str, Any]], types: Collection[str]
) -> dict[int, dict[str, Any]]:
    """Return the counts of these types alone, without the looser ways to match."""
    return {
        seed: {
            name: {
                "spans": {label: n for label, n in each["spans"].items() if label in types},
                "tokens": {label: n for label, n in each["tokens"].items() if label in types},
                "pairs": dict.fromkeys(each["pairs"], 0),
            }
            for name, each in documents.items()
        }
        for seed, documents in seeds.items()
    }
