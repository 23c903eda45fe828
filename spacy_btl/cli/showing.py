"""What convert and stats say of annotated documents, in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from ..util.text import counted, printable

if TYPE_CHECKING:
    from ..conversion.account import Account
    from ..conversion.convert import Conversion

SHOWN = 20
"""Problems in the files that the command line lists; account.json has all."""

SAME_SHOWN = 5
"""Groups of documents with the same text that the command line lists; split.json has all."""


def show_renamed(renamed: dict[str, str]) -> None:
    """Print which labels have been written without their white space."""
    if renamed:
        pairs = ", ".join(f'"{label}" as {new}' for label, new in renamed.items())
        msg.warn(f"brat reads no white space in labels, written are: {printable(pairs)}")


def show_conversion(conversion: "Conversion", source: Path, out_dir: Path) -> None:
    """Print what became of the entities, of the documents, and what is lost."""
    show_account(conversion, source, out_dir)
    _show_duplicates(conversion)
    show_left_out(conversion.account)
    for note in conversion.notes:
        msg.info(note)
    parts = conversion.parts.items()
    msg.good(", ".join(f"{part} {counted(len(names), 'document')}" for part, names in parts))
    show_warnings(conversion.account)  # last, so that nobody overlooks them


def show_left_out(account: "Account", corpus: str = "") -> None:
    """Print how many documents are left out, as another corpus has their text."""
    from ..conversion.reading import LEFT_OUT

    if n := account.settings.get(LEFT_OUT):
        msg.warn(f"{corpus}{': ' if corpus else ''}{LEFT_OUT}: {n}")


def show_account(conversion: "Conversion", source: Path, out_dir: Path) -> None:
    """Print the problems in the files, the sums of the account, and the place of the rest."""
    from ..brat.folder import relative_name

    if others := conversion.passed_over:
        names = ", ".join(relative_name(path, source) for path in others[:3])
        more = ", ..." if len(others) > 3 else ""
        said = counted(len(others), "other file")
        typer.echo(f"passed over in {source}: {said}: {names}{more}")
    _show_format(conversion.account)
    _show_problems(conversion.account)
    totals = conversion.account.totals()
    typer.echo(", ".join(f"{number} {what}" for what, number in totals.items()))
    if conversion.account.mapped:
        counts = conversion.account.by_map()
        typer.echo(
            "by the map: " + ", ".join(f"{number} {what}" for what, number in counts.items())
        )
    typer.echo(f"why: {out_dir / 'account.md'}, row by row: {out_dir / 'account.json'}")


def _show_format(account: "Account") -> None:
    """Print the format that was read, and what else is to be said of the reading."""
    known = [*account.settings][: [*account.settings].index("overlap")]
    values = [f"{key} {account.settings[key]}" for key in known if key != "format"]
    more = f" ({'; '.join(values)})" if values else ""
    typer.echo(f"read as {account.settings['format']}{more}")


def show_warnings(account: "Account") -> None:
    """Print what is lost in capitals on stderr, apart from any figures."""
    for warning in account.warnings():
        typer.secho(f"WARNING: {warning}", fg="yellow", bold=True, err=True)


def _show_duplicates(conversion: "Conversion") -> None:
    """Print how many texts occur more than once, which documents, and whether a part has them."""
    from ..data.duplicates import count_duplicates
    from ..data.groups import describe_names, in_several_parts

    groups = conversion.duplicates
    if not groups:
        return
    counts = count_duplicates(groups)
    texts, documents = counts.pop("texts"), counts.pop("documents")
    more = "".join(f", {number} of them {what}" for what, number in counts.items() if number)
    part_of = {name: part for part, names in conversion.parts.items() for name in names}
    torn = in_several_parts((group["documents"] for group in groups), part_of)
    where = (
        f"{len(torn)} of them are in more than one part, which makes scores too good"
        if torn
        else "each is in one part"
    )
    found = f"{texts}, in {counted(documents, 'document')}{more}"
    msg.warn(f"texts that occur more than once: {found}; {where}")
    for names in (torn or [group["documents"] for group in groups])[:SAME_SHOWN]:
        typer.echo(f"same text: {describe_names(names)}")
    if texts > SAME_SHOWN:
        typer.echo("all are in split.json")


def _show_problems(account: "Account") -> None:
    """Print the first problems by file and line, and the number of all."""
    if not account.problems:
        return
    msg.warn(f"problems in the files: {len(account.problems)}, errors: {len(account.errors())}")
    for problem in account.problems[:SHOWN]:
        place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
        words = (place, problem["level"], problem["record"], f"{problem['reason']},")
        typer.echo(" ".join([*filter(None, words), problem["detail"]]))  # msg would break the line
    if len(account.problems) > SHOWN:
        typer.echo(f"and {len(account.problems) - SHOWN} more, in account.json")
