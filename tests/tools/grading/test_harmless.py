"""What student notebooks may carry into the instructor's browser: nothing that runs, all that can be read."""

import base64
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbgrader.server_extensions.formgrader import handlers

from course_lib.check.examine import Passed, examine
from course_lib.check.ladder import Verdict
from course_lib.exercises import get
from course_tools.build.project import find_root, labs
from course_tools.grading.batch.grade import ungraded
from course_tools.grading.batch.task import UNREADABLE, Lab, Settings, Task
from course_tools.grading.execute import _outputs
from course_tools.grading.harmless import make_harmless

ROOT = find_root(Path(__file__))
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
SVG = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>').decode()
RUN = "hacked()"  # without a `=`: the parser would not take it for a tag


EXPORTER = HTMLExporter(template_name="formgrade", extra_template_basedirs=[handlers.template_path])


def formgraded(notebook: Any) -> str:
    """The page that formgrader makes of a notebook."""
    about = {"index": 0, "total": 1, "base_url": "", "notebook_id": "lab", "assignment_id": "lab"}
    about |= {"submission_id": "1", "student": "ann", "first_name": "", "last_name": "", "notebook_path": ""}
    return str(EXPORTER.from_notebook_node(nbformat.from_dict(notebook), resources=about)[0])


FRAME = formgraded(new_notebook())


def alive(page: str) -> Iterator[str]:
    """What on a page of formgrader could run, or be fetched, and is not formgrader's own."""
    own = {str(tag) for tag in BeautifulSoup(FRAME, "html.parser").find_all(True)}
    for tag in BeautifulSoup(page, "html.parser").find_all(True):
        if str(tag) in own or tag.name in ("html", "head", "body"):
            continue
        addresses = [str(tag.get(name, "")) for name in ("href", "src", "data", "action", "srcset")]
        pictures = tag.name == "img" and not addresses[1].startswith(("data:image/png", "data:image/jpeg"))
        if (
            tag.name
            in ("script", "iframe", "object", "embed", "svg", "math", "style", "form", "link", "base")
            or any(name.startswith("on") for name in tag.attrs)
            or any("script:" in address.lower() or "text/html" in address for address in addresses)
            or (pictures and ":" in addresses[1])
        ):
            yield str(tag)[:200]


def shown(page: str) -> str:
    return BeautifulSoup(page, "html.parser").get_text()


def marked(grade_id: str) -> dict[str, Any]:
    own = {"grade": True, "solution": True, "locked": False, "grade_id": grade_id, "points": 2}
    return {"nbgrader": own | {"schema_version": 3, "task": False}}


def answer(source: str, **more: Any) -> Any:
    return new_notebook(cells=[new_markdown_cell(source, metadata=marked("q1"), **more)])


def output(**data: Any) -> Any:
    return new_notebook(cells=[new_code_cell("1", outputs=[new_output("display_data", data)])])


WRITTEN = {
    "a script": f"<script>{RUN}</script>",
    "a script in the middle of words": f"honest <ScRiPt src=//evil.example/x.js></sCrIpT>{RUN}",
    "an event": f"<img src=x onerror={RUN}>",
    "an event behind a slash": f"<svg/onload={RUN}>",
    "an event on an allowed tag": f'<details open ontoggle="{RUN}"><summary>x</summary></details>',
    "an unfinished tag": f'<img src="x" onerror="{RUN}" ',
    "a link": f"[click](javascript:{RUN})",
    "a link in disguise": f"[click](JaVa&#115;cript&colon;{RUN})",
    "a link by reference": f"[click][here]\n\n[here]: javascript:{RUN}",
    "a link in brackets": f"<javascript:{RUN}>",
    "a link that nbconvert shortens": f'<a href="/files/javascript:{RUN}">click</a>',
    "a link to Jupyter": "[click](/formgrader?path=submitted/ann/lab)",
    "a link to Jupyter by address": "[click](http://127.0.0.1:8888/formgrader?path=submitted/ann/lab)",
    "a picture that is a page of Jupyter": "![](/formgrader?path=submitted/ann/lab)",
    "a picture from elsewhere": "![](https://evil.example/formgrader.png)",
    "a frame": f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    "data that is a page": f"[click](data:text/html;base64,{base64.b64encode(b'<script>').decode()})",
    "a picture that is a page": "![x](data:image/svg+xml;base64," + SVG + ")",
    "a diagram": f"```mermaid\n</pre><img src=x onerror={RUN}>\n```",
    "a comment that ends early": f"<!--> <img src=x onerror={RUN}> -->",
    "a code span that ends early": f"`` a ` <img src=x onerror={RUN}>",
    "a formula that ends early": f"$a$<img src=x onerror={RUN}>$",
    "foreign elements": f"<math><mi><style><img src=x onerror={RUN}></style></mi></math>",
    "a form": f'<form action=javascript:{RUN}><input name="score"><button>Save</button></form>',
    "a style": "<style>body { display: none }</style>",
    "a layer over the page": '<div style="position: fixed; inset: 0">Full marks</div>',
    "a page redirected": '<meta http-equiv="refresh" content="0;url=//x"><base href="//evil.example">',
}


@pytest.mark.parametrize("source", WRITTEN.values(), ids=WRITTEN.keys())
def test_nothing_runs_and_the_honest_text_stays(source: str) -> None:
    page = formgraded(make_harmless(answer(f"The **honest** part, $a<b$.\n\n{source}\n\nIts end.")))
    assert list(alive(page)) == []
    assert "honest part" in shown(page).replace("**", "")
    assert "$a<b$" in shown(page)
    assert "Its end." in shown(page)


def test_the_search_for_what_runs_finds_it() -> None:
    found = [name for name, source in WRITTEN.items() if list(alive(formgraded(answer(source))))]
    assert len(found) > 15, "the others take a click, or today's parser does not see a tag in them"


HONEST = {
    "a < b, x<y and y>z; f(x) <- g; 1 <= 2 & 3 > 2": "a < b, x<y and y>z; f(x) <- g; 1 <= 2 & 3 > 2",
    "`<b>` is a tag": "<b> is a tag",
    "```html\n<script>x</script>\n```": "<script>x</script>",
    "    <b>indented</b>": "<b>indented</b>",
    "$$\\sum_{i<j} a_i<b$$": "\\sum_{i<j} a_i<b",
    "\\begin{align}a &< b\\end{align}": "\\begin{align}a &< b\\end{align}",
    "**bold** and <b>bold</b> and H<sub>2</sub>O": "bold and bold and H2O",
    "<details><summary>Hint</summary>\n\nThis, with $i<N$.\n\n</details>": "This, with $i<N$.",
    "- [x] done": "done",
    "| a | b |\n|:--|--:|\n| 1 | `<i>` |": "<i>",
    "<https://example.org/a?b=c> and me@example.org": "https://example.org/a?b=c",
    "see http://localhost:6006 for the curves": "http://localhost:6006",
    "Type List<int> or <your name>": "List<int> or <your name>",
}


@pytest.mark.parametrize(("source", "words"), HONEST.items())
def test_markdown_reads_as_before_also_beside_what_is_harmful(source: str, words: str) -> None:
    for text in (source, f"{source}\n\n<img src=x onerror=alert(1)>"):
        page = formgraded(make_harmless(answer(text)))
        assert words in shown(page)
        assert list(alive(page)) == []


def test_what_is_harmless_stays_byte_for_byte_and_twice_is_once() -> None:
    for source in HONEST:
        if "http://localhost" not in source and "List" not in source and "x<y" not in source:
            assert make_harmless(answer(source)).cells[0].source == source
    for source in WRITTEN.values():
        once = make_harmless(answer(source))
        assert make_harmless(copy.deepcopy(once)) == once


@pytest.mark.parametrize("lab", [path.stem for path in labs(ROOT)])
@pytest.mark.parametrize("folder", ["assignments", "solutions"])
def test_the_labs_themselves_are_not_changed(folder: str, lab: str) -> None:
    """Hence checksums of locked cells and of answers left blank stay what nbgrader expects."""
    notebook = nbformat.read(ROOT / folder / lab / f"{lab}.ipynb", as_version=4)
    assert make_harmless(copy.deepcopy(notebook)) == notebook


@pytest.mark.parametrize("source", ["\\\\(" * 5000, "[" * 15_000, "> " * 4000, "$" * 19_000, "<b>" * 60_000])
def test_endless_texts_are_shown_as_they_stand(source: str) -> None:
    notebook = make_harmless(answer(source))
    assert list(alive(formgraded(notebook))) == []


def test_attachments_are_pictures_and_a_missing_one_does_not_break_the_page() -> None:
    attachments = {
        "kept.png": {"image/png": PNG, "image/svg+xml": SVG},
        "drawn.svg": {"image/svg+xml": SVG},
        "page": {"text/html": SVG},
        "quote.png": {"image/png": f'{PNG}" onerror="{RUN}'},
    }
    names = [*attachments, "nowhere.png"]
    text = "Look:\n\n" + "\n\n".join(f"![{name}](attachment:{name})" for name in names)
    notebook = make_harmless(answer(text, attachments=attachments))
    assert notebook.cells[0].attachments == {"kept.png": {"image/png": PNG}}
    page = formgraded(notebook)
    assert list(alive(page)) == []
    assert f"data:image/png;base64,{PNG}" in page
    assert "![drawn.svg](attachment:drawn.svg)" in shown(page)


def test_an_answer_cannot_take_the_place_of_a_field() -> None:
    """Formgrader looks for the field of a mark by its id, and nbconvert makes ids of headings."""
    fake = [new_markdown_cell(text) for text in ("# q1", '<h2 id="q1">x</h2>', "# q1-comment", "# else")]
    notebook = new_notebook(cells=[*fake, *answer("Mine.").cells])
    page = BeautifulSoup(formgraded(make_harmless(notebook)), "html.parser")
    assert [tag.name for tag in page.find_all(id="q1")] == ["input"]
    assert [tag.name for tag in page.find_all(id="q1-comment")] == ["textarea"]
    assert page.find(id="else").name == "h1"


def test_a_raw_cell_becomes_text() -> None:
    raw = new_raw_cell(f"<script>{RUN}</script>", metadata={"raw_mimetype": ""})
    page = formgraded(make_harmless(new_notebook(cells=[raw])))
    assert list(alive(page)) == []
    assert f"<script>{RUN}</script>" in shown(page)


def test_code_is_shown_as_it_is() -> None:
    source = f'"</pre><img src=x onerror={RUN}>"\n%%html\n<script>{RUN}</script>'
    notebook = make_harmless(new_notebook(cells=[new_code_cell(source, metadata={"magics_language": "<b>"})]))
    assert notebook.cells[0].source == source
    page = formgraded(notebook)
    assert list(alive(page)) == []
    assert f"<script>{RUN}</script>" in shown(page)


BUNDLES = {
    "HTML": ({"text/html": "<b>kept</b><script>1</script>", "text/plain": "an object"}, "kept"),
    "HTML with an event": ({"text/html": f"<b onclick={RUN}>x</b>", "text/plain": "an object"}, "an object"),
    "HTML with a script that has tags": ({"text/html": f"<b>x</b><script>'<'{RUN}</script>"}, "not kept"),
    "HTML for a template": ({"text/html": "</div></div><p>x"}, "not kept: text/html"),
    "JavaScript": ({"application/javascript": RUN, "text/plain": "an object"}, "an object"),
    "SVG": ({"image/svg+xml": f"<svg onload={RUN}/>"}, "not kept: image/svg+xml"),
    "SVG beside PNG": ({"image/svg+xml": f"<svg onload={RUN}/>", "image/png": PNG}, ""),
    "Markdown": ({"text/markdown": f"<img src=x onerror={RUN}>", "text/plain": "words"}, "words"),
    "LaTeX": ({"text/latex": "$\\href{javascript:1}{x}$", "text/plain": "x"}, "x"),
    "a diagram": ({"text/vnd.mermaid": "graph", "text/plain": "graph"}, "graph"),
    "a widget": ({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "[]"}, "[]"),
    "an unknown kind": ({f"x/<img src=x onerror={RUN}>": "1"}, "not kept"),
    "text": ({"text/plain": f"<script>{RUN}</script>"}, f"<script>{RUN}</script>"),
    "a broken picture": ({"image/png": f'" onerror="{RUN}', "text/plain": "a figure"}, "a figure"),
    "too much HTML": ({"text/html": "<i><b>" * 100_000, "text/plain": "much"}, "much"),
}


@pytest.mark.parametrize(("data", "words"), BUNDLES.values(), ids=BUNDLES.keys())
def test_outputs_are_text_pictures_and_harmless_html(data: dict[str, Any], words: str) -> None:
    notebook = make_harmless(output(**data))
    page = formgraded(notebook)
    assert list(alive(page)) == []
    assert words in shown(page)
    kept = notebook.cells[0].outputs[0].data
    assert set(kept) <= {"text/plain", "text/html", "image/png", "image/jpeg"}
    assert ("image/png" in kept) == (data.get("image/png") == PNG)
    assert make_harmless(copy.deepcopy(notebook)) == notebook


def test_what_a_kernel_writes_beside_its_outputs() -> None:
    bad = f'"><img src=x onerror={RUN}>'
    figure = {
        "image/png": {"width": f"1 onerror={RUN}", "height": 20, "alt": bad},
        "text/html": {"isolated": True},
    }
    outputs = [
        {"output_type": "stream", "name": bad, "text": bad},
        {"output_type": "error", "ename": bad, "evalue": bad, "traceback": [f"\x1b[0;31m{bad}\x1b[0m", 3]},
        {
            "output_type": "execute_result",
            "execution_count": bad,
            "metadata": figure,
            "data": {"image/png": PNG},
        },
        {"output_type": "display_data", "metadata": bad, "data": bad},
        {"output_type": bad},
    ]
    cell = new_code_cell(
        "1", metadata={"tags": [bad, "kept"], "alt": bad, "execution": {"iopub.status": bad}}
    )
    language = {"name": f"python{bad}", "pygments_lexer": f"x{bad}"}
    spec = {"name": "python3", "display_name": "Python 3", "language": bad}
    notebook = new_notebook(cells=[cell])
    cell.execution_count, cell.outputs = bad, nbformat.from_dict(outputs)
    notebook.metadata = nbformat.from_dict(
        {"language_info": language, "kernelspec": spec, "title": bad, "widgets": {"state": bad}}
    )
    notebook = make_harmless(notebook)
    nbformat.validate(notebook)
    assert notebook.metadata == {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    assert notebook.cells[0].metadata == {"tags": ["kept"]}
    assert notebook.cells[0].outputs[2].metadata == {"image/png": {"height": 20}}
    page = formgraded(notebook)
    assert list(alive(page)) == []
    assert "ansi-red-fg" in page, "colours of a traceback stay"


def test_a_table_of_pandas_stays_a_table() -> None:
    table = (
        "<div>\n<style scoped>\n    .dataframe tbody tr th { vertical-align: top; }\n</style>\n"
        '<table border="1" class="dataframe">\n  <thead>\n    <tr style="text-align: right;">\n'
        "      <th></th>\n      <th>loss</th>\n    </tr>\n  </thead>\n</table>\n</div>"
    )
    kept = make_harmless(output(**{"text/html": table})).cells[0].outputs[0].data["text/html"]
    assert '<table border="1" class="dataframe">' in kept
    assert '<tr style="text-align: right;">' in kept
    assert "vertical-align" not in kept


def test_verdicts_stay_as_they_are() -> None:
    def wrong(*args: Any, **kwargs: Any) -> None:
        return None

    failed = examine(get("nt_xent_loss"), wrong, seed=1)
    half = Verdict("gradient", ("A gradient is missing.",), credit=0.5)
    passed = Verdict("", ("all inputs & gradients.",))
    assert passed.passed, "it is the form of a pass"
    for verdict in (failed, half, passed):
        outputs = _outputs("nt_xent_loss", verdict, 10)
        notebook = new_notebook(cells=[new_code_cell("1", outputs=copy.deepcopy(outputs))])
        assert make_harmless(notebook).cells[0].outputs == outputs
    assert "text/html" in outputs[0].data
    assert outputs[0].data["text/html"] == Passed("nt_xent_loss", passed)._repr_html_()


def test_remarks_that_quote_the_student_are_harmless_too() -> None:
    solution = (ROOT / "solutions" / "lab1_contrastive_losses" / "lab1_contrastive_losses.ipynb").read_text()
    remark = f"Your notebook asks for the kernel `x` <img src=x onerror={RUN}>`: it was run with `python3`."
    task = Task(
        "ann", Lab("lab1_contrastive_losses", solution, ""), Settings("1234567"), None, remarks=(remark,)
    )
    notebook = nbformat.reads(ungraded(task, UNREADABLE, "<script>1</script>").notebook, as_version=4)
    page = formgraded(notebook)
    assert list(alive(page)) == []
    assert "asks for the kernel" in shown(page)
