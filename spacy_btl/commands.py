"""What the commands share.

spaCy loads them at every start of its command line, so that each imports what it needs as it runs.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

if TYPE_CHECKING:
    from spacy.language import Language

app = typer.Typer(
    name="btl",
    help="Clinical entity recognition that keeps the rare types: from BRAT annotation to a wheel.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@contextmanager
def errors_as_text() -> Iterator[None]:
    """Bad input is no crash: its message, without a traceback, and exit status 1.

    Warnings are told without the line of code that they come from, beside the output.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if category is UserWarning:
                typer.secho(f"Warning: {message}", fg="yellow", err=True)
            else:
                shown(message, category, *where)

        warnings.showwarning = show  # type: ignore[assignment]
        try:
            yield
        except (ValueError, OSError) as error:
            msg.fail(str(error), exits=1)


def save_pipeline(nlp: "Language", out_dir: Path) -> None:
    """Write a pipeline and its seal as this folder, without the words of its training texts.

    A pipeline that is there is replaced as a whole: no component of before stays behind. Raises
    ValueError where the folder holds something else.
    """
    import shutil
    import tempfile

    from .privacy import without_training_texts
    from .seal import write_seal

    check_target(out_dir)
    target = out_dir.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        part = Path(folder) / target.name
        without_training_texts(nlp).to_disk(part)
        write_seal(part)
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)


def check_target(out_dir: Path) -> None:
    """Raise ValueError where `save_pipeline` would: before hours of work, rather than after."""
    if out_dir.is_file():
        raise ValueError(f"{out_dir} is a file; name a folder")
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "config.cfg").is_file():
        raise ValueError(f"{out_dir} holds files, but no pipeline; name another folder")


def load_pipeline(model: Path) -> "Language":
    """Load a pipeline. Raises ValueError, with the file's name, where a sealed one has changed.

    ``spacy.load`` alone meets the seal after spaCy's own files, with whatever error these give.
    """
    import spacy

    from .seal import check_seal

    check_seal(model)
    return spacy.load(model)
