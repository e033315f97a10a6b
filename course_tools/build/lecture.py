"""Execute a lecture notebook, and make the page that shows it."""

import html
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from course_tools.build.notebooks import has_tag, read
from course_tools.build.outcome import Outcome
from course_tools.build.project import prepare_jupyter


def run_lecture(
    notebook: Path,
    executed: Path,
    report: Path,
    parameters: dict[str, Any],
    data: Path | None = None,
    cell_timeout: int | None = None,
    bar: dict[str, Any] | None = None,
) -> Outcome:
    """Execute a lecture with papermill in an empty folder elsewhere, so that it cannot lean on where it lies.

    Args:
        notebook: the .ipynb.
        executed: where to write the executed notebook.
        report: the report's folder; the page goes to `lectures/<name>.html` in it.
        parameters: values for the notebook's parameters cell.
        data: a folder that stands as data/ in the empty one, so that downloads are kept.
        cell_timeout: seconds after which a cell counts as failed.
        bar: keywords for papermill's tqdm bar over the cells.

    Returns:
        An Outcome whose problem names the cell that failed; the page is there even then.
    """
    prepare_jupyter()
    import papermill

    executed.parent.mkdir(parents=True, exist_ok=True)
    begin, problem = perf_counter(), ""
    with tempfile.TemporaryDirectory() as elsewhere, static_pictures():
        if data is not None:
            (Path(elsewhere) / "data").symlink_to(data.resolve(), target_is_directory=True)
        try:
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                parameters=parameters,
                cwd=elsewhere,
                progress_bar=bar or False,
                execution_timeout=cell_timeout,
                interrupt_on_timeout=True,
                request_save_on_cell_execute=False,
                extra_arguments=["--log-level=ERROR"],
            )
        except papermill.PapermillExecutionError as error:
            stopped = error.ename == "KeyboardInterrupt"  # nobody else interrupts this kernel
            said = f"longer than {cell_timeout} seconds" if stopped else f"{error.ename}: {error.evalue}"
            problem = f"cell {error.cell_index + 1}: {said}"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
    seconds = perf_counter() - begin
    pages, written = [], ""
    if executed.is_file():
        pages = [write_page(executed, report), *extract_pictures(executed, report)]
        written = os.path.relpath(executed, report.parent)
    return Outcome(notebook.stem, seconds, headline(executed), problem, pages=pages, executed=written)


@contextmanager
def static_pictures() -> Iterator[None]:
    """Kernels started in the block draw figures in place of widgets: a page has nobody to move a slider.

    There is a second reason. What an output widget shows, nbclient sends back to the kernel while it waits
    for the cell's reply on the same socket, and now and then misses the reply: it then waits for ever.
    """
    before = os.environ.get("COURSE_STATIC")
    os.environ["COURSE_STATIC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COURSE_STATIC"]
        else:
            os.environ["COURSE_STATIC"] = before


def headline(executed: Path) -> str:
    """The last line that the cell tagged `headline` printed or returned."""
    if not executed.is_file():
        return ""
    cells = [cell for cell in read(executed).cells if cell.cell_type == "code" and has_tag(cell, "headline")]
    texts = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for cell in cells
        for output in cell.outputs
        if output.get("name") != "stderr"
    ]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def write_page(executed: Path, report: Path) -> str:
    """The executed notebook as one self-contained HTML file; returns its path in the report.

    Only formulas need the network: a browser fetches MathJax for them.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True, exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_filename(str(executed))
    page = report / "lectures" / f"{executed.stem}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    back = f'<p style="padding: 0 1em"><a href="../index.html">Report</a> / {html.escape(executed.stem)}</p>'
    page.write_text(body.replace("<main>", f"<main>{back}", 1), encoding="utf-8")
    return page.relative_to(report).as_posix()


def extract_pictures(executed: Path, report: Path, most: int = 8) -> list[str]:
    """The notebook's first pictures as PNG files; returns their paths in the report."""
    import base64

    folder = report / "lectures" / executed.stem
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    outputs = [output for cell in read(executed).cells for output in cell.get("outputs", [])]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    for number, picture in enumerate(pictures[:most], start=1):
        (folder / f"{number}.png").write_bytes(base64.b64decode(picture))
    return [path.relative_to(report).as_posix() for path in sorted(folder.glob("*.png"))]
