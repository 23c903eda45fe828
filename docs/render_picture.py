"""Render a report annotated by a trained pipeline as a picture (displaCy in a headless browser).

    python docs/render_picture.py training/model-knn assets/sample/case-01.txt docs/report.png

Needs Chromium or Chrome on the PATH (Debian: apt-get install chromium).
"""

import argparse
import colorsys
import shutil
import subprocess
import tempfile
from pathlib import Path

import spacy
from spacy import displacy

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
)
STYLE = """<style>
body, figure {margin: 0 !important; padding: 6px !important; font-size: 15px !important}
.entities {line-height: 2.3 !important}
</style>"""


def label_colors(labels: list[str]) -> dict[str, str]:
    """Return light colors that lie well apart, the same for the same labels."""
    hues = [(i * 0.381966) % 1 for i in range(len(labels))]  # golden ratio: neighbors differ
    colors = [colorsys.hls_to_rgb(hue, 0.82, 0.75) for hue in hues]
    return {
        label: "#" + "".join(f"{round(255 * part):02x}" for part in color)
        for label, color in zip(sorted(labels), colors, strict=True)
    }


def render_html(model: Path, report: Path) -> str:
    nlp = spacy.load(model)
    colors = label_colors(list(nlp.pipe_labels["btl_knn_ner"]))
    doc = nlp(report.read_text(encoding="utf8").strip())
    return displacy.render(doc, style="ent", page=True, jupyter=False, options={"colors": colors})


def take_picture(html: str, picture: Path, width: int, height: int) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is on the PATH")
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(html.replace("</head>", f"{STYLE}</head>"), encoding="utf8")
        size = f"--window-size={width},{height}"
        target = f"--screenshot={picture.resolve()}"
        profile = f"--user-data-dir={folder}/profile"
        subprocess.run([browser, *FLAGS, profile, size, target, page.as_uri()], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="trained pipeline")
    parser.add_argument("report", type=Path, help="text of a report")
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--width", type=int, default=1000, help="in pixels")
    parser.add_argument("--height", type=int, default=640, help="in pixels")
    options = parser.parse_args()
    html = render_html(options.model, options.report)
    take_picture(html, options.picture, options.width, options.height)


if __name__ == "__main__":
    main()
