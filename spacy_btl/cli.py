"""``python -m spacy btl``."""
import typer
app = typer.Typer(name="btl", help="x")
@app.callback()
def main() -> None:
    """x"""
