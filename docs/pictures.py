"""Draws README's pictures into docs/pictures, from committed results: `nox -s pictures`.

trade-off.png    Fig. 1 of the paper: PSNR over parameters, published and as far as measured values are committed
comparison.png   crops of HR, LR, bicubic and the SPIN that comes with the suite, of a photograph inside scikit-image
table.png        Table 2 as LaTeX sets it; needs pdflatex and pdftoppm, without which the picture stays as it is

Each states in its metadata what it shows (`facts`), by which a test tells whether it is up to date. Backgrounds are
white, so that the pictures are legible on dark pages too.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageChops, ImageDraw, ImageFont, PngImagePlugin

import results
from reports import figures
from reports.figures.style import INK
from reports.pictures import PageComparison, load_page_pictures, page_comparisons
from reports.study import load_study
from reports.tradeoff import TradeOff

FOLDER = Path(__file__).with_name("pictures")
FACTS = "Description"  # key in the metadata of a PNG file
MOST = 150_000  # bytes of a picture
STARRED = "SPIN"  # in place of the reader's own network, which `ours:` of an experiment stars
SHORT = "cpu-short"  # the protocol of Table 2 here
IMAGE, BOX = "chelsea", "144,84,64,64"  # the box is chosen by hand: an eye
SIDE, GAP, LINE, LETTERS = 192, 10, 18, 14  # pixels of a crop, between crops, of a line of text, of its letters


def main() -> None:
    """Draw all pictures; say what the committed results lack."""
    picture = trade_off()
    drawn = {"trade-off.png": (draw_trade_off(picture), trade_off_facts(picture))}
    if not any(point.kind == "measured" for point in picture.points):
        print("trade-off.png: published values only; results/measured/published holds no measured ones")
    with tempfile.TemporaryDirectory() as folder:
        compared = comparison(Path(folder))
        drawn["comparison.png"] = draw_comparison(compared), comparison_facts(compared)
        if missing := [program for program in ("pdflatex", "pdftoppm") if not shutil.which(program)]:
            print(f"table.png: left as it is, without {' and '.join(missing)}")
        else:
            drawn["table.png"] = draw_table(Path(folder)), table_facts()
    for name, (image, facts) in drawn.items():
        results.write(FOLDER / name, encoded(image, facts))
        print(f"drawn: {FOLDER / name}")


def trade_off() -> TradeOff:
    """Table 1's networks in the picture of Fig. 1, one of them starred."""
    return load_study("table1", "published", results.MEASURED).trade_off()._replace(ours=(STARRED,))


def trade_off_facts(picture: TradeOff) -> str:
    points = (f"{one.label}, {picture.named(one.kind)}: {one.x:,.0f}, {one.y:.2f} dB" for one in picture.points)
    return "\n".join(points)


def draw_trade_off(picture: TradeOff) -> Image.Image:
    drawn = figures.trade_off(picture, figures.PAGE)
    return Image.open(io.BytesIO(figures.save(drawn, "png"))).convert("RGB").quantize(128)


def comparison(folder: Path) -> PageComparison:
    """Made by the command that a user has."""
    spinbench("picture", "compare", "pretrained", "--networks", "bicubic,pretrained",
              "--image", f"embedded-test/{IMAGE}", "--box", BOX, "--results", str(folder))  # fmt: skip
    (found,) = page_comparisons(load_page_pictures(folder)[0])
    return found


def comparison_facts(one: PageComparison) -> str:
    lines = (f"{panel.label}: {panel.whole[0].value} dB, {panel.whole[1].value}" for panel in one.panels)
    return "\n".join([f"{one.facts.image} x{one.facts.scale}", *lines])


def draw_comparison(one: PageComparison) -> Image.Image:
    """The image, and crops of HR, LR and every network, with what was measured of the whole image."""
    panels = list(_panels(one))
    sheet = Image.new("RGB", (len(panels) * (SIDE + GAP) + GAP, SIDE + 2 * LINE + 2 * GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.truetype(font_manager.findfont("DejaVu Sans"), LETTERS)
    for column, (image, *texts) in enumerate(panels):
        left = GAP + column * (SIDE + GAP)
        sheet.paste(image, (left + (SIDE - image.width) // 2, GAP + (SIDE - image.height) // 2))
        for number, text in enumerate(texts):
            place = left + SIDE // 2, GAP + SIDE + 4 + number * LINE
            pen.text(place, text, font=font, fill=INK, anchor="ma")
    return sheet


def _panels(one: PageComparison) -> Iterator[tuple[Image.Image, str, str]]:
    facts = one.facts
    overview = _image(one, facts.overview)
    overview.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    yield overview, facts.image.rpartition("/")[2], "of scikit-image"
    yield _crop(_image(one, facts.crop)), "HR", "PSNR / SSIM"
    yield _crop(_image(one, facts.lr_crop)), f"LR, ×{facts.scale}", ""
    for panel in one.panels:
        psnr, ssim = panel.whole
        yield _crop(_image(one, panel.crop)), panel.label, f"{psnr.value} dB / {ssim.value}"


def _image(one: PageComparison, file: str) -> Image.Image:
    return Image.open(io.BytesIO(one.shown.picture.png(file))).convert("RGB")


def _crop(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def draw_table(folder: Path) -> Image.Image:
    """Table 2 of the suite's own runs on a page of LaTeX's article, cropped to the table."""
    spinbench("report", "table2", "--protocol", SHORT, "--results", str(folder))
    (source,) = folder.glob(f"report/**/{SHORT}/table2.tex")
    for command in (
        ("pdflatex", "-interaction=batchmode", "-halt-on-error", "table2.tex"),
        ("pdftoppm", "-r", "170", "-gray", "-png", "-singlefile", "table2.pdf", "table"),
    ):
        subprocess.run(command, cwd=source.parent, check=True, stdout=subprocess.DEVNULL)
    page = Image.open(source.with_name("table.png")).convert("L")
    left, top, right, bottom = ImageChops.invert(page).getbbox() or (0, 0, *page.size)
    return page.crop((left - 2 * GAP, top - 2 * GAP, right + 2 * GAP, bottom + 2 * GAP)).quantize(16)


def table_facts() -> str:
    """A digest of the numbers in the table, published and measured."""
    numbers = ["scale", "variant", "dataset", "metric", "published", "measured", "sd", "n_images", "params", "macs"]
    table = load_study("table2", SHORT, results.MEASURED).table[numbers].round(4)
    return f"table2, {SHORT}: {hashlib.sha256(results.as_csv(table).encode()).hexdigest()}"


def encoded(image: Image.Image, facts: str) -> bytes:
    """A PNG file with its facts. Raises ValueError for one that is too large for README."""
    about, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add_itxt(FACTS, facts)
    image.save(buffer, "PNG", optimize=True, pnginfo=about)
    if buffer.tell() > MOST:
        raise ValueError(f"a picture has {buffer.tell()} bytes, expected at most {MOST}")
    return buffer.getvalue()


def spinbench(*arguments: str) -> None:
    command = [sys.executable, "-m", "spinbench", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    main()
