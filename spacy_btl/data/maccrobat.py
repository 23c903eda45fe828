"""Find or fetch the corpus: a folder of BRAT pairs, MACCROBAT2020, or the bundled sample.

Whatever the source, the result is one folder of .txt/.ann (or .a1/.a2) files, copied byte for byte
(BRAT offsets count every character, a carriage return too), and `corpus.json`, which says where
they came from.
"""

import json
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from ..brat.folder import scan_folder
from ..util.files import replacing_folder, sha256_of
from .archives import ArchiveError, unpack
from .download import DownloadError, ask_publisher, fetch
from .gold import INFO_NAME

FIGSHARE_URL = "https://api.figshare.com/v2/articles/9764942/versions/2"
SAMPLE_HEADING = "bundled sample: scores say nothing about MACCROBAT"
MACCROBAT = {
    "title": "MACCROBAT2020",
    "doi": "10.6084/m9.figshare.9764942.v2",
    "license": "CC BY 4.0",
    "citation": "Caufield et al. 2018, Sci Data 5:180258",
}
SAMPLE = {"title": "bundled sample of spacy-btl", "doi": "", "license": "MIT", "citation": ""}
MACCROBAT_KINDS = ("assets", "zip", "download")
ANNOTATION_SUFFIXES = (".ann", ".a1", ".a2")
DOCUMENT_SUFFIXES = (".txt", *ANNOTATION_SUFFIXES)


class CorpusError(ValueError):
    """No corpus could be found, fetched or written; the text says why and what to do."""


@dataclass(frozen=True)
class CorpusInfo:
    """Where the documents of a prepared folder came from; the content of its `corpus.json`.

    `source` is "folder", "assets", "zip", "download" or "sample". `documents` counts texts that
    have annotations; `unpaired` counts texts that have none and so were not copied. `sha256` is
    taken over names and contents, hence the same wherever the same documents were found. `heading`
    belongs above any score: it is empty unless `bundled_sample`. Texts that are unknown are empty.
    """

    source: str
    title: str
    doi: str
    license: str
    citation: str
    documents: int
    unpaired: int
    sha256: str
    bundled_sample: bool
    heading: str


def read_info(folder: Path) -> CorpusInfo:
    """Read the `corpus.json` of a folder that `prepare_corpus` made; CorpusError if it is not."""
    try:
        data = json.loads((folder / INFO_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder}: no readable {INFO_NAME}: {error}") from error
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(CorpusInfo)}:
        raise CorpusError(f"{folder}: {INFO_NAME} does not describe a prepared corpus")
    return CorpusInfo(**data)


def prepare_corpus(
    source: str,
    out_dir: Path,
    *,
    assets_dir: Path,
    sample: Literal["allow", "never"] = "allow",
    url: str = FIGSHARE_URL,
    timeout: float = 10.0,
) -> CorpusInfo:
    """Fill `out_dir` with the documents of `source` and a `corpus.json`, all of it or nothing.

    `source` is a folder, or "maccrobat" ("./maccrobat" for a folder of that name), which is looked
    for in this order: documents in `assets_dir/maccrobat`; the publisher's zip there, in
    `assets_dir` or from an earlier download; the publisher's API at `url`; the bundled sample in
    `assets_dir/sample`, with a notice on stderr, when the download fails in whatever way and
    `sample` is not "never". `timeout` is the longest wait in seconds for a connection, and for each
    piece of an answer.

    An `out_dir` that an earlier call made is replaced whole.

    Raises:
        CorpusError: no documents, a failed download, a broken or hostile zip, an `out_dir` that
            somebody else made or that overlaps with the source, a file that cannot be read or
            written.

    """
    if sample not in ("allow", "never"):
        raise CorpusError(f'sample must be "allow" or "never", not {sample!r}')
    try:
        out_dir = out_dir.resolve()
        _check_replaceable(out_dir)
        if source == "maccrobat":
            kind, origin = _locate_maccrobat(assets_dir, sample, url, timeout)
        else:
            kind, origin = "folder", Path(source)
            if not source or not origin.is_dir():
                raise CorpusError(f'The source {source!r} is neither "maccrobat" nor a folder')
            if not _find_pairs(origin)[0]:
                raise CorpusError(f"{source}: no .txt file with a .ann, .a1 or .a2 file beside it")
        _check_apart(origin.resolve(), out_dir)
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out_dir.name}-", dir=out_dir.parent) as name:
            staging = Path(name)
            root = origin if origin.is_dir() else _unpack_corpus(origin, staging)
            root = _edition_2020(root) if kind in MACCROBAT_KINDS else root
            with replacing_folder(out_dir) as new:
                info = _copy_documents(root, new, kind)
    except OSError as error:
        raise CorpusError(f"The corpus could not be prepared: {error}") from error
    except ArchiveError as error:
        raise CorpusError(str(error)) from error
    return info


# -- folders ---------------------------------------------------------------------------------------


def _find_pairs(folder: Path) -> tuple[list[Path], int, int]:
    """Files of all pairs as sorted relative paths, the number of pairs, of unpaired texts."""
    documents = list(scan_folder(folder)[0].values()) if folder.is_dir() else []
    texts = [files for files in documents if ".txt" in files]
    pairs = [files for files in texts if len(files) > 1]
    paired = [path.relative_to(folder) for files in pairs for path in files.values()]
    return sorted(paired, key=Path.as_posix), len(pairs), len(texts) - len(pairs)


def _edition_2020(root: Path) -> Path:
    """Step into the folders an archive wraps its documents in, so that names never depend on it."""
    while True:
        folders = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.is_symlink()]
        inside = [p for p in folders if _find_pairs(p)[0]]
        newer = [p for p in inside if "2020" in p.name]
        if newer:  # beside the 2018 edition, which holds the same reports
            root = newer[0]
        elif len(inside) == 1 and _find_pairs(inside[0])[1] == _find_pairs(root)[1]:
            root = inside[0]
        else:
            return root


def _copy_documents(root: Path, target: Path, kind: str) -> CorpusInfo:
    paths, documents, unpaired = _find_pairs(root)
    lines = []
    for path in paths:
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, copy)
        lines.append(os.fsencode(path.as_posix()) + b"\0" + bytes.fromhex(sha256_of(copy)))
    is_sample = kind == "sample"
    unknown = SAMPLE if is_sample else dict.fromkeys(MACCROBAT, "")
    info = CorpusInfo(
        source=kind,
        **(MACCROBAT if kind in MACCROBAT_KINDS else unknown),
        documents=documents,
        unpaired=unpaired,
        sha256=sha256_of(lines),
        bundled_sample=is_sample,
        heading=SAMPLE_HEADING if is_sample else "",
    )
    text = json.dumps(asdict(info), indent=2, ensure_ascii=False) + "\n"
    (target / INFO_NAME).write_text(text, encoding="utf-8")
    return info


def _check_replaceable(out_dir: Path) -> None:
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    try:
        read_info(out_dir)
    except CorpusError as error:
        raise CorpusError(
            f"{out_dir} exists and was not made by this command, so it is left alone ({error}). "
            "Remove it or choose another folder."
        ) from error


def _check_apart(origin: Path, out_dir: Path) -> None:
    if out_dir in (origin, *origin.parents) or origin in out_dir.parents:
        raise CorpusError(f"The source {origin} and the target {out_dir} must not overlap")


# -- MACCROBAT -------------------------------------------------------------------------------------


def _locate_maccrobat(assets: Path, sample: str, url: str, timeout: float) -> tuple[str, Path]:
    """The kind of source, and the folder or zip it is."""
    given, downloads = assets / "maccrobat", assets / ".download"
    if _find_pairs(given)[0]:
        return "assets", given
    for kind, folder in (("zip", given), ("zip", assets), ("download", downloads)):
        name = _pick_zip(path.name for path in folder.glob("*") if path.is_file())
        if name:
            return kind, folder / name
    try:
        return "download", fetch(ask_publisher(url, _pick_zip, timeout), downloads, timeout)
    except DownloadError as error:
        choices = [
            f"put its .txt and .ann files, or the publisher's zip (doi {MACCROBAT['doi']}), "
            f"into {given}",
            "pass a folder of .txt/.ann pairs as the source",
        ]
        has_sample = bool(_find_pairs(assets / "sample")[0])
        if has_sample and sample == "allow":
            _print_notice(str(error), [*choices, "refuse the sample (--sample never)"])
            return "sample", assets / "sample"
        choices += ["allow the bundled sample (--sample allow)"] if has_sample else []
        listed = "".join(f"\n  - {choice}" for choice in choices)
        raise CorpusError(f"MACCROBAT could not be fetched: {error}\nYou can{listed}") from error


def _print_notice(cause: str, choices: list[str]) -> None:
    texts = ["THIS IS NOT MACCROBAT", SAMPLE_HEADING, f"MACCROBAT could not be fetched: {cause}"]
    texts += ["To change that, run this again when the network is back, or"]
    texts += [f"- {choice}" for choice in choices]
    wrap = textwrap.TextWrapper(92, break_long_words=False, break_on_hyphens=False)
    body = "\n".join(wrap.fill(text) for text in texts)
    frame = "#" * 96
    print(f"\n{frame}\n{textwrap.indent(body, '# ')}\n{frame}\n", file=sys.stderr)


def _pick_zip(names: Iterable[str]) -> str | None:
    """The name of the best MACCROBAT archive: the 2020 edition, else a zip that should hold it."""
    ranked = []
    for name in sorted(names):
        low = name.lower()
        known = "maccrobat" in low and ("2020" in low or "2018" not in low)
        if low.endswith(".zip") and low[0] != "." and (known or low == "9764942.zip"):
            ranked.append(("2020" not in low, name))
    return min(ranked)[1] if ranked else None


def _unpack_corpus(archive: Path, staging: Path) -> Path:
    """Unpack the documents of a zip, or of the edition of 2020 that it holds as a zip."""
    outer = staging / "outer"
    unpack(archive, str(archive), outer, (*DOCUMENT_SUFFIXES, ".zip"))
    if _find_pairs(outer)[0]:
        return outer
    nested = {path.name: path for path in outer.rglob("*.zip") if path.is_file()}
    name = _pick_zip(nested)
    if name:
        inner = staging / "inner"
        # Without .zip among the suffixes: one level, never deeper.
        unpack(nested[name], f"{archive}, {name} in it", inner, DOCUMENT_SUFFIXES)
        if _find_pairs(inner)[0]:
            return inner
    raise CorpusError(f"{archive}: holds neither .txt/.ann pairs nor a MACCROBAT2020.zip with them")
