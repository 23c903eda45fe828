"""Convert several corpora, each to a folder of its own, for a training on all of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..util.files import check_apart, replacing_folder
from .convert import Conversion, convert_folder
from .reading import Reading

ACCOUNT = "account.json"
"""A file that the folder of every converted corpus has."""


def parse_sources(text: str) -> dict[str, Path]:
    """Return the corpora of a list such as ``trials=data/chia, data/phee``, by name.

    Args:
        text: Paths with a comma between them. A corpus has the name before the sign ``=``, or else
            that of its folder or file, without suffix.

    Raises:
        ValueError: If there is none, one does not exist, or a name is not a valid folder name or
            occurs twice.
    """
    sources: dict[str, Path] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        given, sign, rest = entry.partition("=")
        path = Path((rest if sign else entry).strip())
        name = given.strip() if sign else (path.name if path.is_dir() else path.stem)
        if not path.exists():
            raise ValueError(
                f"the folder or file {path} of the corpus {name} does not exist; correct "
                "the path, or leave it out of the list"
            )
        if not name or name.startswith(".") or any(sign in name for sign in "/\\:"):
            raise ValueError(
                f'"{name}" cannot name a corpus, which becomes a folder: write NAME={path}'
            )
        if name in sources:
            raise ValueError(f"two corpora have the name {name}: write NAME={path} for one of them")
        sources[name] = path
    if not sources:
        raise ValueError("no corpus is named: give paths, separated by commas")
    return sources


def convert_sources(
    sources: Mapping[str, Path],
    out_dir: Path,
    *,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    lang: str = "en",
    apart_from: Sequence[Path] = (),
) -> Iterator[tuple[str, Conversion]]:
    """Convert corpora to the folders ``out_dir/NAME``, and yield each with what was done.

    The folder is replaced as a whole when all are converted: corpora that are no longer among the
    sources are gone from it.

    Args:
        sources: Folders or files by name, as `convert_folder` takes them.
        out_dir: A folder that is new, empty, or has such folders only.
        shares: Shares of the documents in train, dev and test; None for one DocBin of all.
        seed: Seed of the split.
        lang: Language of the tokenizer.
        apart_from: DocBins whose documents no source may have, see `Reading`.

    Raises:
        ValueError: As `convert_folder` does; and if the folder has other files, or
            overlaps with a source.
        OSError: As `convert_folder` does.
    """
    check_apart(out_dir, (*sources.values(), *apart_from))
    others = [] if not out_dir.is_dir() else sorted(out_dir.iterdir())
    if foreign := [path.name for path in others if not (path / ACCOUNT).is_file()]:
        raise ValueError(
            f"{out_dir} has files other than converted corpora ({foreign[0]}); name another folder"
        )
    with replacing_folder(out_dir) as new:
        for name, path in sources.items():
            reading = Reading(corpus=name, apart_from=apart_from)
            yield (
                name,
                convert_folder(
                    path, new / name, shares=shares, seed=seed, lang=lang, reading=reading
                ),
            )
