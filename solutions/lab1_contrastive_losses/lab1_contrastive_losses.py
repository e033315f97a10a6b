# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["badge"]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/ssl-vision-course/blob/main/assignments/lab1_contrastive_losses/lab1_contrastive_losses.ipynb)

# %% [markdown]
# # Lab 1 · Contrastive losses
#
# In the notebook of this week you watched contrastive losses at work. Now you write them: first slowly and plainly, then
# fast, then such that they survive a temperature of 0.01 and half precision. At the end you train an encoder with your own
# loss, without a single label, and see whether it beats a network that has learnt nothing.
#
# | | item | what you write | | minutes | points |
# |---|---|---|---|---|---|
# | **1** | 1.1 | NT-Xent, as a double loop | ●○○○○ | 20 | 8 |
# | | 1.2 | the same as one matrix | ●●○○○ | 20 | 8 |
# | | 1.3 | the same, and nothing overflows | ●●●○○ | 25 | 10 |
# | **2** | 2.1 | the triplet loss with semi-hard mining | ●●●●○ | 35 | 10 |
# | **3** | 3.1 | the N-pair loss | ●●○○○ | 15 | 8 |
# | | 3.2 | how often the positive is found | ●○○○○ | 10 | 6 |
# | **4** | 4.1 | soft nearest neighbours | ●●●○○ | 30 | 10 |
# | **5** | 5.1 | MoCHi: negatives mixed from the hardest | ●●●○○ | 30 | 10 |
# | **6** | 6.1 | train an encoder with your loss | ●●●○○ | 30 | 10 |
# | | Q1 to Q5 | five short written answers | | 5 × 10 | 5 × 4 |
#
# **How to work.** Every item is one function with a docstring that says all you need, a cell to try it in, and a cell that
# checks it. `check` tries your function on many inputs and tells you in a sentence what kind of mistake it found; it will
# be run again for your mark, on other inputs. Right values with a wrong gradient, or with a loop that should not be there,
# earn half of an item's points; values that go wrong (or a crash) on unusual inputs only, a quarter. Replace `raise
# NotImplementedError` by your code, and do not change the names. Stuck? Each item has a folded hint, and a detailed one.
# Anything from torch is allowed; the course's own losses are not there when your lab is graded. What is still open stops
# nothing: its check says so, and cells that need it (`with trying():`) wait for it.
#
# No GPU is needed, but your functions should follow their inputs to one: make new tensors with `device=z1.device`. Run from
# top to bottom, the finished lab takes less than a minute on two CPU cores.

# %% tags=["setup"]
# In Colab this installs the course (a minute or two); where it is installed, it does nothing.
import importlib.util
import subprocess
import sys

COURSE = "git+https://github.com/your-organisation/ssl-vision-course"
if importlib.util.find_spec("course_lib") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", COURSE], check=True)
    importlib.invalidate_caches()

# %% tags=["parameters"]
PROFILE = "fast"  # "full" trains longer, on more images, in section 6
# "shapes", "cifar10", "stl10", "pets", "imagenette", or a folder with train/<class>/*.jpg and test/<class>/*.jpg
DATASET = "shapes"
SEED = 0
DEVICE = "auto"  # "auto", "cpu", "cuda", "mps"

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data, evaluate, show
from course_lib.augment import SimCLRAugment
from course_lib.check import check, trying
from course_lib.models import SmallConvNet, mlp

torch.manual_seed(SEED)
if DEVICE == "auto":
    DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
print(f"{PROFILE} on {DEVICE}, data: {DATASET}")

# %% [markdown]
# ## 1 · NT-Xent, three times
#
# A batch holds $N$ images, and two views of each: $2N$ views. The network turns every view into a vector, its
# *projection*. `z1` has the projections of the first views, `z2` those of the second, so row $i$ of `z1` and row $i$ of
# `z2` come from the same image. They are *partners*.
#
# The loss of SimCLR plays a game with each view $i$: *find your partner $p(i)$ among the other $2N-1$ views*. How alike two
# views are is the cosine of their projections, $s_{ij} = \frac{z_i^\top z_j}{\lVert z_i\rVert\,\lVert z_j\rVert}$. The
# cosines are divided by a temperature $\tau$ and go through a softmax, and the view pays minus the logarithm of the
# probability that its partner gets:
#
# $$\mathcal L_{\text{NT-Xent}} = \frac{1}{2N}\sum_{i=1}^{2N} \ell_i,\qquad
# \ell_i = -\log\frac{\exp(s_{i\,p(i)}/\tau)}{\sum_{k\neq i}\exp(s_{ik}/\tau)}$$
#
# The sum below runs over all views except $i$ itself; the partner is one of them.
#
# **By hand.** Take $N = 2$, with `z1` and `z2` both equal to the rows $(2, 0)$ and $(0, 3)$, and $\tau = 0.5$. Each view is
# at cosine 1 from its partner and at cosine 0 from the two other views, so
# $\ell_i = -\log\frac{e^{2}}{e^{2} + 1 + 1} = \log(1 + 2e^{-2}) \approx 0.2395$, for all four. The lengths 2 and 3 do not
# matter. What would the loss be if all four projections were the same?

# %% [markdown]
# #### 1.1 · A double loop   `●○○○○ · 20 min · 8 points`
#
# Write the equation down as it stands, one view and one candidate at a time. Slow is fine: this version is what you will
# trust when the fast one disagrees.


# %% nbgrader={"grade": false, "grade_id": "nt_xent_naive-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nt_xent_naive(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    """NT-Xent over 2N views, with loops (SimCLR, Chen et al. 2020, eq. 1).

    Args:
        z1, z2: projections of the two views, (N, D), not normalised.
        temperature: divides the cosines.

    Returns:
        Mean over the 2N views: a tensor without dimensions, of the inputs' dtype.
        log(2N - 1) when all projections are the same, 0 for N = 1.
    """
    ### BEGIN SOLUTION
    z = torch.cat([z1, z2])  # (2N, D): row i of z1 is row i, its partner is row i + N
    n, total = len(z1), 0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        below = 0
        for k in range(2 * n):
            if k == i:
                continue
            weight = torch.exp(torch.cosine_similarity(z[i], z[k], dim=0) / temperature)
            below = below + weight
            if k == partner:
                above = weight
        total = total - torch.log(above / below)
    return total / (2 * n)
    ### END SOLUTION


# %%
toy = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
with trying():
    print(nt_xent_naive(toy, toy, temperature=0.5))  # expected: tensor(0.2395)

# %% nbgrader={"grade": true, "grade_id": "nt_xent_naive", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check("nt_xent_naive", nt_xent_naive)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Put the two halves on top of each other, `z = torch.cat([z1, z2])`. Which row is then the partner of row $i$, if $i < N$?
# And if $i \ge N$?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# The partner of row `i` is row `(i + n) % (2 * n)`, with `n = len(z1)`. Everything stays a tensor: `.item()` and `math.exp`
# would cut the gradient off.
#
# </details>
#
# <details><summary>The way</summary>
#
# For every `i`, collect $\exp(s_{ik}/\tau)$ over all `k` except `i`, and divide the partner's by their sum.
#
# ```python
# z = torch.cat([z1, z2])
# n = len(z1)
# total = 0
# for i in range(2 * n):
#     terms = {}
#     for k in range(2 * n):
#         if k != i:
#             terms[k] = torch.exp(torch.cosine_similarity(z[i], z[k], dim=0) / temperature)
#     total = total - torch.log(terms[(i + n) % (2 * n)] / sum(terms.values()))
# return total / (2 * n)
# ```
#
# </details>

# %% [markdown]
# #### 1.2 · One matrix   `●●○○○ · 20 min · 8 points`
#
# The double loop asks for $2N(2N-1)$ cosines, one by one. A matrix product makes all of them at once: normalise the rows of
# the $2N$ projections and multiply the matrix by its transpose. Entry $(i, k)$ is $s_{ik}$, and what is left to do is row
# by row. No `for` this time; `check` counts how many calls to torch you need for a small and for a large batch.


# %% nbgrader={"grade": false, "grade_id": "nt_xent_vectorised-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nt_xent_vectorised(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    """NT-Xent over 2N views, from one (2N, 2N) matrix of cosines; same arguments and value as `nt_xent_naive`.

    The number of torch calls does not depend on N.
    """
    ### BEGIN SOLUTION
    n = len(z1)
    z = F.normalize(torch.cat([z1, z2]), dim=1)  # (2N, D)
    weights = torch.exp(z @ z.T / temperature)  # (2N, 2N)
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    rows = torch.arange(2 * n, device=z.device)
    above = weights[rows, (rows + n) % (2 * n)]  # (2N,)
    below = weights.masked_fill(itself, 0).sum(dim=1)  # (2N,)
    return -torch.log(above / below).mean()
    ### END SOLUTION


# %%
with trying():
    print(nt_xent_vectorised(toy, toy, temperature=0.5))  # expected: tensor(0.2395), as before

# %% nbgrader={"grade": true, "grade_id": "nt_xent_vectorised", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check("nt_xent_vectorised", nt_xent_vectorised)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Where in the matrix are the cosines of a view with itself? And where are those of the partners? Draw the matrix for
# $N = 3$: the partners lie on two lines parallel to the diagonal.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# `torch.eye(2 * n, dtype=torch.bool, device=z.device)` marks the diagonal, and `masked_fill` replaces what it marks.
# Whether you fill with 0 or with something else depends on whether you fill before or after the exponential.
#
# </details>
#
# <details><summary>The way</summary>
#
# The diagonal is filled before the exponential; the partners are the entries $N$ above and $N$ below the diagonal.
#
# ```python
# n = len(z1)
# z = F.normalize(torch.cat([z1, z2]), dim=1)
# itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
# logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
# to_partner = torch.cat([logits.diagonal(n), logits.diagonal(-n)])
# return (logits.exp().sum(dim=1).log() - to_partner).mean()
# ```
#
# </details>

# %% [markdown]
# Here is the matrix for six images. Each second view is its first view with a little noise. Find the diagonal, and find
# the partners.

# %%
z1 = torch.randn(6, 16, generator=torch.Generator().manual_seed(SEED))
z2 = z1 + 0.7 * torch.randn(6, 16, generator=torch.Generator().manual_seed(SEED + 1))
cosines = F.normalize(torch.cat([z1, z2]), dim=1) @ F.normalize(torch.cat([z1, z2]), dim=1).T
show.similarity_matrix(cosines, title="cosines of 6 + 6 views")

# %% [markdown]
# #### 1.3 · Nothing overflows   `●●●○○ · 25 min · 10 points`
#
# The largest number in float32 is about $3 \times 10^{38}$, which is $e^{88.7}$. At $\tau = 0.01$ a cosine of 1 becomes
# $e^{100}$: infinity. Infinity divided by infinity is NaN, and a training run that meets one NaN is lost. In float16, in
# which networks on a GPU compute, the end comes at 65504, or $e^{11}$; there even the *square* of 300 is too large to
# normalise with.
#
# The mathematics does not need these numbers. With $m = \max_k a_k$,
#
# $$\log\sum_k e^{a_k} = m + \log\sum_k e^{a_k - m},$$
#
# and on the right no exponential exceeds 1. This is what `torch.logsumexp` computes, and what `F.cross_entropy` computes
# inside. Use one of them. Compute in float32 whatever half precision comes in, and return float32; float64 stays float64.
#
# **By hand.** `z1` as above, and `z2 = -z1`: every partner is at cosine $-1$, the two others are at 0. At
# $\tau = 0.01$ the loss is $100 + \log(2 + e^{-100}) \approx 100.69$. A large loss, but not an infinite one.


# %% nbgrader={"grade": false, "grade_id": "nt_xent_loss-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nt_xent_loss(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    """NT-Xent that survives temperature 0.01, vectors of any length and half precision.

    Args:
        z1, z2: projections of the two views, (N, D), float16, bfloat16, float32 or float64.
        temperature: divides the cosines.

    Returns:
        Mean over the 2N views, without dimensions: float64 for float64 inputs, else float32.
        Always finite, and so is its gradient.
    """
    ### BEGIN SOLUTION
    n = len(z1)
    z = torch.cat([z1, z2])
    z = z.to(torch.promote_types(z.dtype, torch.float32))  # half precision goes up, float64 stays
    z = F.normalize(z, dim=1)
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    partners = (torch.arange(2 * n, device=z.device) + n) % (2 * n)
    return F.cross_entropy(logits, partners)
    ### END SOLUTION


# %%
with trying():
    print(nt_xent_loss(toy, -toy, temperature=0.01))  # expected: tensor(100.6931)

# %% nbgrader={"grade": true, "grade_id": "nt_xent_loss", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("nt_xent_loss", nt_xent_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Finding the partner is a classification with $2N$ classes, of which one (which?) is forbidden. The cosines divided by the
# temperature are the logits. What must a forbidden logit be, so that its probability is exactly 0?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# Cast up before anything else: `z.to(torch.promote_types(z.dtype, torch.float32))`. The class of a row is the number of its
# partner's row, an int64; the mean over the rows is what `F.cross_entropy` returns by default.
#
# </details>
#
# <details><summary>The way</summary>
#
# The matrix of 1.2, in float32, handed to `F.cross_entropy`. Rolled by $N$, the row numbers are those of the partners.
#
# ```python
# n = len(z1)
# z = torch.cat([z1, z2])
# z = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
# itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
# logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
# return F.cross_entropy(logits, torch.arange(2 * n, device=z.device).roll(n))
# ```
#
# </details>

# %% [markdown]
# How much does the temperature change? The cell draws the probabilities that view 0 gives to the eleven other views of the
# matrix above, the most similar first. **Predict first**: at which of the four temperatures is the partner all but sure to be
# picked, and at which is it hardly more likely than the rest?

# %%
others = cosines[0, 1:].sort(descending=True).values
show.functions(
    {f"τ = {t:g}": (range(1, 12), (others / t).softmax(0)) for t in (1.0, 0.5, 0.2, 0.05)},
    x="the other views, the most similar first",
    y="probability",
    title="whom does view 0 look at?",
)

# %% [markdown]
# At $\tau = 0.05$ one view is all but sure to be picked, the partner, which is by far the most similar; at $\tau = 1$ the
# partner is hardly more likely than the others.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q1", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 1 · Temperature** (4 points, about five sentences)
#
# The gradient of $\ell_i$ with respect to a negative's cosine $s_{ik}$ is $\frac{1}{\tau}$ times the probability that view $i$
# gives to view $k$. Use this to say which negatives a small temperature pushes away and which a large one does. What goes
# wrong at the small end, if a batch holds several images of the same class? And at the large end, for classes that look alike?
#
# ### BEGIN SOLUTION
# The softmax shares out one unit of push among the candidates. With a small temperature nearly all of it goes to the
# negatives that are most similar to the anchor: the loss concentrates on hard negatives. With a large temperature all
# candidates get almost the same share, so the loss spreads all views evenly and hardly cares how near they are.
# At the small end the hardest negatives of a batch are often images of the same class (false negatives), so what should be
# near is pushed apart: classes are torn into pieces, and gradients become noisy because one pair decides. At the large end
# the push on really confusing negatives is too weak, so the features separate easy cases only and classes that look alike
# stay mixed. A middle value is a compromise between uniformity and tolerance of semantically close images.
#
# **Rubric.** 1 point: small temperature puts the weight on the nearest (hard) negatives, with the probability as the reason.
# 1 point: large temperature treats all negatives alike. 1 point: small end pushes false negatives (same class) apart.
# 1 point: large end separates too little (weak gradients on hard negatives, only coarse structure).
# ### END SOLUTION

# %% [markdown]
# ## 2 · Triplets
#
# With labels, or any other sign of what belongs together, one can be stricter about who is compared. A *triplet* is an anchor
# $a$, a positive $p$ of the same class and a negative $n$ of another. With $d(x, y) = \lVert x - y\rVert^2$, the *squared*
# distance, the triplet pays
#
# $$\max\bigl(0,\; d(a, p) - d(a, n) + m\bigr):$$
#
# nothing, once the negative is farther away than the positive by the margin $m$. A batch of $n$ rows has up to $n^3$
# triplets, and soon almost all of them pay nothing. So one *mines*: for every pair $(a, p)$ one negative is chosen. The
# hardest, nearest negative looks like the natural choice, and early in training it tends to make the network collapse. FaceNet
# takes a **semi-hard** one: farther than the positive, but not yet by the margin,
# $d(a, p) < d(a, n) < d(a, p) + m$. Of these we take the nearest. Where there is none, we take the *farthest* negative of
# all, the mildest one.

# %% [markdown]
# #### 2.1 · Semi-hard triplets   `●●●●○ · 35 min · 10 points`
#
# **By hand.** Four points on a line, $x = 0,\ 1,\ 1.6,\ 3$, labels $0, 0, 1, 1$, margin $m = 2$:
#
# | anchor, positive | $d(a, p)$ | window | $d(a, n)$ of both negatives | chosen | cost |
# |---|---|---|---|---|---|
# | 0, 1 | 1 | 1 to 3 | **2.56**, 9 | semi-hard | 1 − 2.56 + 2 = 0.44 |
# | 1, 0 | 1 | 1 to 3 | 0.36, **4** | none, so the farthest | max(0, 1 − 4 + 2) = 0 |
# | 1.6, 3 | 1.96 | 1.96 to 3.96 | **2.56**, 0.36 | semi-hard | 1.96 − 2.56 + 2 = 1.4 |
# | 3, 1.6 | 1.96 | 1.96 to 3.96 | **9**, 4 | none, so the farthest | 0 |
#
# The loss is the mean over all four pairs, the satisfied ones included: $1.84 / 4 = 0.46$. The nearest negative at every
# anchor would have given a different number: which?
#
# <details><summary>Answer</summary>
#
# $(0.44 + 2.64 + 3.6 + 0) / 4 = 1.67$.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "semi_hard_triplet_loss-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def semi_hard_triplet_loss(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Triplet loss with one mined negative for each anchor-positive pair (FaceNet, Schroff et al. 2015).

    For every ordered pair (a, p) of two different rows with the same label: the nearest negative with
    d(a, p) < d(a, n) < d(a, p) + margin, or the farthest of all negatives if there is none. d is the squared distance.

    Args:
        embeddings: (N, D), used as they are, not normalised.
        labels: (N,), int64.
        margin: width of the window, and margin of the loss, in squared distance.

    Returns:
        Mean over all such pairs of max(0, d(a, p) - d(a, n) + margin), without dimensions, of the inputs' dtype.
        0 when there is no pair, or no negative. The gradient flows through both distances.
    """
    ### BEGIN SOLUTION
    distance = (embeddings[:, None] - embeddings[None, :]).square().sum(dim=2)  # (N, N)
    same = labels[:, None] == labels[None, :]
    different_rows = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchor, positive = (same & different_rows).nonzero(as_tuple=True)  # (T,) each
    if len(anchor) == 0 or same.all():
        return 0 * embeddings.sum()
    to_positive = distance[anchor, positive]  # (T,)
    to_all, negative = distance[anchor], ~same[anchor]  # (T, N) each
    window = negative & (to_all > to_positive[:, None]) & (to_all < to_positive[:, None] + margin)
    nearest_in_window = to_all.masked_fill(~window, torch.inf).argmin(dim=1)
    farthest = to_all.masked_fill(~negative, -torch.inf).argmax(dim=1)
    chosen = torch.where(window.any(dim=1), nearest_in_window, farthest)
    to_negative = distance[anchor, chosen]
    return (to_positive - to_negative + margin).clamp(min=0).mean()
    ### END SOLUTION


# %%
line = torch.tensor([[0.0], [1.0], [1.6], [3.0]])
with trying():
    print(semi_hard_triplet_loss(line, torch.tensor([0, 0, 1, 1]), margin=2.0))  # expected: tensor(0.4600)

# %% nbgrader={"grade": true, "grade_id": "semi_hard_triplet_loss", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("semi_hard_triplet_loss", semi_hard_triplet_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Loops over pairs are allowed here: take the pairs one by one, and look at all negatives of the anchor at once. If you want
# no loop, list the pairs with `nonzero`, and give each a row with the distances from its anchor to everybody.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# All distances at once are `(embeddings[:, None] - embeddings[None, :]).square().sum(dim=2)`, and two rows are of one class
# where `labels[:, None] == labels[None, :]`. A part of a tensor may be empty, and has no minimum then: ask for its length.
#
# </details>
#
# <details><summary>The way</summary>
#
# Pair by pair: the distances from the anchor to all rows of other classes, of these the ones inside the window, of these the
# smallest; the largest of all if none is inside.
#
# ```python
# distance = (embeddings[:, None] - embeddings[None, :]).square().sum(dim=2)
# same = labels[:, None] == labels[None, :]
# costs = []
# for a, p in same.nonzero().tolist():
#     to_negatives = distance[a][~same[a]]
#     if a == p or len(to_negatives) == 0:
#         continue
#     window = to_negatives[(to_negatives > distance[a, p]) & (to_negatives < distance[a, p] + margin)]
#     to_negative = window.min() if len(window) else to_negatives.max()
#     costs.append((distance[a, p] - to_negative + margin).clamp(min=0))
# return torch.stack(costs).mean() if costs else 0 * embeddings.sum()
# ```
#
# </details>

# %% [markdown] nbgrader={"grade": true, "grade_id": "q2", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 2 · Why not the hardest?** (4 points, about five sentences)
#
# Suppose that all embeddings have come close to one point, so that every distance is nearly 0. What is the triplet loss then,
# with the nearest negative and with any other choice? Why can mining the nearest negative drive an untrained network towards
# this state, and what does the semi-hard window do about it?
#
# ### BEGIN SOLUTION
# If all distances are nearly 0, every triplet costs about the margin, whatever negative is chosen.
# Early in training the nearest negative is typically nearer than the positive, so d(a, p) - d(a, n) + m is larger than m: the
# cost of the hardest triplets is above the margin. Shrinking all distances to 0 lowers it to m, and shrinking is an easier
# direction than untangling: hence collapse is an attractor (and the gradient of a negative that is nearly at the anchor has
# no stable direction; many nearest negatives are mislabelled or outliers). A semi-hard triplet has d(a, n) > d(a, p), so its
# cost is below m: shrinking everything would *raise* it towards m. The window thus only uses triplets from which collapse does
# not pay.
#
# **Rubric.** 1 point: at collapse the cost equals the margin for every triplet. 1 point: hardest triplets cost more than the
# margin at first, since the negative is nearer than the positive. 1 point: so shrinking everything lowers the loss (accept:
# noisy gradients or label noise dominate, for half of this point). 1 point: semi-hard ones cost less than the margin, so
# collapse does not pay.
# ### END SOLUTION

# %% [markdown]
# ## 3 · One positive, many negatives
#
# #### 3.1 · N-pair   `●●○○○ · 15 min · 8 points`
#
# A triplet sees one negative at a time. The N-pair loss lets the positive compete with $K$ negatives at once, scored by plain
# dot products:
#
# $$\mathcal L = \frac1N\sum_{i=1}^{N}\log\Bigl(1 + \sum_{k=1}^{K}\exp\bigl(a_i^\top n_{ik} - a_i^\top p_i\bigr)\Bigr)$$
#
# Nothing is normalised. The 1 is the positive itself, $e^{0}$: this is a cross-entropy in disguise.
#
# **By hand.** One anchor $(2, 0)$, positive $(0.5, 0)$, negatives $(0, 3)$ and $(-0.5, 1)$. The scores are 1 for the positive,
# 0 and $-1$ for the negatives: $\log(1 + e^{-1} + e^{-2}) \approx 0.4076$.


# %% nbgrader={"grade": false, "grade_id": "n_pair_loss-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def n_pair_loss(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """Multi-class N-pair loss (Sohn 2016), also for long vectors whose scores differ by hundreds.

    Args:
        anchor, positive: (N, D), not normalised.
        negatives: (N, K, D), each anchor's own.

    Returns:
        Mean over the N anchors, without dimensions, of the inputs' dtype. log(K + 1) when all embeddings are the same.
    """
    ### BEGIN SOLUTION
    to_positive = (anchor * positive).sum(dim=1, keepdim=True)  # (N, 1)
    to_negatives = torch.einsum("nd,nkd->nk", anchor, negatives)  # (N, K)
    scores = torch.cat([to_positive, to_negatives], dim=1)  # (N, 1 + K), the right answer in column 0
    return F.cross_entropy(scores, torch.zeros(len(anchor), dtype=torch.int64, device=anchor.device))
    ### END SOLUTION


# %%
anchor, positive = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 0.0]])
negatives = torch.tensor([[[0.0, 3.0], [-0.5, 1.0]]])
with trying():
    print(n_pair_loss(anchor, positive, negatives))  # expected: tensor(0.4076)

# %% nbgrader={"grade": true, "grade_id": "n_pair_loss", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check("n_pair_loss", n_pair_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Multiply both sides inside the logarithm by $e^{a^\top p}$. What you get is minus the log of a softmax, and the positive is one
# of $K + 1$ classes.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# The scores of the negatives are `torch.einsum("nd,nkd->nk", anchor, negatives)`. With the positives' scores beside them in
# column 0, all that is left is a cross-entropy.
#
# </details>
#
# <details><summary>The way</summary>
#
# All $K + 1$ scores of an anchor in one row; the loss of a row is its `logsumexp` minus the score of the positive.
#
# ```python
# to_positive = (anchor * positive).sum(dim=1, keepdim=True)
# to_negatives = torch.einsum("nd,nkd->nk", anchor, negatives)
# scores = torch.cat([to_positive, to_negatives], dim=1)
# return (scores.logsumexp(dim=1) - scores[:, 0]).mean()
# ```
#
# </details>

# %% [markdown]
# #### 3.2 · How often is the positive found?   `●○○○○ · 10 min · 6 points`
#
# A loss of 3.1 says little to a human. "The partner was found 40 % of the time" says more, and chance is easy to
# state: $1/(K+1)$. A query *finds* its positive if the positive's dot product is **strictly larger than that of every
# negative**. Why strictly? Think of an encoder that maps every image to the same point.


# %% nbgrader={"grade": false, "grade_id": "info_nce_accuracy-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def info_nce_accuracy(query: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    """Share of the queries whose positive outscores all of its negatives; a tie is a miss.

    Args:
        query, positive: (N, D).
        negatives: (N, K, D), each query's own.

    Returns:
        Between 0 and 1: a floating-point tensor without dimensions. Chance is 1 / (K + 1). Needs no gradient.
    """
    ### BEGIN SOLUTION
    to_positive = (query * positive).sum(dim=1)  # (N,)
    to_negatives = torch.einsum("nd,nkd->nk", query, negatives)  # (N, K)
    return (to_positive > to_negatives.amax(dim=1)).to(query.dtype).mean()
    ### END SOLUTION


# %%
query = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
positive = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
negatives = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]], [[0.0, 0.0]]])
with trying():  # hit, tie, hit, miss
    print(info_nce_accuracy(query, positive, negatives))  # expected: tensor(0.5000)

# %% nbgrader={"grade": true, "grade_id": "info_nce_accuracy", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
check("info_nce_accuracy", info_nce_accuracy)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A positive that beats the best negative beats all of them.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# The scores are those of 3.1. A comparison gives booleans, which have no mean: turn them into floats first.
#
# </details>
#
# <details><summary>The way</summary>
#
# Compare the positive's score, in a column of its own, with every negative's.
#
# ```python
# to_positive = (query * positive).sum(dim=1, keepdim=True)
# to_negatives = torch.einsum("nd,nkd->nk", query, negatives)
# return (to_positive > to_negatives).all(dim=1).to(query.dtype).mean()
# ```
#
# </details>

# %% [markdown] nbgrader={"grade": true, "grade_id": "q3", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 3 · What is a good loss?** (4 points, about five sentences)
#
# You train with NT-Xent at batch size $N = 256$ and temperature 0.5, and the loss starts at 6.2. A friend trains the same network
# with $N = 1024$ and starts at 7.6. Is something wrong with either run? Later both losses have fallen by 1.5, and both of you
# want to know how many nats of mutual information between the two views this proves. What is the largest number that so many
# candidates could ever prove, if scores were free to take any value? And how near can cosines at temperature 0.5 get to it?
#
# ### BEGIN SOLUTION
# A network that knows nothing gives each of the 2N - 1 candidates the same chance and pays log(2N - 1): log 511 = 6.24 and
# log 2047 = 7.62. Both runs start at chance, as they should; the starting values differ because the second game has more
# candidates, so the losses of the two cannot be compared directly. InfoNCE with M candidates proves I >= log M - loss: what
# counts is the distance below chance, so both have shown about 1.5 nats. As the loss is never negative, the bound cannot
# exceed log M: 6.24 nats for the one and 7.62 for the other, however large the true mutual information is. Cosines at
# temperature 0.5 stop long before, since the logits lie between -2 and 2: with perfect partners and all others at cosine 0
# the loss is still log(1 + 510 e^-2) = 4.2, and others at slightly negative cosines hardly help. About 2 nats are the most
# that either batch can show, and 1.5 is most of that.
#
# **Rubric.** 1 point: chance is log(2N - 1), about 6.24 and 7.62, nothing is wrong. 1 point: losses at different batch sizes are
# not comparable as they stand. 1 point: the bound is log of the number of candidates minus the loss, so about 1.5 nats for both.
# 1 point: free scores saturate at the log of the number of candidates (6.2 and 7.6; log N or log 2N are fine too), and bounded
# ones well below (the reason is enough; a good estimate is 2 nats).
# ### END SOLUTION

# %% [markdown]
# ## 4 · Soft nearest neighbours
#
# #### 4.1 · All members of the class count   `●●●○○ · 30 min · 10 points`
#
# If a class has many members in the batch, why choose one positive? Let every row pick a neighbour at random, near ones more
# often than far ones, and ask for the chance that the neighbour is of its own class:
#
# $$\mathcal L_{\text{snn}} = -\frac1{|A|}\sum_{i\in A}\log
# \frac{\sum_{j\neq i,\; y_j = y_i}\exp(-\lVert x_i - x_j\rVert/\tau)}{\sum_{k\neq i}\exp(-\lVert x_i - x_k\rVert/\tau)}$$
#
# The distances are Euclidean and, unlike in the paper, not squared. $A$ holds the rows that have a positive at all; a row whose label
# occurs only once is left out of the mean (but stays among the neighbours of the others).
#
# **By hand.** Three points on a line, $0, 1, 3$, labels $0, 0, 1$, $\tau = 1$. Row 0 has its positive at distance 1 and the third
# point at 3: $\log(1 + e^{-2}) \approx 0.127$. Row 1: distances 1 and 2, $\log(1 + e^{-1}) \approx 0.313$. Row 2 has no positive.
# The mean of two is 0.2201.


# %% nbgrader={"grade": false, "grade_id": "soft_nearest_neighbor_loss-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def soft_nearest_neighbor_loss(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Minus the mean log-probability of picking a neighbour of the own class (after Frosst et al. 2019).

    Args:
        embeddings: (N, D), used as they are, not normalised. Rows may be identical, or far apart.
        labels: (N,), int64.
        temperature: divides the Euclidean distances.

    Returns:
        Mean over the rows that have a positive, without dimensions, of the inputs' dtype; 0 if none has.
        Always finite, and so is its gradient: at distance 0 it is taken as 0.
    """
    ### BEGIN SOLUTION
    distance = torch.linalg.vector_norm(embeddings[:, None] - embeddings[None, :], dim=2)  # (N, N)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    has_positive = positive.any(dim=1)
    if not has_positive.any():
        return 0 * embeddings.sum()
    logits = -distance / temperature
    above = logits.masked_fill(~positive, -torch.inf)[has_positive].logsumexp(dim=1)
    below = logits.masked_fill(itself, -torch.inf)[has_positive].logsumexp(dim=1)
    return (below - above).mean()
    ### END SOLUTION


# %%
points = torch.tensor([[0.0], [1.0], [3.0]])
with trying():
    print(soft_nearest_neighbor_loss(points, torch.tensor([0, 0, 1]), temperature=1.0))
    # expected: tensor(0.2201)

# %% nbgrader={"grade": true, "grade_id": "soft_nearest_neighbor_loss", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("soft_nearest_neighbor_loss", soft_nearest_neighbor_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The logarithm of a quotient of two sums of exponentials is a difference of two `logsumexp`s over the same logits, with
# different entries switched off. What do you fill an entry with to switch it off?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# Take only the rows that have a positive *before* the `logsumexp`: a row of nothing but $-\infty$ has a NaN gradient. And mind
# the square root: its slope at 0 is infinite, and the diagonal is all zeros. `torch.linalg.vector_norm` knows what to do
# there; the root of a sum of squares, written out, does not.
#
# </details>
#
# <details><summary>The way</summary>
#
# The same logits twice: with the positives only, and with everybody but the row itself.
#
# ```python
# distance = torch.linalg.vector_norm(embeddings[:, None] - embeddings[None, :], dim=2)
# other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
# positive = (labels[:, None] == labels[None, :]) & other
# rows = positive.any(dim=1)
# if not rows.any():
#     return 0 * embeddings.sum()
# logits = -distance[rows] / temperature
# to_positives = logits.masked_fill(~positive[rows], -torch.inf).logsumexp(dim=1)
# to_all = logits.masked_fill(~other[rows], -torch.inf).logsumexp(dim=1)
# return (to_all - to_positives).mean()
# ```
#
# </details>

# %% [markdown]
# ## 5 · Harder negatives
#
# #### 5.1 · MoCHi: mix the hardest   `●●●○○ · 30 min · 10 points`
#
# Most negatives in a batch are easy, and easy negatives teach nothing. MoCHi makes better ones for each query $q$. It takes a
# *queue* of embeddings of earlier images, ranks them by similarity to $q$ (rank 0 is the hardest, $n_0$), and mixes:
#
# $$h = \frac{\alpha\, n_r + (1-\alpha)\, n_s}{\lVert\,\cdot\,\rVert}
# \qquad\text{and, harder still,}\qquad
# h' = \frac{\beta\, q + (1-\beta)\, n_t}{\lVert\,\cdot\,\rVert},\quad \beta < \tfrac12 .$$
#
# The query and the rows of the queue are unit vectors (normalise them), and the mixtures are normalised again. $\beta$ stays below
# one half so that the mixture is more negative than query. The queue is a memory: it gets **no gradient**, while the
# query does, through $h'$.
#
# In training the ranks and the shares are drawn at random. Here they are handed to you, so that there is a right answer.
#
# **By hand.** $q = (1, 0)$, queue $(0, 2)$, $(3, 3)$, $(-1, 0)$. The cosines with $q$ are 0, 0.71 and $-1$, so
# $n_0 = (0.71, 0.71)$ and $n_1 = (0, 1)$. Half of each, renormalised: $h = (0.383, 0.924)$. With $\beta = \frac14$ and $n_1$:
# $(0.25, 0.75)$, renormalised $h' = (0.316, 0.949)$.


# %% nbgrader={"grade": false, "grade_id": "mochi_negatives-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mochi_negatives(
    query: Tensor, queue: Tensor, *, first: Tensor, second: Tensor, alpha: Tensor, third: Tensor, beta: Tensor
) -> Tensor:
    """Synthetic hard negatives with given draws (MoCHi, Kalantidis et al. 2020, eqs. 4 and 5).

    n_r is the queue's negative of rank r *for that query*, by cosine similarity, 0 the most similar.
        h  = normalise(alpha n_first + (1 - alpha) n_second)
        h' = normalise(beta q + (1 - beta) n_third)

    Args:
        query: (B, D), not normalised.
        queue: (K, D), not normalised; receives no gradient.
        first, second: ranks, int64 (B, s).
        alpha: share of the first, (B, s).
        third: ranks, int64 (B, t).
        beta: share of the query, (B, t).

    Returns:
        Unit vectors, all h and then all h': (B, s + t, D).
    """
    ### BEGIN SOLUTION
    q = F.normalize(query, dim=1)  # (B, D)
    n = F.normalize(queue.detach(), dim=1)  # (K, D)
    order = (q @ n.T).argsort(dim=1, descending=True)  # (B, K), hardest first
    n_first = n[order.gather(1, first)]  # (B, s, D)
    n_second = n[order.gather(1, second)]
    n_third = n[order.gather(1, third)]  # (B, t, D)
    alpha, beta = alpha[:, :, None], beta[:, :, None]
    h = alpha * n_first + (1 - alpha) * n_second
    h_query = beta * q[:, None] + (1 - beta) * n_third
    return F.normalize(torch.cat([h, h_query], dim=1), dim=2)
    ### END SOLUTION


# %%
queue = torch.tensor([[0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])
draws = {"first": 0, "second": 1, "alpha": 0.5, "third": 1, "beta": 0.25}
draws = {name: torch.tensor([[x]]) for name, x in draws.items()}
with trying():
    print(mochi_negatives(torch.tensor([[1.0, 0.0]]), queue, **draws))
# expected: tensor([[[0.3827, 0.9239],
#                    [0.3162, 0.9487]]])

# %% nbgrader={"grade": true, "grade_id": "mochi_negatives", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("mochi_negatives", mochi_negatives)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A rank is not a row of the queue. `argsort` of the similarities gives, for each query, the row that has rank 0, rank 1 and
# so on; then look up twice.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# With `order = (q @ n.T).argsort(dim=1, descending=True)`, which has shape `(B, K)`, `order.gather(1, first)` turns ranks
# `(B, s)` into rows `(B, s)`. The shares need one more dimension to multiply vectors.
#
# </details>
#
# <details><summary>The way</summary>
#
# From ranks to rows of the queue, from rows to vectors `(B, s, D)`, then the two mixtures.
#
# ```python
# q, n = F.normalize(query, dim=1), F.normalize(queue.detach(), dim=1)
# order = (q @ n.T).argsort(dim=1, descending=True)
# share = alpha[:, :, None]
# h = share * n[order.gather(1, first)] + (1 - share) * n[order.gather(1, second)]
# share = beta[:, :, None]
# harder = share * q[:, None] + (1 - share) * n[order.gather(1, third)]
# return F.normalize(torch.cat([h, harder], dim=1), dim=2)
# ```
#
# </details>

# %% [markdown] nbgrader={"grade": true, "grade_id": "q4", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 4 · How hard is too hard?** (4 points, about five sentences)
#
# You mine or mix ever harder negatives, and at some point the features get *worse* for telling the classes apart, although the task
# of the loss has become more demanding. Explain why. How would you find out, on a data set with labels that you only look at
# afterwards, that this is happening? Why does MoCHi wait a few epochs before it starts?
#
# ### BEGIN SOLUTION
# Without labels a "negative" is merely another image. The negatives most similar to an anchor are more and more often images of
# the same class: false negatives. Pushing them away teaches the network to tell apart what should be one class, and mixing makes
# even more of them (two false negatives mixed are a false one again). To find out: with the labels, count which share of the
# hardest r negatives of each anchor has the anchor's own class, and compare it with the share in the whole batch; watch kNN accuracy
# as a function of hardness, while the accuracy on the contrastive task goes on changing in its own way. In the first epochs the
# features are random, so "most similar" means nothing semantic (similar colours); hardness is not yet information, and hard
# mixtures would only make noisy gradients.
#
# **Rubric.** 1 point: names false negatives. 1 point: explains that they are over-represented among the hardest and are
# pushed apart. 1 point: a workable measurement (share of same-class images among the top-ranked negatives, or probe accuracy against
# hardness). 1 point: early features do not rank meaningfully.
# ### END SOLUTION

# %% [markdown]
# ## 6 · Put it to work
#
# You have a loss. Now it gets a network, images and an optimiser. The images come from `DATASET`; here are some, and below each
# of them two views of it. What do the two views of an image share, that views of different images do not?

# %%
size = 2048 if PROFILE == "fast" else 8192
train = data.load(DATASET, "train", count=size, seed=SEED)
test = data.load(DATASET, "test", count=1000, seed=SEED)
augment = SimCLRAugment(32)
few = train.images[:8]
show.images(
    torch.cat([few.float() / 255, augment(few), augment(few)]), row_titles=["image", "view 1", "view 2"]
)

# %% [markdown]
# #### 6.1 · Train an encoder   `●●●○○ · 30 min · 10 points`
#
# A *backbone* turns images into features, a *projector* turns features into the projections that the loss compares. Both are
# trained; afterwards the projector is thrown away, and the features are what we keep. One step:
#
# 1. take a batch of images, at random and without repetition within an epoch;
# 2. make two views of the *same* images with `augment` (it draws anew at every call);
# 3. backbone, then projector, for both views;
# 4. loss, gradient, one step of the optimiser.
#
# `check` gives your function a small world of shapes, watches every step, and in the end asks the nearest
# neighbours: with the features of the trained backbone they must find the right class at least 20 percentage points more often
# than with the untrained one. It brings a loss of its own, so an open item in section 1 costs nothing here.


# %% nbgrader={"grade": false, "grade_id": "train_encoder-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_encoder(
    backbone: nn.Module,
    projector: nn.Module,
    images: Tensor,
    *,
    augment,
    loss,
    epochs: int,
    batch_size: int,
    lr: float,
) -> nn.Module:
    """Train backbone and projector so that two views of an image find each other.

    Args:
        backbone: views (B, 3, H, W) -> features (B, F).
        projector: features (B, F) -> projections (B, D).
        images: (N, 3, H, W), uint8; N is a multiple of batch_size.
        augment: images (B, 3, H, W) -> one random view of each, float; call it once for each view.
        loss: projections (B, D), (B, D) -> scalar.
        epochs: how often every image is seen: once in each epoch, in an order drawn anew.
        batch_size: images in a step; every epoch has N / batch_size steps.
        lr: learning rate, meant for torch.optim.Adam or AdamW.

    Returns:
        The trained backbone, without the projector.
    """
    ### BEGIN SOLUTION
    optimiser = torch.optim.AdamW([*backbone.parameters(), *projector.parameters()], lr=lr)
    for _ in range(epochs):
        for index in torch.randperm(len(images), device=images.device).split(batch_size):
            batch = images[index]
            z1 = projector(backbone(augment(batch)))
            z2 = projector(backbone(augment(batch)))
            optimiser.zero_grad()
            loss(z1, z2).backward()
            optimiser.step()
    return backbone
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "train_encoder", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("train_encoder", train_encoder)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two loops: epochs, and batches inside. A permutation of all indices, split into pieces, deals the images out.
# Which parameters must the optimiser know?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# The optimiser learns both networks: `[*backbone.parameters(), *projector.parameters()]`. Two calls of `augment(batch)` make two
# views of the same images.
#
# </details>
#
# <details><summary>The way</summary>
#
# In each step two views, two projections, the loss, its gradient and a step; at the end the backbone alone.
#
# ```python
# optimiser = torch.optim.AdamW([*backbone.parameters(), *projector.parameters()], lr=lr)
# for _ in range(epochs):
#     for index in torch.randperm(len(images), device=images.device).split(batch_size):
#         batch = images[index]
#         z1 = projector(backbone(augment(batch)))
#         z2 = projector(backbone(augment(batch)))
#         optimiser.zero_grad()
#         loss(z1, z2).backward()
#         optimiser.step()
# return backbone
# ```
#
# </details>

# %% [markdown]
# And now everything is yours: your training loop with *your* NT-Xent on `DATASET`. **Predict first**: at which loss does it
# start, with 128 images a batch? And which share of the test images will find their class: chance is one in ten, if there are
# ten classes.


# %%
def accuracy(backbone: nn.Module) -> float:
    """Share of test images whose nearest training images have the right class."""
    return neighbours(*(evaluate.features(backbone, x.images) for x in (train, test)))


def neighbours(bank: Tensor, queries: Tensor) -> float:
    """The same for features (N, F) and (M, F), with the best of 1, 5 and 20 neighbours."""
    return evaluate.best_knn_accuracy(bank, train.labels, queries, test.labels)


def class_cosines(backbone: nn.Module) -> Tensor:
    """Mean cosine between the test images of every two classes, (classes, classes)."""
    x = evaluate.features(backbone, test.images)
    x = F.normalize(x - x.mean(dim=0), dim=1)
    means = torch.stack([x[test.labels == label].mean(dim=0) for label in test.labels.unique()])
    return means @ means.T


def recorded_loss(z1: Tensor, z2: Tensor) -> Tensor:
    """Your loss, written down at every step."""
    value = nt_xent_loss(z1, z2, temperature=0.2)
    losses.append(value.item())
    return value


# %%
torch.manual_seed(SEED)
losses = []
backbone = SmallConvNet(width=8 if PROFILE == "fast" else 32).to(DEVICE)
projector = mlp(backbone.num_features, 128, 32).to(DEVICE)
scores = {
    "chance": test.labels.bincount().max().item() / len(test),
    "raw pixels": neighbours(*(evaluate.raw_pixels(x.images) for x in (train, test))),
    "8 x 8 pixels": neighbours(*(evaluate.raw_pixels(x.images, size=8) for x in (train, test))),
    "the network, untrained": accuracy(backbone),
}
cosines = {"untrained": class_cosines(backbone)}
with trying():
    encoder = train_encoder(
        backbone,
        projector,
        train.images.to(DEVICE),
        augment=augment,
        loss=recorded_loss,
        epochs=10 if PROFILE == "fast" else 40,
        batch_size=128,
        lr=2e-3,
    )
    scores["the network, trained by you"] = accuracy(encoder)
    cosines["trained by you"] = class_cosines(encoder)
    display(show.loss_curve(losses, chance=math.log(2 * 128 - 1), title="your loss, your training loop"))
display(show.bars(scores, x="accuracy of the nearest neighbours", title="and what it has learnt"))
display(show.similarity_matrix(cosines, names=train.class_names, mark_best=True, limit=0.3))
for name, matrix in cosines.items():
    own = (matrix.argmax(dim=1) == torch.arange(len(matrix))).sum()
    print(f"{name}: {own} of {len(matrix)} classes are nearest to themselves")

# %% [markdown]
# Compare the loss with the dashed line. A network that knows nothing gives all $2B - 1 = 255$ candidates the same chance and
# pays $\log 255 \approx 5.54$; below the line it has learnt to find partners. It stays far from 0, and should: other
# images that look alike are among the candidates too.
#
# Now look at the bars. How much of the way from the untrained network to 1 did a few seconds of learning without labels go?
# Pixels stand there for honesty: they cost nothing. Images shrunk to $8 \times 8$ are hard to beat, since averages over
# small squares take away noise and small shifts; seconds of training beat them here by some five to ten percentage points.
# (Every row has the best of 1, 5 and 20 neighbours.)
#
# In the last picture, entry $(a, b)$ is the mean cosine between a test image of class $a$ and one of class $b$, for
# features whose overall mean was taken off, and a dot marks the largest entry of each row. Where it lies on the diagonal, the images
# of a class are nearest to each other, which nobody told the network: few classes before training, nearly all after it. Warm
# colours elsewhere tell which classes look alike to it.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q5", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 5 · What the views declare the same** (4 points, about five sentences)
#
# Suppose you train once more, with `SimCLRAugment(32, jitter=False)`: no change of colours at all. On many data sets the contrastive
# loss then falls faster and lower than before, and partners are found more often, yet the nearest neighbours of the features find the
# right class *less* often. How can both be true? Name one way to see this from measurements without training another
# network. In general: what does an augmentation tell the network, and what does it cost?
#
# ### BEGIN SOLUTION
# Two crops of the same image have nearly the same distribution of colours, and different images mostly have different ones.
# Without colour changes the network can find the partner by comparing colour histograms alone: a shortcut, easier than recognising
# what is shown, so the loss falls quickly and little else is learnt. Both are true since the loss measures how well partners are
# found, not what the features know. To see it: change only the colours of the test images and measure how far the features or
# neighbours move; or look at what the nearest neighbours share (colour instead of class); or compare kNN of the features with
# kNN on colour histograms. An augmentation declares what must not matter, and the loss rewards ignoring it. That removes shortcuts,
# but whatever is ignored is lost to the embedding, and may be what a task needs: colour for telling ripe fruit from unripe.
#
# **Rubric.** 1 point: colour statistics are a shortcut that tells the partner. 1 point: loss measures the pretext task, not the use
# of the features. 1 point: a workable measurement (recolour the test images, inspect neighbours, compare with colour histograms).
# 1 point: an augmentation declares what must not matter; its price is that a task may need just that (full marks, too, for "the
# projections lose it, the features before the projector may keep a part").
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# Restart the kernel and run everything from top to bottom. Every `check` should end with *passed*, and every question should have
# an answer. If an item does not work, leave it as it is: every item counts for itself.
#
# **What you have now.** One equation in three forms, and a feeling for when which form breaks; four relatives of it; negatives of
# your own making; and an encoder that has learnt to group images without having been told a single name. Next week the same
# loss meets what made it famous: large batches, long training, and memory banks.
#
# **Sources.** Schroff et al. 2015 (FaceNet); Sohn 2016 (N-pair); van den Oord et al. 2018 (InfoNCE);
# Frosst et al. 2019 (soft nearest neighbours); Chen et al. 2020 (SimCLR); Kalantidis et al. 2020 (MoCHi);
# Wang & Liu 2021 (behaviour of the temperature).
