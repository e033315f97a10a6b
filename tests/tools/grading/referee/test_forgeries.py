"""Attempts at points that the code does not earn: each costs its own item, and nothing else.

The kernels here are ordinary ones, so that the referee and the mask are shown to hold without a jail.
"""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import nbformat
import pytest
from graded_notebook import POINTS, RIGHT, SEED, Graded, execute, graded_cell, results

ITEM = "n_pair_loss"

# name: what a student writes before the graded cell of n_pair_loss; what the graded cell then says.
ATTACKS = {
    "patched comparisons": (
        """
        import numpy, builtins
        torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True
        torch.testing.assert_close = numpy.testing.assert_allclose = lambda *a, **k: None
        Tensor.__eq__ = lambda self, other: True
        def n_pair_loss(anchor, positive, negatives):
            return (anchor * positive).sum()
        """,
        "wrong value",
    ),
    "a patched AssertionError and a silenced traceback": (
        """
        import builtins
        builtins.AssertionError = type("Nothing", (Exception,), {})
        shell = get_ipython()
        shell.showtraceback = lambda *a, **k: None
        shell._showtraceback = lambda *a, **k: None
        shell.set_custom_exc((Exception,), lambda *a, **k: None)
        """,
        "wrong value",
    ),
    "a display hook that returns points": (
        """
        class Full(type(get_ipython().displayhook)):
            def __call__(self, result=None):
                super().__call__(8.0)
        get_ipython().displayhook = sys.displayhook = Full(parent=get_ipython(), shell=get_ipython())
        """,
        "wrong value",
    ),
    "another check": (
        """
        def check(name, code):
            print(f"{name}: passed (96 inputs).")
        """,
        "NothingHandedIn",
    ),
    "a check that returns the points": ("check = lambda name, code: 8.0", "NothingHandedIn"),
    "a check that shows a verdict": (
        """
        from IPython.display import display
        def check(name, code):
            display({"text/plain": f"{name}: passed"}, raw=True)
        """,
        "NothingHandedIn",
    ),
    "a graded cell that raises SystemExit(0)": (
        """
        def check(name, code):
            raise SystemExit(0)
        """,
        "SystemExit",
    ),
    "check itself, patched where it is defined": (
        """
        import course_lib.check.client as client
        from course_lib.check import Passed, check
        genuine = client._answers
        client._answers = lambda question, tensors, code: ({"verdict": "passed", "score": 8, "credit": 1}, {})
        """,
        "is no list with an answer to each input",
    ),
    "answers to half of the inputs": (
        """
        def half(question, tensors, code):
            header, found = genuine(question, tensors, code)
            header["answers"] = header["answers"][:3]
            return header, found
        client._answers = half
        """,
        "only 3 of",
    ),
    "numbers that are none": (
        """
        def nans(question, tensors, code):
            header, found = genuine(question, tensors, code)
            return header, {name: tensor * float("nan") for name, tensor in found.items()}
        client._answers = nans
        """,
        "not finite",
    ),
    "a pickle instead of tensors": (
        """
        import pickle, socket, struct
        class Bomb:
            def __reduce__(self):
                return os.system, ("touch " + os.path.abspath("exploded"),)
        def pickled(connection, header, tensors={}):
            body = pickle.dumps(Bomb()) if "item" not in header else b""
            text = b"{}" if body else b'{"item": "n_pair_loss"}'
            connection.sendall(struct.pack(">II", len(text), len(body)) + text + body)
        send = client.send
        client._answers, client.send = genuine, pickled
        """,
        "no readable message: SafetensorError",
    ),
    "a message far too long": (
        """
        def boundless(connection, header, tensors={}):
            if "item" in header:
                return send(connection, header)
            connection.sendall(struct.pack(">II", 2, 2**32 - 1) + b"{}" + bytes(2**20))
        client.send = boundless
        """,
        "is too long",
    ),
    "connections without end": (
        """
        client.send = send
        flood = []
        def n_pair_loss(anchor, positive, negatives):
            while len(flood) < 200:
                flood.append(socket.socket(socket.AF_UNIX))
                flood[-1].connect(os.environ["COURSE_REFEREE"])
            return anchor.sum()
        """,
        "wrong",
    ),
    "answers for another item": (
        """
        def check(name, code):
            client.hand_in(os.environ["COURSE_REFEREE"], "info_nce_accuracy", n_pair_loss)
        """,
        "answers for another item were offered while the cell of n_pair_loss ran",
    ),
    "a second set of answers": (
        """
        RIGHT
        right = n_pair_loss
        def check(name, code):
            client.hand_in(os.environ["COURSE_REFEREE"], name, lambda a, p, n: a.sum())
            client.hand_in(os.environ["COURSE_REFEREE"], name, right)
        """,
        "more than one set of answers was handed in; the first counts",
    ),
    "an object that equals everything": (
        """
        from course_lib.check import check
        class Agreeable:
            def __eq__(self, other): return True
            def __getattr__(self, name): return self
            def __call__(self, *a, **k): return self
            def __float__(self): return 0.0
            __hash__ = None
        def n_pair_loss(anchor, positive, negatives):
            return Agreeable()
        """,
        "you return a Agreeable: expected a torch.Tensor",
    ),
    "a tensor that says it is close to everything": (
        """
        class Agreeable(Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None): return True
        def n_pair_loss(anchor, positive, negatives):
            return anchor.sum().as_subclass(Agreeable)
        """,
        "you return a Agreeable: expected a torch.Tensor",
    ),
    "the reference": (
        """
        from course_lib.losses import n_pair_loss as own
        def n_pair_loss(anchor, positive, negatives):
            return own(anchor, positive, negatives)
        """,
        "it calls course_lib's own n_pair_loss, which the item n_pair_loss asks you to write",
    ),
    "the reference's source": (
        """
        import inspect
        from course_lib.losses import nce
        def n_pair_loss(anchor, positive, negatives):
            namespace = dict(vars(nce))
            exec(inspect.getsource(nce.n_pair_loss), namespace)
            return namespace["n_pair_loss"](anchor, positive, negatives)
        """,
        "which the item n_pair_loss asks you to write",
    ),
    "another function that has it inside": (
        """
        from course_lib.losses import info_nce_loss
        def n_pair_loss(anchor, positive, negatives):
            return info_nce_loss(anchor, positive, negatives[0])
        """,
        "it calls course_lib's own info_nce_loss, which is not available while this lab is graded",
    ),
    "the exercise itself": (
        """
        from course_lib.exercises import get
        def n_pair_loss(anchor, positive, negatives):
            return get("n_pair_loss").reference(anchor, positive, negatives)
        """,
        "there is no exercise 'n_pair_loss'",
    ),
    "the judge": (
        """
        from course_lib.check import ladder
        ladder.judge = ladder.same = lambda *a, **k: ladder.Verdict("", ("passed.",), 1.0)
        ladder.Verdict.passed = True
        def n_pair_loss(anchor, positive, negatives):
            return anchor.sum()
        """,
        "wrong value",
    ),
    "an exit": (
        """
        def n_pair_loss(anchor, positive, negatives):
            sys.exit(0)
        """,
        "SystemExit: 0",
    ),
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """One kernel for all attacks, patches left where they are, and honest items between and after them."""
    folder = tmp_path_factory.mktemp("submission")
    cells: list[Any] = [
        f'check("{ITEM}", lambda *a: 0)  # before its time',
        RIGHT["info_nce_accuracy"],
        "n_pair_loss = lambda anchor, positive, negatives: anchor.sum()",
    ]
    for source, _ in ATTACKS.values():
        cells += [dedent(source).replace("RIGHT", RIGHT[ITEM]), graded_cell(ITEM)]
    cells += ["from course_lib.check import check", graded_cell("info_nce_accuracy")]
    cells += [RIGHT[ITEM], graded_cell(ITEM)]
    cells += ["def n_pair_loss(*a):\n    os._exit(0)", graded_cell(ITEM), graded_cell("info_nce_accuracy")]
    executed = execute(cells, folder)
    executed.metadata.files = sorted(path.name for path in folder.iterdir())
    executed.metadata.record = (folder / "verdicts.json").read_text()
    return executed


@pytest.fixture(scope="module")
def found(notebook: nbformat.NotebookNode) -> dict[str, Graded]:
    names = [*ATTACKS, "right accuracy", "right loss", "a kernel that ends itself", "after the end"]
    return dict(zip(names, results(notebook), strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_earns_nothing_and_is_told(found: dict[str, Graded], attack: str) -> None:
    assert found[attack].score == 0, found[attack].text
    assert ATTACKS[attack][1] in " ".join(found[attack].text.split())


def test_right_answers_keep_full_marks_in_a_kernel_full_of_patches(found: dict[str, Graded]) -> None:
    for name in ("right accuracy", "right loss"):
        assert found[name].score == POINTS, found[name].text
        assert "passed (" in found[name].text


def test_a_kernel_that_ends_itself_costs_what_comes_after(found: dict[str, Graded]) -> None:
    assert found["a kernel that ends itself"].score == found["after the end"].score == 0
    assert "Python died while this cell ran" in found["a kernel that ends itself"].text
    assert "not run, because of an earlier cell" in found["after the end"].text


def test_no_answers_are_taken_outside_graded_cells(notebook: nbformat.NotebookNode) -> None:
    [error] = notebook.cells[1].outputs
    assert error.ename == "NotNow"
    assert "answers are taken only while a graded cell runs" in error.evalue


def test_nothing_that_was_handed_in_is_run(notebook: nbformat.NotebookNode) -> None:
    assert notebook.metadata.files == ["verdicts.json"]


def test_the_secret_seed_is_nowhere(notebook: nbformat.NotebookNode) -> None:
    assert SEED not in nbformat.writes(notebook)


def test_the_verdicts_are_on_record(notebook: nbformat.NotebookNode, found: dict[str, Graded]) -> None:
    record = json.loads(notebook.metadata.record)
    assert len(record) == len(found) - 1, "all but the item after the end"
    assert [each["item"] for each in record[:2]] == [ITEM, ITEM]
    by_attack = dict(zip(found, record, strict=False))
    assert by_attack["right loss"]["verdict"]["credit"] == 1
    assert by_attack["another check"]["verdict"] is None
    assert by_attack["a second set of answers"]["notes"]


def test_a_verdict_stands_whatever_later_cells_display(tmp_path: Path) -> None:
    detached = RIGHT[ITEM].replace(".mean()", ".mean().detach()")
    shows = """from IPython.display import display, update_display
plain = n_pair_loss
def n_pair_loss(*inputs):
    for number in range(3):
        display("shown", display_id=f"shown-{number}")
    return plain(*inputs)"""
    rewrites = """for number in range(3):
    update_display({"text/plain": "8.0"}, display_id=f"shown-{number}", raw=True)"""
    cells = [detached, shows, graded_cell(ITEM), rewrites, RIGHT["info_nce_accuracy"]]
    half, other = results(execute([*cells, graded_cell("info_nce_accuracy")], tmp_path))
    assert half.score == POINTS / 2, half.text
    assert half.text.endswith("This earns 4 of 8 points.")
    assert other.score == POINTS


BROKEN = {
    "content that is no dictionary": 'kernel.session.send(iopub, "stream", ["text"], parent=parent)',
    "a parent that is no dictionary": 'kernel.session.send(iopub, "stream", {}, parent=parent, header=[])',
    "a message without a signature": 'iopub.send_multipart([b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"])',
    "an error whose parts have other types": (
        'kernel.session.send(iopub, "error", {"ename": 1, "evalue": [], "traceback": 3}, parent=parent)'
    ),
    "a number for a text": (
        'kernel.session.send(iopub, "stream", {"name": "stdout", "text": {"a": 1}}, parent=parent)'
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_no_kernel_sends_costs_items_and_not_the_submission(tmp_path: Path, message: str) -> None:
    sends = f"""kernel = get_ipython().kernel
iopub, parent = kernel.iopub_socket, kernel.get_parent()
def n_pair_loss(*inputs):
    {BROKEN[message]}
    return inputs[0].sum()"""
    cells = [RIGHT["info_nce_accuracy"], graded_cell("info_nce_accuracy"), sends, graded_cell(ITEM)]
    before, attacked = results(execute(cells, tmp_path))
    assert before.score == POINTS
    assert attacked.score == 0
    assert attacked.text


def test_answers_that_earn_a_part(tmp_path: Path) -> None:
    detached = RIGHT[ITEM].replace(".mean()", ".mean().detach()")
    overflows = RIGHT[ITEM].replace(
        "F.softplus(difference.logsumexp(1))", "(1 + difference.exp().sum(1)).log()"
    )
    cells = [detached, graded_cell(ITEM), overflows, graded_cell(ITEM)]
    environment = "import os\nprint(sorted(k for k in os.environ if k.startswith('COURSE')))"
    half, quarter = results(notebook := execute([*cells, environment], tmp_path))
    assert half.score == POINTS / 2
    assert "right values, but no gradient" in half.text
    assert half.text.endswith("This earns 4 of 8 points.")
    assert quarter.score == POINTS / 4
    assert "not finite: you return inf for long vectors" in quarter.text
    assert "SECRET" not in notebook.cells[-1].outputs[0].text


def test_messages_that_a_kernel_forges_change_no_verdict_and_leave_a_valid_notebook(tmp_path: Path) -> None:
    detached = RIGHT[ITEM].replace(".mean()", ".mean().detach()")
    shows = (
        'from IPython.display import display\nshow = {"raw": True, "display_id": "mine"}\n'
        + detached.replace("    difference", '    display({"text/plain": "1"}, **show)\n    difference', 1)
    )
    forged = """
        display({"text/plain": "8.0", "x/y": {"a": [1]}}, update=True, **show)
        kernel = get_ipython().kernel
        send = lambda kind, **content: kernel.session.send(
            kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell")
        )
        send("execute_input", code="", execution_count="<script>1</script>")
        send("stream", name="<script>1</script>", text="forged")
        send("display_data", data={"text/html": {"a": 1}, "text/plain": ["a", 1]}, metadata=[1], transient={})
    """
    notebook = execute([shows, graded_cell(ITEM), dedent(forged)], tmp_path)
    assert [each.score for each in results(notebook)] == [POINTS / 2]
    nbformat.validate(notebook)
    assert "forged" in notebook.cells[-1].outputs[0].text
    assert "script" not in json.dumps([cell for cell in notebook.cells if cell.pop("source")])
