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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/ssl-vision-course/blob/main/assignments/lab2_simclr_moco/lab2_simclr_moco.ipynb)

# %% [markdown]
# # Lab 2 · SimCLR and MoCo
#
# Last week you wrote the loss. This week you write what stands around it: the views that go in, the step that SimCLR takes,
# the momentum encoder and the queue with which MoCo does without large batches, and the two probes that tell whether
# anything was learnt. At the end your own pieces train a network, without a label, and your own probe marks it.
#
# | | item | what you write | | minutes | points |
# |---|---|---|---|---|---|
# | **1** | 1.1 | views: crop and flip, with given draws | ●●○○○ | 20 | 8 |
# | **2** | 2.1 | who looks at whom: the similarity matrix | ●●○○○ | 20 | 8 |
# | | 2.2 | one step of SimCLR | ●●●○○ | 25 | 10 |
# | **3** | 3.1 | a network that follows: EMA | ●○○○○ | 10 | 6 |
# | | 3.2 | a queue that wraps around | ●●●○○ | 20 | 10 |
# | | 3.3 | MoCo's logits | ●●○○○ | 15 | 10 |
# | **4** | 4.1 | weighted nearest neighbours | ●●●○○ | 25 | 10 |
# | | 4.2 | the linear probe | ●●●○○ | 25 | 8 |
# | **5** | 5.1 | train MoCo with your own pieces | ●●●●○ | 35 | 10 |
# | | Q1 to Q5 | five short written answers | | 5 × 10 | 5 × 4 |
#
# **How to work.** Every item is one function with a docstring that says all you need, a cell to try it in, and a cell that
# checks it. `check` tries your function on many inputs and tells you in a sentence what kind of mistake it found; it will
# be run again for your mark, on other inputs. Right values with a wrong gradient, or with a loop that should not be there,
# earn half of an item's points; values that go wrong (or a crash) on unusual inputs only, a quarter. Replace `raise
# NotImplementedError` by your code, and do not change the names. Stuck? Each item has a folded hint, and a detailed one.
# Anything from torch is allowed; the course's own methods are not there when your lab is graded. What is still open stops
# nothing: its check says so, and cells that need it (`with trying():`) wait for it.
#
# No GPU is needed, but your functions should follow their inputs to one: make new tensors with `device=...`. Run from
# top to bottom, the finished lab takes about a minute on two CPU cores.

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
PROFILE = "fast"  # "full" trains longer, on more images, in section 5
# "shapes", "cifar10", "stl10", "pets", "imagenette", or a folder with train/<class>/*.jpg and test/<class>/*.jpg
DATASET = "shapes"
SEED = 0
DEVICE = "auto"  # "auto", "cpu", "cuda", "mps"

# %%
import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data, evaluate, show
from course_lib.augment import SimCLRAugment
from course_lib.augment.crop import random_crop_boxes
from course_lib.check import check, trying
from course_lib.models import SmallConvNet, mlp

torch.manual_seed(SEED)
if DEVICE == "auto":
    DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
print(f"{PROFILE} on {DEVICE}, data: {DATASET}")

# %% [markdown]
# ## 1 · Views
#
# All that SimCLR and MoCo know about images is this: *two views of an image belong together*. The views come from an
# augmentation with random draws: which part of the image is cut out, whether it is mirrored, how its colours change. These
# are the images of `DATASET`.

# %%
size = 2048 if PROFILE == "fast" else 8192
train = data.load(DATASET, "train", count=size, seed=SEED)
test = data.load(DATASET, "test", count=1000, seed=SEED)
few = train.images[:8].float() / 255
show.images(few, title="eight training images")

# %% [markdown]
# #### 1.1 · Crop and flip   `●●○○○ · 20 min · 8 points`
#
# The most important augmentation is the *random resized crop*: cut a box out of the image, and stretch it back to a square.
# A *flip* then mirrors some of the crops from left to right. In training, box and coin are drawn at random, **for each image
# its own**. Here they are handed to you, so that there is a right answer.
#
# Resizing is bilinear, `F.interpolate(..., mode="bilinear")` with its other settings as they are.
#
# **By hand.** An image of $4 \times 4$ pixels holds the numbers 0 to 15, row by row. The box `(left, top, width, height)` =
# `(1, 0, 2, 2)` takes columns 1 and 2 of rows 0 and 1: $\begin{pmatrix}1 & 2\\ 5 & 6\end{pmatrix}$. At size 2 that is
# the view, and mirrored it is $\begin{pmatrix}2 & 1\\ 6 & 5\end{pmatrix}$. At size 1 it would be one pixel. Of which value?
#
# <details><summary>Answer</summary>
#
# 3.5, the mean of 1, 2, 5 and 6.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "crop_and_flip-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def crop_and_flip(images: Tensor, *, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """One view of each image: its box cut out, resized to a square, and mirrored left to right or not.

    Args:
        images: (B, 3, H, W), float.
        boxes: one for each image, int64 (B, 4): left, top, width, height in pixels.
        flips: which views are mirrored (after cutting), bool (B,).
        size: side of the views.

    Returns:
        The views, (B, 3, size, size).
    """
    ### BEGIN SOLUTION
    views = []
    for image, box, flip in zip(images, boxes, flips, strict=True):
        left, top, width, height = box.tolist()
        part = image[:, top : top + height, left : left + width]  # (3, height, width)
        view = F.interpolate(part[None], size=(size, size), mode="bilinear")[0]
        views.append(view.flip(2) if flip else view)
    return torch.stack(views)
    ### END SOLUTION


# %%
numbers = torch.arange(16.0).view(1, 1, 4, 4).expand(2, 3, 4, 4)
box = torch.tensor([[1, 0, 2, 2], [1, 0, 2, 2]])
with trying():
    print(crop_and_flip(numbers, boxes=box, flips=torch.tensor([False, True]), size=2)[:, 0])
# expected: tensor([[[1., 2.],
#                    [5., 6.]],
#                   [[2., 1.],
#                    [6., 5.]]])

# %% nbgrader={"grade": true, "grade_id": "crop_and_flip", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check("crop_and_flip", crop_and_flip)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A loop over the images is fine. A part of an image is `image[:, rows, columns]`: which numbers of the box are rows, and
# which are columns?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# `F.interpolate` wants a batch: `part[None]` makes one of a single image, and `[0]` takes the image out again.
# `view.flip(2)` mirrors along the columns.
#
# </details>
#
# <details><summary>The way</summary>
#
# Image by image: cut out, resize, mirror where the coin says so; then put the views together.
#
# ```python
# views = []
# for image, (left, top, width, height), flip in zip(images, boxes.tolist(), flips.tolist(), strict=True):
#     part = image[:, top : top + height, left : left + width]
#     view = F.interpolate(part[None], size=(size, size), mode="bilinear")[0]
#     views.append(view.flip(2) if flip else view)
# return torch.stack(views)
# ```
#
# </details>

# %% [markdown]
# Random boxes between a fifth and the whole of the image, and a coin for each: two views of eight images, made by your
# function. **Predict first**: will there be pairs whose two views show no common part of the image?


# %%
def random_views(images: Tensor) -> Tensor:
    """Your crops and flips, with random draws: (B, 3, H, W) -> (B, 3, 32, 32)."""
    boxes = random_crop_boxes(len(images), *images.shape[2:], scale=(0.2, 1.0)).long()
    return crop_and_flip(images, boxes=boxes, flips=torch.rand(len(images)) < 0.5, size=32)


with trying():
    display(
        show.pairs(random_views(few), random_views(few), few, title="which parts do the two views share?")
    )

# %% [markdown]
# A crop of a fifth of the area leaves room for another beside it, so now and then two views share nothing but the
# background: then the loss asks for what cannot be known. Most pairs share a good part of the object, and these are what the
# network learns from.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q1", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 1 · What must not matter** (4 points, about five sentences)
#
# An augmentation tells the network what must not matter. You may choose among random crops, left-right flips, changes of hue, and
# grey images. Which would you use, and which not, for (a) chest X-rays, where the side of the heart is part of the diagnosis,
# (b) birds, whose species differ in the colours of their plumage, (c) aerial photographs, in which north may point anywhere?
# Say for (a) and (b) what would go wrong with the worst choice, and why in general. Which would you add for (c)?
#
# ### BEGIN SOLUTION
# (a) Crops, mild ones; no flip: the network would learn that left and right are the same, and could not tell a heart on the
# wrong side. Hue and grey do nothing, since there is no colour; brightness and contrast would be the useful change.
# (b) Crops and flips; hue and grey only weakly or not at all: strong colour changes declare plumage colours irrelevant, and species that
# differ in colour only would get the same features. (Some brightness and saturation change is right: light varies.)
# (c) Crops, flips and colour changes (season, haze); add rotations by any angle and up-down flips, for nothing
# distinguishes a direction. Leaving those out is no catastrophe, it merely wastes an invariance that the data have.
# In general: the loss rewards ignoring whatever differs between the two views, so what the later task needs must not be in it.
#
# **Rubric.** 1 point: no flips for X-rays, because side would be lost. 1 point: no strong hue or grey for birds, because
# colour would be lost. 1 point: rotations (or up-down flips) for aerial photographs. 1 point: the reason in general: the loss rewards
# ignoring what differs between views (full marks, too, for "the projections lose it, the features may keep a part").
# ### END SOLUTION

# %% [markdown]
# ## 2 · SimCLR
#
# The network turns a view into *features* $h$, the projector turns features into a *projection* $z$. The loss of SimCLR lets each
# view look for its partner among all other views of the batch. Last week the partners stood half a batch apart. In
# practice a batch may come in any order, spread over several GPUs; then one has to know which views belong together.
#
# #### 2.1 · Who looks at whom   `●●○○○ · 20 min · 8 points`
#
# For $M$ views with projections $z_i$, of images `image[i]`, the similarity matrix has the cosines
# $s_{ij} = \frac{z_i^\top z_j}{\lVert z_i\rVert\,\lVert z_j\rVert}$. View $i$ looks at every *other* view with probability
#
# $$P_{ij} = \frac{\exp(s_{ij}/\tau)}{\sum_{k \ne i}\exp(s_{ik}/\tau)},\qquad P_{ii} = 0,$$
#
# and every image has exactly two views in the batch. Return what each view gives to its partner: $P_{i\,p(i)}$, where $p(i)$ is the
# other view of the same image. The mean of $-\log P_{i\,p(i)}$ is NT-Xent.
#
# **By hand.** Four views, $z = (2, 0), (0, 1), (3, 0), (0, 5)$, of images $7, 4, 7, 4$, and $\tau = 0.5$. Every view is at
# cosine 1 from its partner and 0 from the two others: $e^2 / (e^2 + 1 + 1) \approx 0.787$. What would it be if
# the images were $7, 7, 4, 4$?
#
# <details><summary>Answer</summary>
#
# Every partner is then at cosine 0, one of the two others at 1: $1 / (e^2 + 1 + 1) \approx 0.107$.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "partner_probability-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def partner_probability(z: Tensor, *, image: Tensor, temperature: float) -> Tensor:
    """The probability that each view gives to its partner, among all views but itself.

    Args:
        z: projections of M views in any order, (M, D), not normalised.
        image: which image each view comes from, int64 (M,); every number occurs exactly twice.
        temperature: divides the cosines.

    Returns:
        (M,), between 0 and 1. The number of torch calls does not depend on M.
    """
    ### BEGIN SOLUTION
    z = F.normalize(z, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)  # (M, M)
    partner = (image[:, None] == image[None, :]) & ~itself
    return (logits.softmax(dim=1) * partner).sum(dim=1)
    ### END SOLUTION


# %%
toy = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 5.0]])
with trying():
    print(partner_probability(toy, image=torch.tensor([7, 4, 7, 4]), temperature=0.5))
# expected: tensor([0.7870, 0.7870, 0.7870, 0.7870])

# %% nbgrader={"grade": true, "grade_id": "partner_probability", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check("partner_probability", partner_probability)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two matrices of shape $(M, M)$: the probabilities, and a mask that is True where row and column are two *different* views of the
# same image. What is left of a row of the first when you multiply it by the second?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# `image[:, None] == image[None, :]` is True for partners, and on the diagonal as well. What must a logit be, so that its
# probability is exactly 0?
#
# </details>
#
# <details><summary>The way</summary>
#
# The diagonal is switched off before the softmax. Of the mask, one entry is True in every row: indexing with it takes the
# partners' probabilities in the order of the rows.
#
# ```python
# z = F.normalize(z, dim=1)
# itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
# probability = (z @ z.T / temperature).masked_fill(itself, -torch.inf).softmax(dim=1)
# partner = (image[:, None] == image[None, :]) & ~itself
# return probability[partner]
# ```
#
# </details>

# %% [markdown]
# What does a network see that has learnt nothing? Eight images, their two views side by side in the batch, and the cosines of
# the features. **Predict first**: are they spread around 0? Where should the orange spots be, if the network were good?

# %%
torch.manual_seed(SEED)
augment = SimCLRAugment(32)
untrained = SmallConvNet(width=8).eval()
image = torch.arange(8).repeat_interleave(2)  # 0 0 1 1 2 2 ...
views = augment(few[image])
with torch.no_grad():
    h = untrained(views)
centred = h - h.mean(dim=0)
cosines = {
    name: F.normalize(x, dim=1) @ F.normalize(x, dim=1).T
    for name, x in [("as they are", h), ("centred", centred)]
}
display(show.similarity_matrix(cosines, title="cosines of the 16 views, untrained network"))
with trying():
    p = partner_probability(centred, image=image, temperature=0.5)
    print(f"on average a view gives its partner {p.mean():.2f}; chance is 1/15 = {1 / 15:.2f}")

# %% [markdown]
# As they are, all features point in nearly the same direction: behind a ReLU no number is negative. Taking off the mean
# shows what differs. Some pairs beside the diagonal already stand out, because two views of one image share colours and
# edges; the loss will make them stand out for better reasons.
#
# #### 2.2 · One step   `●●●○○ · 25 min · 10 points`
#
# Now the whole of SimCLR's Algorithm 1, with the smallest network there is: an encoder of one matrix and a ReLU, and a
# projector of one matrix.
#
# $$h = \mathrm{relu}(W x),\qquad z = V h,\qquad W \leftarrow W - \eta\,\frac{\partial\,\mathcal L_{\text{NT-Xent}}}{\partial W}$$
#
# Rows of `view1` and `view2` are the two views of the same images. Compute the projections of both, the loss over all $2N$
# views, its gradient with respect to the encoder $W$, and return the encoder after one step of gradient descent. (The
# projector $V$ would take its step as well; here it stays.)
#
# **By hand.** With a single image each of its two views has one candidate, its partner, and finds it with probability 1. The
# loss is 0, and the encoder stays as it was. With two images, `view1` and `view2` as below, $W$ and $V$ unit
# matrices, $\eta = 1$ and $\tau = 0.5$: the negative's cosines are 0.8, and the step turns the two images away from each other.


# %% nbgrader={"grade": false, "grade_id": "simclr_step-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def simclr_step(
    view1: Tensor, view2: Tensor, encoder: Tensor, projector: Tensor, *, lr: float, temperature: float
) -> Tensor:
    """The encoder's weights after one step of gradient descent on NT-Xent.

    h = relu(view @ encoder.T), z = h @ projector.T, for both views.

    Args:
        view1, view2: two views of the same N images, as vectors (N, P).
        encoder: (F, P).
        projector: (D, F).
        lr: learning rate.
        temperature: of NT-Xent, the mean over all 2N views.

    Returns:
        encoder - lr * gradient, (F, P). Nothing that was handed in is changed.
    """
    ### BEGIN SOLUTION
    weight = encoder.detach().clone().requires_grad_()
    z1, z2 = (torch.relu(view @ weight.T) @ projector.T for view in (view1, view2))  # (N, D)
    image = torch.arange(len(z1), device=z1.device).repeat(2)
    loss = -partner_probability(torch.cat([z1, z2]), image=image, temperature=temperature).log().mean()
    (gradient,) = torch.autograd.grad(loss, weight)
    return weight.detach() - lr * gradient
    ### END SOLUTION


# %%
pair = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
with trying():
    print(simclr_step(pair, pair, torch.eye(2), torch.eye(2), lr=1.0, temperature=0.5))
# expected: tensor([[ 1.0000, -0.4124],
#                   [-0.4124,  1.0000]])

# %% nbgrader={"grade": true, "grade_id": "simclr_step", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("simclr_step", simclr_step)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A gradient needs a *leaf*: make a copy of the encoder that asks for one. The loss is made of your `partner_probability`: which
# `image` numbers do the rows of `torch.cat([z1, z2])` have?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# Such a leaf is `weight = encoder.detach().clone().requires_grad_()`: use it for both views. After `loss.backward()` its
# gradient is in `weight.grad`, and nothing that was handed in has changed.
#
# </details>
#
# <details><summary>The way</summary>
#
# Projections of both views, numbers 0 to $N-1$ twice, the loss, its gradient, one step. (Or write NT-Xent as you did last
# week: then an open 2.1 costs nothing here.)
#
# ```python
# weight = encoder.detach().clone().requires_grad_()
# z1 = torch.relu(view1 @ weight.T) @ projector.T
# z2 = torch.relu(view2 @ weight.T) @ projector.T
# image = torch.arange(len(z1), device=z1.device).repeat(2)
# p = partner_probability(torch.cat([z1, z2]), image=image, temperature=temperature)
# loss = -p.log().mean()
# loss.backward()
# return weight.detach() - lr * weight.grad
# ```
#
# </details>

# %% [markdown]
# A step is not yet learning. Here are 150 of them, on 64 images shrunk to $8 \times 8$ pixels, with new views at every step.


# %%
def small_views(images: Tensor) -> Tensor:
    """New views as vectors of 192 numbers around 0."""
    return F.avg_pool2d(augment(images), 4).flatten(1) - 0.5


with trying():
    torch.manual_seed(SEED)
    batch = train.images[:64]
    encoder, projector = torch.randn(64, 192) / 192**0.5, torch.randn(16, 64) / 8
    losses = []
    for _ in range(150):
        x1, x2 = small_views(batch), small_views(batch)
        z = torch.relu(torch.cat([x1, x2]) @ encoder.T) @ projector.T
        p = partner_probability(z, image=torch.arange(64).repeat(2), temperature=0.5)
        losses.append(-p.log().mean().item())
        encoder = simclr_step(x1, x2, encoder, projector, lr=2.0, temperature=0.5)
    display(show.loss_curve(losses, chance=math.log(127), title="SimCLR, one matrix, 64 images"))

# %% [markdown] nbgrader={"grade": true, "grade_id": "q2", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 2 · Large batches** (4 points, about five sentences)
#
# SimCLR was trained with batches of 256 to 8192 images. For each view, how many negatives are there in a batch of $N$ images, and what is
# the loss of a network that cannot tell any view from another? Why do more negatives make the task more useful, up to a point? Why can one
# not simply add up the gradients of 32 batches of 256 to get the effect of one batch of 8192, as in supervised training?
#
# ### BEGIN SOLUTION
# There are 2N - 2 negatives for each view (all 2N views but the view itself and its partner), and a network to which all views look alike
# gives each of the 2N - 1 candidates the same chance: the loss is log(2N - 1).
# With few negatives most are easy, very different images: the partner is found by rough cues, like the overall colour, and the gradient
# soon vanishes. Among many there are some that look alike, so that finer properties must be used, and the sum in the denominator is a
# better estimate of that over the whole data set. It saturates: the hardest negatives of a huge batch are more and more images of the same
# class, and long training sees many negatives anyway.
# Adding up gradients: the loss of an image depends on the *other images in its batch*, through the softmax. 32 batches of 256 give each
# view 510 negatives at a time, never 16382; the gradients are those of the easier task. In supervised training the loss of an image
# depends on that image alone, so the sum is the same.
#
# **Rubric.** 1 point: 2N - 2 negatives and log(2N - 1). 1 point: more negatives are harder ones, finer cues are needed (or: better
# estimate of the denominator). 1 point: the loss couples the images of a batch. 1 point: so accumulated batches have only
# their own negatives, while a supervised loss is a sum over images.
# ### END SOLUTION

# %% [markdown]
# ## 3 · MoCo
#
# MoCo asks the same question, and takes the negatives from elsewhere: from a *queue* of keys that were made in earlier steps. The number
# of negatives is then the length of the queue, however small the batch. There is a price: old keys were made by an old
# network. MoCo pays it with a second network, the *key encoder*, that changes slowly.
#
# #### 3.1 · A network that follows   `●○○○○ · 10 min · 6 points`
#
# The key encoder has the same layers as the query encoder and learns nothing itself. Before every step each of its parameters
# moves a little towards that of the query encoder. (The paper's pseudo-code does it at the end of a step, its released code at
# the start of the next. As the key encoder starts as a copy, all keys are the same either way.)
#
# $$\theta_k \leftarrow m\,\theta_k + (1 - m)\,\theta_q$$
#
# an *exponential moving average* (EMA) with momentum $m$ near 1. No gradient goes through it, in either direction.
#
# **By hand.** $\theta_k = (1, 0)$, $\theta_q = (0, 2)$, $m = 0.75$: the new $\theta_k$ is $(0.75, 0.5)$.


# %% nbgrader={"grade": false, "grade_id": "ema_update-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ema_update(key: Tensor, query: Tensor, *, momentum: float) -> Tensor:
    """The key encoder's new weights (MoCo, He et al. 2020, eq. 2).

    Args:
        key: its old weights, of any shape.
        query: the query encoder's weights, of the same shape.
        momentum: share of itself that the key encoder keeps, in [0, 1].

    Returns:
        A new tensor without gradient; `key` and `query` stay as they are.
    """
    ### BEGIN SOLUTION
    return momentum * key.detach() + (1 - momentum) * query.detach()
    ### END SOLUTION


# %%
key, query = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
with trying():
    print(ema_update(key, query, momentum=0.75))  # expected: tensor([0.7500, 0.5000])

# %% nbgrader={"grade": true, "grade_id": "ema_update", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
check("ema_update", ema_update)

# %% [markdown]
# <details><summary>Hint</summary>
#
# It is a weighted mean, and the weights add up to 1. Which of the two is the large one?
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# A result that no gradient goes through is made of `.detach()`ed tensors, or under `torch.no_grad()`.
#
# </details>
#
# <details><summary>The way</summary>
#
# The share `momentum` of the old weights, and what is left of 1 of the new ones.
#
# ```python
# with torch.no_grad():
#     return momentum * key + (1 - momentum) * query
# ```
#
# </details>

# %% [markdown]
# One weight of a query encoder takes small random steps, and jumps by 1 in the middle. Three key encoders follow. **Predict first**:
# after the jump, how many steps does the key encoder with $m = 0.99$ need to go about two thirds of the way?

# %%
with trying():
    steps = torch.arange(400)
    noise = 0.02 * torch.randn(400, generator=torch.Generator().manual_seed(SEED))
    walk = noise.cumsum(0) + (steps >= 200)
    lines = {"query encoder": (steps, walk)}
    for momentum in (0.9, 0.99, 0.999):
        key, path = walk[0], []
        for query in walk:
            key = ema_update(key, query, momentum=momentum)
            path.append(key.item())
        lines[f"key encoder, m = {momentum:g}"] = (steps, path)
    display(show.functions(lines, x="step", y="a weight", title="who follows how fast?"))

# %% [markdown]
# About 100 steps: after $t$ steps the share $m^t$ of the old value is left, and $0.99^{100} = 0.37$. In general it takes about
# $1 / (1 - m)$ steps, ten at $m = 0.9$; at $m = 0.999$ the 200 steps that are left are not enough.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q3", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 3 · How slow?** (4 points, about five sentences)
#
# MoCo on ImageNet uses $K = 65\,536$ keys, batches of 256, and $m = 0.999$. How many steps old is the oldest key in the queue? About
# how many steps does the key encoder lag behind the query encoder? What goes wrong with $m = 0$, and what with $m = 1$?
#
# ### BEGIN SOLUTION
# The queue holds 65536 / 256 = 256 batches, so the oldest key is 256 steps old.
# The average forgets with the factor m a step: it looks back about 1 / (1 - m) = 1000 steps. In 256 steps the key encoder thus moves only
# about a quarter (1 - 0.999^256 = 0.23) of the way to where the query encoder is, so that keys of different age are comparable.
# With m = 0 the key encoder is the query encoder: it changes in every step, the keys in the queue come from 256 different networks, and a query
# is compared with outdated keys. Their similarities to it say little about the images, being pushed away from them teaches little: the loss
# oscillates or stays near chance, and in the paper training fails. With m = 1 the key encoder stays the random network:
# the keys are consistent, but the query encoder learns to imitate a random network's embedding, and the targets never get better.
#
# **Rubric.** 1 point: 256 steps. 1 point: about 1000 steps (any argument with 1 / (1 - m)). 1 point: m = 0 makes the keys
# inconsistent with each other. 1 point: m = 1 keeps untrained targets.
# ### END SOLUTION

# %% [markdown]
# #### 3.2 · A queue that wraps around   `●●●○○ · 20 min · 10 points`
#
# The queue is a matrix with a row for each of $K$ keys, unit vectors all. The oldest stand at row `start`. After every step the new keys
# overwrite them: key 0 goes to row `start`, key 1 to the next, and what would stand behind the last row goes on at row 0.
# The caller then moves `start` on. Most published code demands that $B$ divides $K$ and fails otherwise, some of it without
# saying so. Yours shall not care.
#
# The queue is a **memory**: no gradient goes into it, and the old queue, which the loss of this step still needs, is left as it was.
#
# **By hand.** $K = 5$ rows, all $(0, 1)$; three keys $(3, 0)$, $(0, -2)$, $(-1, 0)$; `start = 3`. They go to rows 3, 4 and 0, as unit vectors.


# %% nbgrader={"grade": false, "grade_id": "enqueue-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def enqueue(queue: Tensor, keys: Tensor, *, start: int) -> Tensor:
    """The queue with the oldest keys overwritten.

    Args:
        queue: unit vectors, (K, D).
        keys: (B, D), not normalised, B <= K.
        start: row of the oldest key, in [0, K).

    Returns:
        A new (K, D), without gradient: keys, as unit vectors, in rows start, start + 1, ..., going on at row 0
        after row K - 1; the other rows as they were.
    """
    ### BEGIN SOLUTION
    rows = (start + torch.arange(len(keys), device=queue.device)) % len(queue)
    queue = queue.detach().clone()
    queue[rows] = F.normalize(keys.detach(), dim=1)
    return queue
    ### END SOLUTION


# %%
new_keys = torch.tensor([[3.0, 0.0], [0.0, -2.0], [-1.0, 0.0]])
with trying():
    print(enqueue(torch.tensor([[0.0, 1.0]] * 5), new_keys, start=3))
# expected: tensor([[-1.,  0.],
#                   [ 0.,  1.],
#                   [ 0.,  1.],
#                   [ 1.,  0.],
#                   [ 0., -1.]])

# %% nbgrader={"grade": true, "grade_id": "enqueue", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("enqueue", enqueue)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Which row does key $i$ go to? The remainder of a division, `%`, turns a line into a ring. And remember that `F.normalize` returns
# something.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# All rows at once are `(start + torch.arange(len(keys), device=queue.device)) % len(queue)`. The old queue must stay as it is:
# write into a copy.
#
# </details>
#
# <details><summary>The way</summary>
#
# The rows, a copy without gradient, the unit vectors into those rows.
#
# ```python
# rows = (start + torch.arange(len(keys), device=queue.device)) % len(queue)
# new = queue.detach().clone()
# new[rows] = F.normalize(keys.detach(), dim=1)
# return new
# ```
#
# </details>

# %% [markdown]
# To see the ring turn: batches of 5 keys go into a queue of 16 rows. Every line below is the queue after one more batch; a
# number tells with which batch that row was written, a dot that it never was. **Predict first**: which row does the
# second key of batch 4 go to?

# %%
with trying():
    ring, start = F.normalize(torch.tensor([[1.0, 0.0]] * 16), dim=1), 0
    print("row       ", *(f"{row:2d}" for row in range(16)))
    for step in range(1, 10):
        angle = torch.tensor(0.1 * step)  # the direction of a key tells when it was made
        ring = enqueue(ring, torch.stack([angle.cos(), angle.sin()]).expand(5, 2), start=start)
        start = (start + 5) % 16
        written = (10 * torch.atan2(ring[:, 1], ring[:, 0])).round().int().tolist()
        print(f"batch {step}:  ", *(f"{batch or '.':>2}" for batch in written))

# %% [markdown]
# Three batches fill rows 0 to 14, so the first key of batch 4 goes to row 15, and the second to row 0: the ring has closed.

# %% [markdown]
# #### 3.3 · The logits   `●●○○○ · 15 min · 10 points`
#
# A query has one positive, its own key, the other view of its image; and $K$ negatives, the rows of the queue, the same for all queries of the
# batch. The logits are cosines divided by the temperature, the positive in column 0:
#
# $$\ell_i = \frac{1}{\tau}\bigl(q_i^\top k_i,\; q_i^\top n_1,\; \dots,\; q_i^\top n_K\bigr),\qquad \lVert q_i\rVert = \lVert k_i\rVert = 1$$
#
# The loss is then `F.cross_entropy` with class 0 as the target of every row, and $\log(K + 1)$ is chance. Only the query
# learns: keys and queue get no gradient.
#
# **By hand.** One query $(2, 0)$, its key $(1, 1)$, a queue of $(0, 1)$ and $(-1, 0)$, $\tau = 0.5$: cosines $0.707$, $0$ and $-1$,
# logits $1.414$, $0$ and $-2$. The loss is $\log(1 + e^{-1.414} + e^{-3.414}) \approx 0.244$.


# %% nbgrader={"grade": false, "grade_id": "moco_logits-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def moco_logits(query: Tensor, keys: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """Logits of finding the own key among the queue (MoCo, He et al. 2020, Algorithm 1).

    Args:
        query: (B, D), not normalised; the only one that receives a gradient.
        keys: (B, D), not normalised; row i is the key of query i.
        queue: (K, D), unit vectors.
        temperature: divides the cosines.

    Returns:
        (B, 1 + K), the positive in column 0. The number of torch calls does not depend on B.
    """
    ### BEGIN SOLUTION
    q = F.normalize(query, dim=1)
    k = F.normalize(keys.detach(), dim=1)
    positive = (q * k).sum(dim=1, keepdim=True)  # (B, 1)
    negative = q @ queue.detach().T  # (B, K)
    return torch.cat([positive, negative], dim=1) / temperature
    ### END SOLUTION


# %%
ring = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
with trying():
    logits = moco_logits(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]]), ring, temperature=0.5)
    print(logits, F.cross_entropy(logits, torch.tensor([0])))
# expected: tensor([[ 1.4142,  0.0000, -2.0000]]) tensor(0.2437)

# %% nbgrader={"grade": true, "grade_id": "moco_logits", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("moco_logits", moco_logits)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The positives are $B$ dot products of rows that belong together, not a matrix product. The negatives are a matrix product.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# `(q * k).sum(dim=1, keepdim=True)` has shape `(B, 1)`, and fits beside the negatives, `(B, K)`. Who of the three gets no
# gradient?
#
# </details>
#
# <details><summary>The way</summary>
#
# Positives beside negatives, all divided by the temperature; keys and queue are constants.
#
# ```python
# q, k = F.normalize(query, dim=1), F.normalize(keys.detach(), dim=1)
# positive = (q * k).sum(dim=1, keepdim=True)
# negative = q @ queue.detach().T
# return torch.cat([positive, negative], dim=1) / temperature
# ```
#
# </details>

# %% [markdown]
# What do these logits look like before any training? Here queries and keys come from one and the same untrained network, and the queue holds its
# keys of 256 other images. **Predict first**: does an untrained network find its own keys better than by chance?

# %%
with trying():
    torch.manual_seed(SEED)
    net = nn.Sequential(SmallConvNet(width=8), mlp(64, 128, 32))
    with torch.no_grad():
        queries, own, others = (net(augment(train.images[i : i + 256])) for i in (0, 0, 256))
        logits = moco_logits(queries, own, F.normalize(others, dim=1), temperature=0.2)
    loss = F.cross_entropy(logits, torch.zeros(256, dtype=torch.long))
    found = (logits.argmax(dim=1) == 0).float().mean()
    groups = {"own key": logits[:, 0], "keys in the queue": logits[:, 1:].flatten()}
    display(show.histogram(groups, x="logit", bins=40))
    print(f"loss {loss:.2f}, chance {math.log(257):.2f}")
    print(f"own key found first: {found:.3f}, chance {1 / 257:.3f}")

# %% [markdown]
# Better than by chance, several times, though hardly ever in absolute terms: views of one image share colours, and random
# filters keep a little of that. The loss barely shows it.

# %% [markdown] nbgrader={"grade": true, "grade_id": "q4", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 4 · Read the curve** (4 points, about five sentences)
#
# Four loops like the one that you will write in 5.1, with a queue of $K = 256$ and $\tau = 0.07$, run without an error, and there
# is a mistake in each. A sound run comes down to a loss of about 4. Find a likely mistake for each of these: (a) the loss rises to about $\log 257 \approx 5.55$
# and stays there; (b) it never falls below $\log 2 \approx 0.69$, however long and well you train; (c) it is below 1 after some twenty
# steps, and the rows of the queue turn out to be the same as at the start; (d) it is nearly 0 after some hundred steps, although the
# queue changes as it should. What would you print to be sure?
#
# ### BEGIN SOLUTION
# (a) All candidates score alike, and nothing changes that: no gradient reaches the query encoder (queries made under no_grad or
# detached, no optimiser step, the encoder not in the optimiser), or all embeddings are the same vector. Print whether the loss requires a
# gradient, and the norm of the gradient; and the standard deviation of the embeddings.
# (b) The query's own key is among the negatives as well: the batch is enqueued before the loss is computed (or a symmetric loss
# enqueues the first view's keys before it uses the queue for the second view). Two candidates are then equal, and the best possible
# probability is one half. Print the largest cosine between keys and queue: it is 1.
# (c) The queue is never updated, for instance because the new queue is returned but not assigned: its random vectors are easily told from
# real keys. Print whether the queue changes from step to step.
# (d) The positive is too easy: both views are the same tensor, or the augmentation is missing (or batch norm tells
# which key comes from the own batch). Print the difference of the two views, or look at them.
#
# **Rubric.** For each, a mistake that produces this very curve, and something sensible to print or look at (half a point for the mistake
# alone). 1 point: (a) nothing reaches the query encoder, or all is one point, or a key encoder that does not lag (momentum 0, or
# $m$ and $1 - m$ swapped; printed: the distance between the encoders). 1 point: (b) the own key is a negative. 1 point: (c) the queue stays as it
# was. 1 point: (d) the views are the same, or give themselves away.
# ### END SOLUTION

# %% [markdown]
# ## 4 · Has it learnt anything?
#
# A contrastive loss tells how well partners are found, not what the features know. Two probes are asked instead. Both use labels; neither
# changes the network.
#
# #### 4.1 · Weighted nearest neighbours   `●●●○○ · 25 min · 10 points`
#
# The *bank* has the features of the training images, and their labels. A query finds its $k$ nearest neighbours by the cosine $s$; each
# votes for its own class with weight $e^{s/\tau}$. The share of class $c$ is
#
# $$\frac{\sum_{j \in N_k,\, y_j = c} e^{s_j/\tau}}{\sum_{j \in N_k} e^{s_j/\tau}}$$
#
# and the class with the largest share wins (Wu et al. 2018; DINO uses $k = 20$, $\tau = 0.07$). The bank may have fewer than $k$ images,
# and there may be classes of which it has none. At $\tau = 0.01$ nothing may overflow.
#
# **By hand.** The bank has $(1, 0)$, $(0, 2)$, $(1, 1)$ with labels 0, 1, 1; the query is $(3, 0)$, $k = 2$, $\tau = 0.5$. The
# cosines are 1, 0 and 0.707: the first and the last vote, with weights $e^{2} = 7.39$ and $e^{1.414} = 4.11$. Class 0 gets
# $7.39 / 11.50 = 0.642$.


# %% nbgrader={"grade": false, "grade_id": "knn_votes-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def knn_votes(
    bank: Tensor, queries: Tensor, *, bank_labels: Tensor, classes: int, k: int, temperature: float
) -> Tensor:
    """Share of the vote that each class gets among the k nearest neighbours of each query.

    Args:
        bank: features of N images, (N, F), not normalised.
        queries: features of M other images, (M, F), not normalised.
        bank_labels: int64 (N,), in [0, classes).
        classes: number C of classes.
        k: how many neighbours vote; all N if there are fewer.
        temperature: a neighbour with cosine s has weight exp(s / temperature).

    Returns:
        (M, C); every row sums to 1, and a class without a vote has 0. Finite at temperature 0.01. The number of
        torch calls does not depend on N or M.
    """
    ### BEGIN SOLUTION
    cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T  # (M, N)
    near, index = cosines.topk(min(k, len(bank)), dim=1)  # (M, k)
    shares = (near / temperature).softmax(dim=1)
    votes = torch.zeros(len(queries), classes, dtype=shares.dtype, device=shares.device)
    return votes.scatter_add(1, bank_labels[index], shares)
    ### END SOLUTION


# %%
bank = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
setting = {"bank_labels": torch.tensor([0, 1, 1]), "classes": 2, "k": 2, "temperature": 0.5}
with trying():
    print(knn_votes(bank, torch.tensor([[3.0, 0.0]]), **setting))  # expected: tensor([[0.6424, 0.3576]])

# %% nbgrader={"grade": true, "grade_id": "knn_votes", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("knn_votes", knn_votes)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `topk` gives the cosines of the neighbours, and their rows in the bank. The weights divided by their sum are a softmax over the
# $k$ neighbours. Then every neighbour's share must be added to the column of its class.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# `cosines.topk(min(k, len(bank)), dim=1)` returns two matrices of shape `(M, k)`: cosines, and rows of the bank. Labels become
# columns with `F.one_hot`, or numbers are added to the columns that an index names with `scatter_add`.
#
# </details>
#
# <details><summary>The way</summary>
#
# A softmax over the neighbours' cosines; every share in the column of its neighbour's class; the sum over the neighbours.
#
# ```python
# cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
# near, index = cosines.topk(min(k, len(bank)), dim=1)
# shares = (near / temperature).softmax(dim=1)
# columns = F.one_hot(bank_labels[index], classes)
# return (shares[:, :, None] * columns).sum(dim=1)
# ```
#
# </details>

# %% [markdown]
# How many neighbours? The raw pixels of `DATASET` as features, marked by your probe. **Predict first**: does it help to ask
# more of them?

# %%
classes = int(max(train.labels.max(), test.labels.max())) + 1
chance = test.labels.bincount().max().item() / len(test)


def knn_accuracy(bank: Tensor, queries: Tensor, k: int = 20) -> float:
    """Share of the test images whose class wins your vote."""
    votes = knn_votes(bank, queries, bank_labels=train.labels, classes=classes, k=k, temperature=0.07)
    return (votes.argmax(dim=1) == test.labels).float().mean().item()


def best_knn_accuracy(bank: Tensor, queries: Tensor) -> float:
    """The same with the best of 1, 5 and 20 neighbours: how many help depends on the features."""
    return max(knn_accuracy(bank, queries, k) for k in (1, 5, 20))


pixels = [evaluate.raw_pixels(x.images) for x in (train, test)]
with trying():
    by_k = {k: knn_accuracy(*pixels, k) for k in (1, 2, 5, 10, 20, 50, 100, 200)}
    display(
        show.curve(
            by_k, x="k", y="accuracy", chance=chance, log_x=True, title="nearest neighbours of raw pixels"
        )
    )

# %% [markdown]
# It hurts: the nearest image is of the right class far more often than the vote of twenty. Pixels are close when everything is at
# the same place, and few images are. Features that are good for something gain from more neighbours, or stay level. So a
# comparison at one $k$ is unfair to somebody; below, everyone gets the best of 1, 5 and 20.

# %% [markdown]
# #### 4.2 · The linear probe   `●●●○○ · 25 min · 8 points`
#
# How much of the label can *one matrix* read from the features? Freeze them and train a linear classifier. Features of different networks
# have different scales, so they are *standardised* first: by column, with mean $\mu$ and standard deviation $\sigma$ (over $N$, not $N-1$) of the
# **training** features, for the test features too. Then softmax regression by plain gradient descent on all images at once,
#
# $$\mathcal L(W, b) = \frac1N\sum_i -\log\mathrm{softmax}(W x_i + b)_{y_i} + \frac{\lambda}{2}\lVert W\rVert^2$$
#
# from $W = 0$, $b = 0$. A feature may be the same for all images: let no $\sigma$ be smaller than $10^{-6}$.
#
# **By hand.** Training features $0$ and $2$, labels 0 and 1: $\mu = 1$, $\sigma = 1$, so $x = -1$ and $1$. At $W = 0$ both
# classes have probability one half, and the gradient of $W$ is $(\frac12, -\frac12)$, that of $b$ is 0. After one step with rate 1:
# $W = (-\frac12, \frac12)$. A test feature of 3 becomes $x = 2$, with logits $(-1, 1)$.


# %% nbgrader={"grade": false, "grade_id": "linear_probe-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def linear_probe(
    train: Tensor,
    test: Tensor,
    *,
    labels: Tensor,
    classes: int,
    steps: int,
    lr: float,
    weight_decay: float,
) -> Tensor:
    """Logits of a linear classifier, trained on standardised training features by gradient descent from zero.

    Args:
        train: training features (N, F).
        test: test features (M, F), standardised with the mean and standard deviation of `train`.
        labels: of the training images, int64 (N,), in [0, classes).
        classes: number C of classes.
        steps: gradient steps, each on all N images.
        lr: learning rate.
        weight_decay: lambda; the bias is not penalised.

    Returns:
        Logits of the test features after the last step, (M, C).
    """
    ### BEGIN SOLUTION
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0).clamp(min=1e-6)
    x, x_test = (train - mean) / std, (test - mean) / std
    weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
    optimiser = torch.optim.SGD([weight, bias], lr=lr)
    for _ in range(steps):
        loss = (
            F.cross_entropy(x.detach() @ weight.T + bias, labels) + weight_decay / 2 * weight.square().sum()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return x_test @ weight.detach().T + bias.detach()
    ### END SOLUTION


# %%
one_step = {"labels": torch.tensor([0, 1]), "classes": 2, "steps": 1, "lr": 1.0, "weight_decay": 0.0}
with trying():
    print(linear_probe(torch.tensor([[0.0], [2.0]]), torch.tensor([[2.0], [3.0]]), **one_step))
# expected: tensor([[-0.5000,  0.5000],
#                   [-1.0000,  1.0000]])

# %% nbgrader={"grade": true, "grade_id": "linear_probe", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check("linear_probe", linear_probe)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Only `weight` and `bias` learn, so only they need `requires_grad`. `torch.optim.SGD` without momentum is plain gradient descent; its own
# `weight_decay` would also shrink the bias, so put the penalty into the loss.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# $\sigma$ is `train.std(dim=0, correction=0).clamp(min=1e-6)`. The weights are $C$ rows of $F$ zeros, of the dtype and on the
# device of the features, and they ask for a gradient. It must be reset in every step.
#
# </details>
#
# <details><summary>The way</summary>
#
# Standardise both with the numbers of `train`; two tensors that learn; in every step the loss, its gradients, a step.
#
# ```python
# mean, std = train.mean(dim=0), train.std(dim=0, correction=0).clamp(min=1e-6)
# x, x_test = (train - mean) / std, (test - mean) / std
# weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
# bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
# for _ in range(steps):
#     loss = F.cross_entropy(x @ weight.T + bias, labels) + weight_decay / 2 * weight.square().sum()
#     to_weight, to_bias = torch.autograd.grad(loss, [weight, bias])
#     with torch.no_grad():
#         weight -= lr * to_weight
#         bias -= lr * to_bias
# return (x_test @ weight.T + bias).detach()
# ```
#
# </details>

# %% [markdown]
# Two probes, two sets of features that nobody has trained: images shrunk to $8 \times 8$ pixels, and a network as it was
# drawn. **Predict first**: which probe likes which features better?


# %%
def linear_accuracy(bank: Tensor, queries: Tensor) -> float:
    """Share of the test images that your linear probe names right."""
    setting = {"classes": classes, "steps": 200, "lr": 0.5, "weight_decay": 1e-3}
    logits = linear_probe(bank, queries, labels=train.labels, **setting)
    return (logits.argmax(dim=1) == test.labels).float().mean().item()


# Images of 8 x 8 pixels: averages over small squares, which take away noise and small shifts.
coarse = [evaluate.raw_pixels(x.images, size=8) for x in (train, test)]
random_features = [evaluate.features(untrained, x.images) for x in (train, test)]
with trying():
    marks = {
        "8 x 8 pixels, neighbours": best_knn_accuracy(*coarse),
        "8 x 8 pixels, linear": linear_accuracy(*coarse),
        "untrained network, neighbours": best_knn_accuracy(*random_features),
        "untrained network, linear": linear_accuracy(*random_features),
    }
    display(show.bars(marks, x="accuracy", chance=chance, title="before any training"))

# %% [markdown]
# The neighbours like the pixels, the linear probe likes the network. A class of shapes is no half-space of pixels: an object that
# moves changes every one of them, so a template fits badly, while some image in the bank has it at just that place. In random
# features, position is averaged away, and what is left of the shape takes a matrix to read.

# %% [markdown]
# ## 5 · Put it to work
#
# #### 5.1 · Train MoCo   `●●●●○ · 35 min · 10 points`
#
# Everything is there. The query encoder is a backbone followed by a projector; the key encoder is a copy, with the same values at the
# start. One step:
#
# 1. take a batch of images, at random and without repetition within an epoch, and make two views with `augment`;
# 2. move the key encoder: every parameter by your `ema_update`;
# 3. keys from the second view, without gradient; queries from the first;
# 4. `loss(query, keys, queue)`, gradient, one step of the optimiser;
# 5. *then* put the keys into the queue with your `enqueue`, and move `start` on.
#
# `check` gives your function a small world of shapes and watches every step: the encoders, the queue, the views. In the end
# the nearest neighbours must find the right class at least 20 percentage points more often with the features of your backbone than with those of the
# untrained one. The loss is handed to you, so an open 3.3 costs nothing here. Nor does an open 3.1 or 3.2: `check` looks at what
# happens and not at which functions you call, so you may write those lines inside `train_moco`.


# %% nbgrader={"grade": false, "grade_id": "train_moco-answer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_moco(
    query_encoder: nn.Sequential,
    key_encoder: nn.Sequential,
    images: Tensor,
    *,
    queue: Tensor,
    augment,
    loss,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float,
) -> nn.Module:
    """Train the query encoder to find its keys among those in the queue.

    Args:
        query_encoder: views (B, 3, H, W) -> embeddings (B, D); [0] is its backbone, [1] its projector.
        key_encoder: a copy of it; changes by momentum only.
        images: (N, 3, H, W), uint8; N is a multiple of batch_size.
        queue: (K, D), random unit vectors at first; row 0 counts as the oldest.
        augment: images (B, 3, H, W) -> one random view of each, float; call it once for each view.
        loss: queries (B, D), keys (B, D), queue (K, D) -> scalar; it normalises queries and keys, not the queue.
        epochs: how often every image is seen: once in each epoch, in an order drawn anew.
        batch_size: images in a step; every epoch has N / batch_size steps.
        lr: learning rate, meant for torch.optim.Adam or AdamW.
        momentum: of the key encoder.

    Returns:
        The trained backbone of the query encoder, query_encoder[0].
    """
    ### BEGIN SOLUTION
    optimiser = torch.optim.AdamW(query_encoder.parameters(), lr=lr)
    start = 0
    for _ in range(epochs):
        for index in torch.randperm(len(images), device=images.device).split(batch_size):
            view1, view2 = augment(images[index]), augment(images[index])
            with torch.no_grad():
                for key, query in zip(key_encoder.parameters(), query_encoder.parameters(), strict=True):
                    key.copy_(ema_update(key, query, momentum=momentum))
                keys = key_encoder(view2)
            optimiser.zero_grad()
            loss(query_encoder(view1), keys, queue).backward()
            optimiser.step()
            queue = enqueue(queue, keys, start=start)
            start = (start + len(keys)) % len(queue)
    return query_encoder[0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "train_moco", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check("train_moco", train_moco)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two loops: epochs, and batches inside, as last week. Whose parameters does the optimiser know? Which lines belong under
# `torch.no_grad()`? Both `queue` and `start` must be assigned anew in every step.
#
# </details>
#
# <details><summary>Detailed hint</summary>
#
# A parameter is moved with `key.copy_(ema_update(key, query, momentum=momentum))`, under `torch.no_grad()`, and so are the keys
# made. The queue that the loss is given is the one from *before* this batch.
#
# </details>
#
# <details><summary>The way</summary>
#
# In each step: two views, the key encoder moves, keys, loss and step, and only then the queue.
#
# ```python
# optimiser = torch.optim.AdamW(query_encoder.parameters(), lr=lr)
# start = 0
# for _ in range(epochs):
#     for index in torch.randperm(len(images), device=images.device).split(batch_size):
#         view1, view2 = augment(images[index]), augment(images[index])
#         with torch.no_grad():
#             for key, query in zip(key_encoder.parameters(), query_encoder.parameters(), strict=True):
#                 key.copy_(ema_update(key, query, momentum=momentum))
#             keys = key_encoder(view2)
#         optimiser.zero_grad()
#         loss(query_encoder(view1), keys, queue).backward()
#         optimiser.step()
#         queue = enqueue(queue, keys, start=start)
#         start = (start + batch_size) % len(queue)
# return query_encoder[0]
# ```
#
# </details>

# %% [markdown]
# And now everything is yours: your loop, your EMA, your queue, your logits, on `DATASET`, marked by your probes. **Predict first**: the queue
# starts with random vectors. Will the loss start at its chance level $\log(K + 1)$, above it or below? Which way will it go at first?


# %%
def your_loss(query: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
    """Cross-entropy of your logits, written down at every step."""
    logits = moco_logits(query, keys, queue, temperature=0.2)
    value = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
    losses.append(value.item())
    return value


# %%
torch.manual_seed(SEED)
losses, K = [], 256 if PROFILE == "fast" else 2048
backbone = SmallConvNet(width=8 if PROFILE == "fast" else 32).to(DEVICE)
query_encoder = nn.Sequential(backbone, mlp(backbone.num_features, 128, 32).to(DEVICE))
random_features = trained_features = [evaluate.features(backbone, x.images) for x in (train, test)]
with trying():
    encoder = train_moco(
        query_encoder,
        copy.deepcopy(query_encoder),
        train.images.to(DEVICE),
        queue=F.normalize(torch.randn(K, 32, device=DEVICE), dim=1),
        augment=augment,
        loss=your_loss,
        epochs=16 if PROFILE == "fast" else 60,
        batch_size=64 if PROFILE == "fast" else 128,
        lr=2e-3,
        momentum=0.95 if PROFILE == "fast" else 0.99,
    )
    trained_features = [evaluate.features(encoder, x.images) for x in (train, test)]
    display(show.loss_curve(losses, chance=math.log(K + 1), title="MoCo, all your own"))

# %%
with trying():
    marks = {
        "chance": chance,
        "raw pixels, neighbours": best_knn_accuracy(*pixels),
        "8 x 8 pixels, neighbours": best_knn_accuracy(*coarse),
        "8 x 8 pixels, linear": linear_accuracy(*coarse),
        "untrained network, neighbours": best_knn_accuracy(*random_features),
        "untrained network, linear": linear_accuracy(*random_features),
        "MoCo, neighbours": best_knn_accuracy(*trained_features),
        "MoCo, linear": linear_accuracy(*trained_features),
    }
    display(show.bars(marks, x="accuracy", title="what it has learnt without a label"))

# %% [markdown]
# The loss starts *below* chance and rises: an untrained network tells its own keys from random vectors with ease. Only when the queue has
# filled up with keys of real images, after a few steps, does the task begin; then the loss falls again, slowly. (A loss that
# falls is not always good news, and one that rises is not always bad.)
#
# By the linear probe, a few seconds of MoCo beat everything else in the picture by a wide margin. By neighbours they beat the
# untrained network as clearly, and $8 \times 8$ pixels, which cost nothing, by little: with another seed by next to nothing.
# What has been learnt is in the features, but does not yet rule the distances between them; question 5 asks how that can be.
#
# Last, look at what your probes look at. Every row begins with a test image; behind it stand the five training images that are nearest, first for the
# untrained features, then for yours. Which properties do neighbours share, before and after: colour, position, shape?


# %%
def neighbours(bank: Tensor, queries: Tensor, count: int = 4) -> Tensor:
    """The first test images, each followed by its five nearest training images."""
    near = (F.normalize(queries[:count], dim=1) @ F.normalize(bank, dim=1).T).topk(5, dim=1).indices
    rows = [torch.cat([test.images[i : i + 1], train.images[near[i]]]) for i in range(count)]
    return torch.cat(rows)


display(show.images(neighbours(*random_features), columns=6, title="untrained"))
with trying():
    display(show.images(neighbours(*trained_features), columns=6, title="trained by you"))

# %% [markdown] nbgrader={"grade": true, "grade_id": "q5", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# **Question 5 · Two probes** (4 points, about five sentences)
#
# The nearest neighbours and the linear probe need not agree. Describe features that the linear probe reads well and the nearest neighbours
# badly. Why does one probe the backbone's features and not the projections that the loss compares? And why may the standardisation not use the
# test images, although it does not look at their labels?
#
# ### BEGIN SOLUTION
# Neighbours use all dimensions alike: if the class sits in a few dimensions and the others, larger, hold colour or position, then the
# nearest images share colour and position, whereas a linear classifier gives those dimensions weight 0. (It also standardises, so that small
# dimensions count.) So linear good, kNN bad means: the information is there but does not dominate the geometry.
# The loss makes projections invariant to everything that the augmentation changes, including what a later task may need (colour, position);
# the features before the projector keep more of it, and probes find the class better there.
# Test images stand for images that come later, one at a time, perhaps from elsewhere: a mean over the test set is knowledge that one does
# not have then. Results would depend on which images are tested together, and a shift between training and test data would be
# hidden: it would be centred away.
#
# **Rubric.** 1 point: features in which the class is linearly present but other factors dominate distances. 1 point: the linear probe can
# weigh dimensions, neighbours cannot. 1 point: the projector's output has lost what the augmentation declares irrelevant. 1 point:
# a test statistic is not available for a single new image (or: hides a shift, leaks the test set).
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# Restart the kernel and run everything from top to bottom. Every `check` should end with *passed*, and every question should have
# an answer. If an item does not work, leave it as it is: every item counts for itself.
#
# **What you have now.** All the pieces of two famous methods, in your own words: views, the similarity matrix, one step, a momentum
# encoder, a queue, and two probes that tell what was learnt. Next week the negatives disappear.
#
# **Sources.** Wu et al. 2018 (instance discrimination, weighted neighbours); He et al. 2020 (MoCo); Chen et al. 2020 (SimCLR);
# Chen, Fan, Girshick & He 2020 (MoCo v2); Caron et al. 2021 (DINO's probe).
