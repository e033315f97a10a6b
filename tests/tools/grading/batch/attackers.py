"""What students may try in a class graded for real: each entry is an answer cell of the attacked lab."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from tiny_lab import graded

LAB = f"""# %% [markdown] tags=["badge"]
#

# %% tags=["setup"]
#

# %% [markdown]
# # Lab 1: a loss and its accuracy

# %%
import os
import sys

import torch
import torch.nn.functional as F

from course_lib.check import check

# %% {graded("n_pair_loss-answer", None)}
def n_pair_loss(anchor, positive, negatives):
    ### BEGIN SOLUTION
    difference = torch.einsum("nkd,nd->nk", negatives - positive[:, None], anchor)
    return F.softplus(difference.logsumexp(1)).mean()
    ### END SOLUTION

# %% {graded("n_pair_loss", 5)}
check("n_pair_loss", n_pair_loss)

# %% {graded("info_nce_accuracy-answer", None)}
def info_nce_accuracy(query, positive, negatives):
    ### BEGIN SOLUTION
    best = torch.einsum("nd,nkd->nk", query, negatives).amax(1)
    return ((query * positive).sum(1) > best).to(query.dtype).mean()
    ### END SOLUTION

# %% {graded("info_nce_accuracy", 3)}
check("info_nce_accuracy", info_nce_accuracy)

# %% [markdown] {graded("q1", 2, written=True)}
# Which of the two has a gradient?
#
# ### BEGIN SOLUTION
# The loss. Rubric: 2 points for that.
# ### END SOLUTION
"""


@dataclass(frozen=True)
class Attack:
    """An answer to the first item, what the item's line then says, and whether the kernel survives."""

    body: str
    says: str
    survives: bool = True

    def source(self, course: str) -> str:
        """The cell; `COURSE` in it is the course's folder, which the attacker is supposed to know."""
        body = dedent(self.body).strip().replace("COURSE", course)
        head = "def n_pair_loss(anchor, positive, negatives):\n"
        return head + "".join(f"    {line}\n" for line in body.splitlines())


ATTACKS = {
    "writes_own_grade": Attack(
        """
        import sqlite3
        book = sqlite3.connect("COURSE/gradebook.db")
        book.execute("UPDATE grade SET auto_score = 5, manual_score = 5")
        book.commit()
        return anchor.sum()
        """,
        "unable to open database file",
    ),
    "copies_a_neighbour": Attack(
        'return exec(open("COURSE/submitted/alice/lab1_tiny/lab1_tiny.ipynb").read())', "FileNotFoundError"
    ),
    "writes_outside": Attack('open("COURSE/left_behind", "w").write("x")', "No such file or directory"),
    "looks_for_the_seed": Attack(
        """
        places = [f"/proc/{each}/environ" for each in os.listdir("/proc") if each.isdigit()]
        raise ValueError(str(dict(os.environ)) + "".join(open(each).read() for each in places))
        """,
        "Error",
    ),
    "calls_home": Attack(
        'import socket; socket.create_connection(("192.0.2.1", 80), timeout=5)', "Network is unreachable"
    ),
    "fork_bomb": Attack(
        """
        while True:
            if os.fork() == 0:
                import time; time.sleep(600)
        """,
        "Resource temporarily unavailable",
    ),
    "memory_bomb": Attack("hoard = [torch.ones(2**26) for _ in range(1000)]", "memory"),
    "fills_the_disk": Attack(
        """
        with open("/tmp/full", "wb") as file:
            while True:
                file.write(bytes(2**24))
        """,
        "OSError",
    ),
    "endless_loop": Attack("while True: pass", "still running after 10 s: is there an endless loop?"),
    "endless_output": Attack('while True: print("x" * 10_000)', "printed more than"),
    "leaves_hard": Attack("os._exit(0)", "Python died while this cell ran", survives=False),
    "leaves": Attack("sys.exit(0)", "SystemExit"),
    "kills_everybody": Attack("import signal; os.kill(-1, signal.SIGKILL)", "No such process"),
    # The first process of the jail cannot be killed from inside: nothing happens, and nothing is returned.
    "kills_the_parent": Attack("import signal; os.kill(os.getppid(), signal.SIGKILL)", "you return None"),
    "kills_itself": Attack(
        "import signal; os.kill(os.getpid(), signal.SIGKILL)",
        "Python died while this cell ran",
        survives=False,
    ),
    "always_equal": Attack(
        """
        torch.allclose = torch.equal = torch.testing.assert_close = lambda *a, **k: True
        return type("Equal", (), {"__eq__": lambda self, other: True})()
        """,
        "expected a torch.Tensor",
    ),
    "borrows": Attack(
        "from course_lib.losses import n_pair_loss as own; return own(anchor, positive, negatives)",
        "calls course_lib's own n_pair_loss",
    ),
}
