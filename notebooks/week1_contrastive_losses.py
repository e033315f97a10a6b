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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/ssl-vision-course/blob/main/notebooks/week1_contrastive_losses.ipynb)

# %% [markdown]
# # Week 1 · Contrastive losses
#
# *How to learn what things look like when nobody tells you what they are, only that these two are the same.*
#
# After this notebook you will be able to
#
# - write down eight losses that learn from "same" and "different", from pairs to NT-Xent, and compute each of them
#   with a pencil;
# - say what value of the loss means "has learnt nothing", and read a training curve against it;
# - predict what a temperature that is too low or too high does to the features, and measure it;
# - tell easy, hard and false negatives apart, and say why the hardest negatives are the most dangerous;
# - explain why more negatives prove more about mutual information, and where that stops;
# - recognise three ways in which contrastive learning fails although its loss looks healthy.
#
# **Time:** about 75 minutes of reading and predicting. With `PROFILE = "fast"` everything runs in two to three
# minutes on two CPU cores. `"full"` trains longer, larger and with three seeds; it is meant for a GPU, and nobody
# has timed it yet.
#
# You need the basics of deep learning: cross-entropy, gradient descent, a convolutional network. Everything else is
# introduced here.
#
# The text between the cells describes what Shapes, the default data, shows. It was compared with three runs, with `SEED`
# 0, 1 and 2; what they printed stands in `benchmarks/results/week1_seeds.md`.

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
PROFILE = "fast"  # "fast" shows every effect on a laptop; "full" trains properly, on one GPU
# "shapes", "cifar10", "stl10", "pets", "imagenette", or a folder with train/<class>/*.jpg and test/<class>/*.jpg
DATASET = "shapes"
SEED = 0
DEVICE = "auto"  # "auto", "cpu", "cuda", "mps"

# %%
import math

import torch
import torch.nn.functional as F

from course_lib import data, show
from course_lib.augment import SimCLRAugment, two_views

torch.manual_seed(SEED)
FAST = PROFILE == "fast"
if DEVICE == "auto":
    DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
print(f"{PROFILE} on {DEVICE}, data: {DATASET}")

# %% [markdown]
# ## 1 · Same or different?
#
# A label costs somebody's time. A *comparison* is often free. Two frames of a video one second apart show the same
# scene. Two crops of a photograph show the same thing. Two photographs picked at random almost never do.
#
# That is all the supervision of this week: **pairs that belong together**, called *positive* pairs, and pairs that
# do not, called *negative*. The hope is that a network which learns to tell them apart has to understand what the
# pictures show.
#
# Here are the pictures. By default they come from *Shapes*, a world that the course draws itself. The class is the outline of
# the main object; its texture and its palette usually go with the class; place, size and background do not. The names
# above the pictures are for you; the network will not see them.

# %%
train = data.load(DATASET, "train", count=3600 if FAST else None, seed=SEED)
test = data.load(DATASET, "test", count=1500 if FAST else None, seed=SEED)
show.images(train.images[:20], [train.class_names[i] for i in train.labels[:20]], columns=10)

# %% [markdown]
# To make a positive pair out of a single image, change it twice at random: crop and resize, flip, shift the
# colours, sometimes remove them. Each result is called a *view*. The two views of one column below are a positive
# pair; two views from different columns are a negative pair.

# %%
augment = SimCLRAugment()
view1, view2 = two_views(train.images[:10], augment)
show.pairs(view1, view2, train.images[:10])

# %% [markdown]
# Find the partner: it is the game behind every loss of this week. Take one view and 256 candidates: its partner and
# 255 views of other images. Pick the most similar candidate. How often is it the partner?
#
# Somebody who guesses is right once in 256 times. The simplest player compares pixels.
#
# **Predict first.** Views of one image share much of their content, moved and recoloured. How often will the
# most similar candidate, *pixel by pixel*, be the partner? Write down a number.

# %% tags=["claim"]
from course_lib.evaluate import raw_pixels
from course_lib.losses import info_nce_accuracy


def finds_partner(encode, images, others=255):
    """How often the partner is more similar than `others` views of other images."""
    chosen = images[torch.randperm(len(images))[: others + 500]]
    z1, z2 = (F.normalize(encode(view), dim=1) for view in two_views(chosen, augment))
    return info_nce_accuracy(z1[others:], z2[others:], z2[:others]).item()


print(f"chance {1 / 256:.1%}, raw pixels {finds_partner(raw_pixels, test.images):.1%}")

# %% [markdown]
# Better than chance, and far from good: most of the time some *other* image is closer in pixels than the partner
# is. A small shift or a new tint changes nearly every pixel and nothing that matters.
#
# So we will not compare pixels. We will train a network $f$ that turns an image into a short vector $z = f(x)$, its
# **embedding**, and compare those. The open question is what to ask of the embeddings. That is the loss.

# %% [markdown]
# ## 2 · Eight losses on one toy tensor
#
# Before any network, six points in the plane. Think of them as embeddings of six images that show three things, two
# images of each: $a, a'$, then $b, b'$, then $c, c'$. All six lie on the unit circle, and their coordinates are
# chosen so that you can do every sum below with a pencil.

# %%
z = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8], [-1.0, 0.0], [0.0, -1.0]])
labels = torch.tensor([0, 0, 1, 1, 2, 2])
a, a2, b, b2, c, c2 = range(6)  # a2 is the partner of a
show.points({"six points": z}, labels, names=["a", "a'", "b", "b'", "c", "c'"])

# %% [markdown]
# On the unit circle the dot product of two points is the cosine of the angle between them: 1 for the same
# direction, 0 for a right angle, -1 for opposite ones. It is the *similarity* we will use from section 2.4 on.
# Below, rows and columns are the six points in order; partners sit next to the diagonal.

# %%
similarity = z @ z.T
show.similarity_matrix(similarity, title="similarity of the six points")

# %% [markdown]
# The pairs $a,a'$ and $b,b'$ are close already (similarity 0.8). The pair $c,c'$ is not (0), and $b'$ sits much
# nearer to $c$ than $c'$ does. A good loss should complain about that.
#
# Each loss below is computed twice: first by hand, term by term, in plain Python; then by the library. This little
# referee stops the notebook if the two disagree.


# %%
def agree(by_hand, library):
    library = float(library)
    assert math.isclose(by_hand, library, rel_tol=1e-4, abs_tol=1e-6), f"{by_hand} is not {library}"
    print(f"by hand {by_hand:.4f}   library {library:.4f}")


def distance(i, j):
    return math.dist(z[i].tolist(), z[j].tolist())


# %% [markdown]
# ### 2.1 Contrastive loss: one pair at a time
#
# An early idea (Hadsell, Chopra and LeCun, 2006). Let $d$ be the distance of the two embeddings of a pair. (The paper has a
# factor of ½ before both terms.)
#
# $$\mathcal L = \begin{cases} d^2 & \text{same} \\ \max(0,\; m - d)^2 & \text{different}\end{cases}$$
#
# Same: come together. Different: go apart, but only until you are a **margin** $m$ apart. Why stop there? Without
# the margin, one could lower the loss for ever by flying away from everything.
#
# Two pairs of our toy, with $m = 2$: $a,a'$ are the same and $d^2 = 0.2^2 + 0.6^2 = 0.4$; $a,b$ are different and
# $d = \sqrt2$, so they pay $(2-\sqrt2)^2 \approx 0.34$.

# %%
from course_lib.losses import contrastive_loss

by_hand = (distance(a, a2) ** 2 + max(0, 2 - distance(a, b)) ** 2) / 2
same = torch.tensor([True, False])
agree(by_hand, contrastive_loss(z[[a, a]], z[[a2, b]], same, margin=2.0))

# %%
d = torch.linspace(0, 3, 100)
show.functions(
    {"same": (d, d**2), "different, m = 2": (d, (2 - d).clamp(min=0) ** 2)},
    x="distance d",
    y="loss of the pair",
)

# %% [markdown]
# The two curves speak about *absolute* distances: every positive pair should end up at 0, every negative pair
# beyond 2, however different the images of a class are among themselves. That is more than we need.
#
# ### 2.2 Triplet loss: nearer than
#
# It is enough if the partner is *nearer than* the stranger. Take an **anchor** $a$, a **positive** $p$ that belongs
# to it and a **negative** $n$ that does not (FaceNet, 2015):
#
# $$\mathcal L = \max\bigl(0,\; \lVert a-p\rVert^2 - \lVert a-n\rVert^2 + m\bigr)$$
#
# Three triplets of our toy, with $m = 0.5$, show the three cases:

# %%
from course_lib.losses import triplet_loss

triplets = {"easy": (a, a2, b), "semi-hard": (a2, a, b), "hard": (c, c2, b2)}
costs = []
for name, (anchor, positive, negative) in triplets.items():
    to_positive, to_negative = distance(anchor, positive) ** 2, distance(anchor, negative) ** 2
    costs.append(max(0, to_positive - to_negative + 0.5))
    print(f"{name:10s} positive at {to_positive:.1f}   negative at {to_negative:.1f}   pays {costs[-1]:.1f}")
anchors, positives, negatives = zip(*triplets.values(), strict=True)
agree(sum(costs) / 3, triplet_loss(z[list(anchors)], z[list(positives)], z[list(negatives)], margin=0.5))

# %% [markdown]
# - **Easy**: the negative is already farther than the positive by more than the margin. Pays nothing, teaches
#   nothing.
# - **Semi-hard**: farther than the positive, but not by a margin. Pays a little.
# - **Hard**: nearer than the positive. Pays most, and is the first suspect when a label is wrong.
#
# **Predict first.** 60 points in 16 dimensions, drawn at random, ten classes. Of all the triplets one can form, how
# many are easy when the margin is 0.5? And after the classes have begun to separate?

# %% tags=["claim"]
from course_lib.losses import semi_hard_negatives


def share_of_easy(points, labels, margin=0.5):
    d2 = torch.cdist(points, points).square()
    same = labels[:, None] == labels
    pays = d2[:, :, None] - d2[:, None, :] + margin > 0  # [anchor, positive, negative]
    triplet = (same & ~torch.eye(len(labels), dtype=torch.bool))[:, :, None] & ~same[:, None, :]
    return 1 - pays[triplet].float().mean().item()


classes = torch.arange(10).repeat(6)
cloud = F.normalize(torch.randn(60, 16), dim=1)
for pull in (0.0, 0.5, 1.0, 2.0):
    centres = F.normalize(torch.randn(10, 16), dim=1)[classes]
    points = F.normalize(cloud + pull * centres, dim=1)
    print(f"pulled to class centres by {pull:.1f}: {share_of_easy(points, classes):.0%} of triplets are easy")

# %% [markdown]
# The better the embedding, the fewer triplets teach anything. That is why triplet training lives on **mining**:
# choosing the triplets that still pay. FaceNet takes semi-hard ones: $d(a,p) < d(a,n) < d(a,p) + m$, with $d$ the squared
# distance. `semi_hard_negatives` takes the nearest of these; where there is none, the *farthest* negative of all, which
# costs least.
#
# Its picks for the toy: columns are anchor, positive, negative. For anchor 1 ($a'$, positive at 0.4) it finds $b$, at 0.8.
# For anchor 0 the window from 0.4 to 0.9 is empty, and it falls back on $c$, at 4.

# %%
torch.stack(semi_hard_negatives(z, labels, margin=0.5), dim=1)  # anchor, positive, negative

# %% [markdown]
# ### 2.3 Lifted structured loss: use every pair of the batch
#
# A batch of $B$ embeddings contains $B(B-1)/2$ pairs, and we have paid for computing them all. Song et al. (2016)
# let every positive pair $(i,j)$ compete with *all* the negatives of both its ends. With $D$ the distance:
#
# $$J_{ij} = D_{ij} + \log\Bigl(\sum_{k\,\in\,\text{neg}(i)} e^{m - D_{ik}} + \sum_{l\,\in\,\text{neg}(j)} e^{m - D_{jl}}\Bigr),
# \qquad \mathcal L = \frac{1}{2|P|}\sum_{(i,j)\in P}\max(0, J_{ij})^2$$
#
# The log of a sum of exponentials is a *soft maximum*: the nearest negatives dominate, but all of them have a say.
# No mining is needed, and the loss has no flat "easy" region per triplet. Remember that expression; it will not
# leave us any more.

# %%
from course_lib.losses import lifted_structured_loss

pairs = [(a, a2), (b, b2), (c, c2)]
total = 0.0
for i, j in pairs:
    push = sum(math.exp(1 - distance(end, k)) for end in (i, j) for k in range(6) if labels[k] != labels[end])
    total += max(0, distance(i, j) + math.log(push)) ** 2
agree(total / (2 * len(pairs)), lifted_structured_loss(z, labels, margin=1.0))

# %% [markdown]
# ### 2.4 N-pair loss: a competition, and an old friend
#
# One anchor, one positive, $N-1$ negatives, and similarity by dot product (Sohn, 2016):
#
# $$\mathcal L = \log\Bigl(1 + \sum_{k=1}^{N-1} e^{\,a^\top n_k - a^\top p}\Bigr)
# = -\log\frac{e^{a^\top p}}{e^{a^\top p} + \sum_k e^{a^\top n_k}}$$
#
# Look at the right-hand side. It is the **cross-entropy of an $N$-way classifier** whose logits are the dot
# products and whose right answer is the positive. "Learn good embeddings" has become "find the positive among $N$
# candidates": the very game of section 1. For the anchor $a$ the logits are $0.8$ for the partner and
# $0, -0.6, -1, 0$ for the rest.

# %%
from course_lib.losses import n_pair_loss

others = [b, b2, c, c2]
by_hand = math.log(1 + sum(math.exp(s - 0.8) for s in (0.0, -0.6, -1.0, 0.0)))
agree(by_hand, n_pair_loss(z[[a]], z[[a2]], z[others]))
agree(by_hand, F.cross_entropy(torch.tensor([[0.8, 0.0, -0.6, -1.0, 0.0]]), torch.tensor([0])))

# %% [markdown]
# A classifier that knows nothing gives every candidate $1/N$ and pays $\log N$. This number, the **loss at
# chance**, is the single most useful thing to know about a contrastive loss: a curve that sits at $\log N$ has
# learnt nothing, however long it ran.

# %%
same_everywhere = torch.ones(6, 2)
agree(math.log(5), n_pair_loss(same_everywhere[[a]], same_everywhere[[a2]], same_everywhere[others]))

# %% [markdown]
# ### 2.5 NCE: is this real, or noise?
#
# A detour of six years and the origin of a name. Gutmann and Hyvärinen (2010) wanted to fit a density $p_\theta$
# without computing its normaliser, an integral over everything. Their trick: mix the data with **noise** whose
# density $q$ is known, and train a *binary* classifier to tell them apart. If its logit is
# $\ell(u) = \log p_\theta(u) - \log q(u)$, then
#
# $$\mathcal L_{\text{NCE}} = -\frac1N\sum_i \bigl[\log\sigma(\ell(x_i)) + \log(1 - \sigma(\ell(\tilde x_i)))\bigr],
# \qquad x_i \text{ data},\ \tilde x_i \text{ noise}$$
#
# is smallest where $p_\theta$ is the density of the data. Estimation has become comparison: *noise-contrastive
# estimation*. By hand: say the classifier's logits are the similarities of $a$ to its partner (data) and to $b'$
# (noise).

# %%
from course_lib.losses import nce_loss


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


by_hand = -(math.log(sigmoid(0.8)) + math.log(1 - sigmoid(-0.6)))
agree(by_hand, nce_loss(torch.tensor([0.8]), torch.tensor([-0.6])))
agree(2 * math.log(2), nce_loss(torch.zeros(4), torch.zeros(4)))  # chance: a coin for each side

# %% [markdown]
# **Predict first.** Data from a Gaussian around 1, noise from a Gaussian around 0, both of width 1. The true
# log-ratio is $\ell(u) = u - \tfrac12$. We try logits $w\,(u - \tfrac12)$ for many slopes $w$. Where will the NCE
# loss be smallest?

# %%
signal, noise = torch.randn(20_000) + 1, torch.randn(20_000)
slopes = torch.linspace(0, 3, 31)
losses = [nce_loss(w * (signal - 0.5), w * (noise - 0.5)).item() for w in slopes]
two_coins = {"chance: 2 log 2": 2 * math.log(2)}
show.functions({"NCE loss": (slopes, losses)}, x="slope w of the logit", y="loss", level=two_coins)

# %% [markdown]
# At $w = 1$, the true ratio: the classifier has recovered how much likelier each $u$ is under the data than under
# the noise. Overconfidence (a slope that is too steep) costs more than modesty.
#
# ### 2.6 InfoNCE: from two classes to $N$
#
# Van den Oord et al. (2018) put the last two ideas together. Instead of asking "real or noise?" about each
# candidate, show one real candidate among $N-1$ noise candidates and ask *which one*:
#
# $$\mathcal L_{\text{InfoNCE}} = -\log\frac{e^{\,q^\top k_+/\tau}}{e^{\,q^\top k_+/\tau} + \sum_{j=1}^{N-1} e^{\,q^\top k_j/\tau}}$$
#
# $q$ is the *query*, the $k$ are the *keys*, and $\tau$ is the **temperature**, of which section 4 has much to say.
# At $\tau = 1$ it is the N-pair loss. (The paper scores a pair by $q^\top W k$, with a learnt matrix and no temperature; the form
# above became the usual one.) The "Info" in its name will be earned in section 7: this loss *bounds* mutual information.

# %%
from course_lib.losses import info_nce_loss

n_pair = n_pair_loss(z[[a]], z[[a2]], z[others]).item()
agree(n_pair, info_nce_loss(z[[a]], z[[a2]], z[others], temperature=1.0))
scores = [s / 0.1 for s in (0.8, 0.0, -0.6, -1.0, 0.0)]
by_hand = math.log(sum(math.exp(s) for s in scores)) - scores[0]
agree(by_hand, info_nce_loss(z[[a]], z[[a2]], z[others], temperature=0.1))

# %% [markdown]
# ### 2.7 Soft nearest neighbours: many positives
#
# With labels, an anchor has several positives. Let every point pick a neighbour with probability proportional to
# $e^{-d/\tau}$, and ask that *some* member of its own class be picked (Salakhutdinov and Hinton, 2007; Frosst et
# al., 2019; both square the distance $d$, the lecture does not, and we follow it):
#
# $$\mathcal L = -\frac1B\sum_i \log\frac{\sum_{j\ne i,\;y_j = y_i} e^{-d_{ij}/\tau}}{\sum_{k\ne i} e^{-d_{ik}/\tau}}$$

# %%
from course_lib.losses import soft_nearest_neighbor_loss


def soft_nn_of(i):
    weight = {k: math.exp(-distance(i, k)) for k in range(6) if k != i}
    return -math.log(sum(w for k, w in weight.items() if labels[k] == labels[i]) / sum(weight.values()))


agree(sum(soft_nn_of(i) for i in range(6)) / 6, soft_nearest_neighbor_loss(z, labels, temperature=1.0))

# %% [markdown]
# ### 2.8 NT-Xent: everybody is an anchor
#
# SimCLR's loss (Chen et al., 2020), the *normalised-temperature cross-entropy*. A batch of $N$ images gives $2N$
# views. Every view plays the game once: its partner is the positive, the other $2N-2$ views are the negatives.
#
# $$\mathcal L = \frac{1}{2N}\sum_{i=1}^{2N} -\log\frac{e^{\,s_{i,p(i)}/\tau}}{\sum_{k\ne i} e^{\,s_{ik}/\tau}},\qquad
# s_{ik} = \frac{z_i^\top z_k}{\lVert z_i\rVert\,\lVert z_k\rVert}$$
#
# No labels: only the knowledge of who is whose partner $p(i)$. Similarities are cosines, so embeddings live on the
# unit sphere and cannot cheat by growing longer.

# %%
from course_lib.losses import nt_xent_loss

z1, z2 = z[[a, b, c]], z[[a2, b2, c2]]  # first and second views
partner = {a: a2, a2: a, b: b2, b2: b, c: c2, c2: c}
total = 0.0
for i in range(6):
    logits = {k: similarity[i, k].item() / 0.5 for k in range(6) if k != i}
    total += math.log(sum(math.exp(s) for s in logits.values())) - logits[partner[i]]
agree(total / 6, nt_xent_loss(z1, z2, temperature=0.5))

# %% [markdown]
# Chance is $\log(2N-1)$, because a view is never its own candidate. Forget to leave it out, the most popular
# mistake with this loss, and every view finds itself, with similarity 1, at the head of the queue:

# %%
print(f"chance for N = 3: {math.log(5):.4f}")
agree(math.log(5), nt_xent_loss(torch.ones(3, 2), torch.ones(3, 2), temperature=0.5))
targets = torch.tensor([partner[i] for i in range(6)])
print(f"diagonal kept: {F.cross_entropy(similarity / 0.5, targets):.4f} instead of {total / 6:.4f}")

# %% [markdown]
# The number is wrong and looks perfectly plausible. The lab's checker will recognise it by name.
#
# One more thing before we let the losses loose. On the unit sphere $\lVert x-y\rVert^2 = 2 - 2\,x^\top y$: small
# distance *is* high similarity. So soft nearest neighbours with squared distances and one positive per point must
# be NT-Xent in disguise, at twice the temperature:

# %%
agree(
    nt_xent_loss(z1, z2, temperature=0.5).item(),
    soft_nearest_neighbor_loss(z, labels, temperature=1.0, squared=True),
)

# %% [markdown]
# ### The family
#
# | loss | positives · negatives of an anchor | compares by | normalises | its dial | when all embeddings coincide |
# |---|---|---|---|---|---|
# | contrastive | one *or* the other | distance | no | margin $m$ | $m^2\,\times$ share of negative pairs |
# | triplet | 1 · 1 | squared distance | no* | margin $m$ | $m$ |
# | lifted structured | 1 · all, of both ends | distance | no | margin $m$ | $(m + \log 2M)^2/2$, with $M$ negatives each |
# | N-pair | 1 · $N-1$ | dot product | no | | $\log N$ |
# | NCE | data · noise, each alone | log-density ratio | | | $2\log 2$ |
# | InfoNCE | 1 · $N-1$ | dot product | you do | temperature $\tau$ | $\log N$ |
# | soft NN | class mates · rest | distance | no | temperature $\tau$ | $\log\frac{B-1}{\text{class size}-1}$ |
# | NT-Xent | 1 · $2N-2$ | cosine | yes | temperature $\tau$ | $\log(2N-1)$ |
#
# \* FaceNet's network ends in a normalisation; the loss itself does not.

# %% [markdown]
# ## 3 · Let them loose
#
# What does each loss *want*? Take the network away and ask the embeddings themselves: 48 free points in the plane,
# four groups of twelve, started in one random cloud. Gradient descent moves the points where the loss pulls them.
#
# Where a loss needs one partner for each point, point $i$ is paired with point $i+24$ of its own group. NT-Xent is
# told the partners and nothing else: for it, the other members of a group are strangers like everybody else.
# Two helpers come first: unit vectors, and NCE's noise.
#
# **Predict first.** For each of the eight losses: will the points stop moving, or move for ever? Will a group
# become a dot, a cloud, or several pieces? Which loss will leave the four colours thoroughly mixed?

# %%
from course_lib.losses import semi_hard_triplet_loss

group = torch.arange(4).repeat(12)
start = 0.4 * torch.randn(48, 2)
left, right = torch.triu_indices(48, 48, offset=1)  # every pair once
rivals = torch.stack([(group != g).nonzero().flatten() for g in group[:24]])  # (24, 36): other groups


def on_circle(*points):
    return [F.normalize(p, dim=-1) for p in points]


def one_rival(x):
    """For each of the first 24 points one member of another group, drawn anew every time: NCE's noise."""
    return x[rivals[torch.arange(24), torch.randint(36, (24,))]]


# %%
LOSSES = {
    "contrastive": lambda x: contrastive_loss(x[left], x[right], group[left] == group[right], margin=2.0),
    "triplet, semi-hard": lambda x: semi_hard_triplet_loss(x, group, margin=0.5),
    "lifted structured": lambda x: lifted_structured_loss(x, group, margin=1.0),
    "N-pair": lambda x: n_pair_loss(x[:24], x[24:], x[rivals]),
    "NCE": lambda x: nce_loss((x[:24] * x[24:]).sum(1), (x[:24] * one_rival(x)).sum(1)),
    "InfoNCE": lambda x: info_nce_loss(*on_circle(x[:24], x[24:], x[rivals]), temperature=0.2),
    "soft neighbours": lambda x: soft_nearest_neighbor_loss(x, group, temperature=0.5),
    "NT-Xent": lambda x: nt_xent_loss(x[:24], x[24:], temperature=0.2),
}
ON_THE_CIRCLE = ("InfoNCE", "NT-Xent")  # these see directions only, so directions are what we draw


# %%
def let_go(loss, steps=200):
    points = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([points], lr=0.05)
    path, values = [], []
    for _ in range(steps):
        value = loss(points)
        path.append(points.detach().clone())
        values.append(value.item())
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return torch.stack(path), values


# %%
runs = {name: let_go(loss) for name, loss in LOSSES.items()}
paths = {name: F.normalize(p, dim=2) if name in ON_THE_CIRCLE else p for name, (p, _) in runs.items()}
show.points_in_motion(paths, group)

# %% [markdown]
# If the film does not play where you read this, here is its last picture. Colours and markers are the groups. Mind
# the axes: every panel has its own scale.

# %%
show.points({name: path[-1] for name, path in paths.items()}, group)

# %%
collapsed = torch.zeros(48, 2)
collapsed_loss = {name: loss(collapsed).item() for name, loss in LOSSES.items()}
show.loss_curve({name: values for name, (_, values) in runs.items()}, chance=collapsed_loss, smooth=1)

# %% [markdown]
# The dashed line is the loss when all points coincide: for a game among $N$ candidates that is chance, $\log N$.
# Compare with what you wrote down.
#
# - **Margin losses come to rest.** Contrastive, triplet and lifted structured reach zero and stop: once the margin
#   holds, there is nothing left to learn. The contrastive loss presses each group into a dot; the triplet loss
#   leaves it its width.
# - **Dot products grow.** N-pair and NCE are never content: longer vectors make the classifier surer, so their
#   points drift outwards for as long as one trains. Sohn added a penalty on the length for this reason.
# - **On the circle, zero is out of reach.** InfoNCE and NT-Xent cannot grow, so their loss ends well above zero
#   *although the solution is good*. A plateau is not a failure, and you can only tell by knowing chance and the
#   best possible value. Their curves also start *above* chance: a random arrangement at a low temperature is not
#   undecided, it is confidently wrong.
# - **One partner is not a class.** Losses with one positive per anchor hold *pairs* together; a group may end in
#   several pieces. Soft neighbours, too, are content with any class mate near by.
# - **NT-Xent mixes the colours.** It keeps partners together and spreads everything else evenly around the circle,
#   class mates included.
#
# The last point should worry you. We want images of one class to end up together, and NT-Xent pushes them apart
# like any other pair. If it works on images, then not because the loss asks for classes. It must be the network: it
# cannot place each image freely, as our points could. Images that look alike move alike. Keep this in mind for
# section 8.

# %% [markdown]
# ## 4 · Temperature
#
# NT-Xent and InfoNCE have one dial: the temperature $\tau$ that divides the similarities before the softmax. It
# decides *which negatives count*. The gradient of the loss with respect to the similarity $s_k$ of a negative is
#
# $$\frac{\partial\mathcal L}{\partial s_k} = \frac{1}{\tau}\,\frac{e^{s_k/\tau}}{\sum_j e^{s_j/\tau}} = \frac{p_k}{\tau}$$
#
# so each negative is pushed away in proportion to the probability $p_k$ that it is mistaken for the partner. Let us
# check that with one partner and seven negatives, using the library's loss. (In one dimension, with the query set
# to 1, a key's dot product *is* the key.)

# %%
keys = torch.tensor([0.8, 0.7, 0.5, 0.3, 0.2, 0.0, -0.2, -0.4]).unsqueeze(1).requires_grad_()  # partner first
unit_query = torch.ones(1, 1)
loss = info_nce_loss(unit_query, keys[:1], keys[1:], temperature=0.2)
(push,) = torch.autograd.grad(loss, keys)
p = torch.softmax(keys.detach().flatten() / 0.2, dim=0)
agree(p[1].item() / 0.2, push[1])  # the hardest negative, similarity 0.7
agree((p[0].item() - 1) / 0.2, push[0])  # the partner is pulled

# %% [markdown]
# Move the slider (or compare the panels). Each bar is one negative's share of the push; the hardest stands left.


# %%
def share_of_the_push(negatives, temperature):
    return torch.softmax(negatives / temperature, dim=0)


def draw(axes, temperature):
    negatives = keys.detach().flatten()[1:]
    axes.bar([f"{s:.1f}" for s in negatives], share_of_the_push(negatives, temperature))
    axes.set(ylim=(0, 1), xlabel="similarity", ylabel="share of the push")
    axes.tick_params(axis="x", labelsize=7)


show.interact(draw, temperature=[0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0])

# %% [markdown]
# Cold: only the single hardest negative matters, as in hard triplet mining. Hot: all negatives are pushed alike,
# however far away they are already. The temperature *is* hard-negative mining, made smooth.
#
# **Predict first.** A batch has 510 negatives with similarities scattered around 0. At which temperature does the
# hardest tenth of them get 90 % of the push?

# %% tags=["claim"]
scattered = (0.25 * torch.randn(510)).clamp(-1, 1).sort(descending=True).values
temperatures = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]
shares = {t: share_of_the_push(scattered, t)[:51].sum().item() for t in temperatures}
print("the hardest tenth:", ", ".join(f"{share:.2f} at {t}" for t, share in shares.items()))
show.curve(shares, x="temperature", y="share of the hardest tenth", baseline={"a tenth": 0.1}, log_x=True)

# %% [markdown]
# At 0.1 the hardest tenth gets about nine tenths of the push, at 0.2 about half, at 1 little more than its share. The change
# from "the few" to "everybody" happens within one power of ten, and that is where people work: MoCo with
# 0.07 and 0.2, SimCLR between 0.1 and 0.5. We use 0.2. What the extremes do to a *network* comes in section 6.
#
# ## 5 · Train a network
#
# Now the points are images, and a network places them. The recipe is SimCLR's, small enough for a laptop:
#
# 1. two views of every image of the batch;
# 2. a convolutional **backbone** turns each view into a feature vector, which is what we want in the end;
# 3. a small **projector** (two layers) maps features to embeddings $z$, and NT-Xent compares those. It is thrown
#    away afterwards; week 2 shows why features before it are better.
#
# How good are features that never saw a label? We ask two **probes**, which see labels but do not change the
# network:
#
# - **kNN**: the 20 nearest neighbours in feature space vote for their label, nearer ones with more weight;
# - **linear probe**: one linear classifier on frozen features.

# %%
from functools import partial

from course_lib.evaluate import REFERENCES, Scoreboard, best_knn_accuracy, features, linear_probe_accuracy
from course_lib.methods import SimCLR, Supervised
from course_lib.models import SmallConvNet, mlp
from course_lib.train import Views, fit

WIDTH, BATCH, EPOCHS, SHORT = (16, 128, 10, 4) if FAST else (64, 256, 60, 12)
SEEDS = [SEED] if FAST else [SEED, SEED + 1, SEED + 2]
TEMPERATURE = 0.2
CHANCE_LOSS = math.log(2 * BATCH - 1)
print(f"{len(train)} images, batches of {BATCH}: loss at chance log {2 * BATCH - 1} = {CHANCE_LOSS:.2f}")


# %%
def new_backbone(seed=SEED):
    torch.manual_seed(seed)
    return SmallConvNet(WIDTH).to(DEVICE)


def pretrain(seed=SEED, epochs=SHORT, images=train, augment=augment, projector=None, **settings):
    method = SimCLR(new_backbone(seed), **settings).to(DEVICE)
    if projector is not None:
        method.projector = projector.to(DEVICE)
    batches = Views(images, augment, batch_size=BATCH, device=DEVICE)
    return method, fit(method, batches, epochs=epochs, chance=CHANCE_LOSS)


def probe(encode, train=train, test=test):
    known, new = encode(train.images), encode(test.images)
    return {
        "kNN": best_knn_accuracy(known, train.labels, new, test.labels),
        "linear probe": linear_probe_accuracy(known, train.labels, new, test.labels),
    }


# %% [markdown]
# First the references, because a number alone says nothing. What do we get *for nothing*?
#
# - **Chance**: always answer with the most frequent class.
# - **Raw pixels**: the probes see the images as they are. Also as averages over small squares, **8 x 8 pixels** of the
#   $32 \times 32$: that takes away noise and small shifts.
# - **Random network**: our backbone before any training. A better baseline than it sounds: random convolutions keep
#   colours, textures and layout.
# - **Supervised**: the same backbone trained *with* the labels, for as many steps on augmented images (one view of each, where
#   the methods below make two).
#
# How many neighbours should vote? Raw pixels are best with one, networks with many. So that nothing looks better than it is
# because its rival was held back, everybody gets the best of $k = 1, 5, 20$.
#
# **Predict first.** Put them in order, and say where training without labels will land.

# %%
board = Scoreboard()


def record(name, results, seconds=0):
    """`results`: seed -> metric -> value."""
    for metric in ("kNN", "linear probe"):
        values = {seed: scores[metric] for seed, scores in results.items()}
        board.record(name, values, week=1, dataset=DATASET, profile=PROFILE, metric=metric, seconds=seconds)


# %%
guess = train.labels.bincount().max().item() / len(train)
record("chance", {SEED: {"kNN": guess, "linear probe": guess}})
record("raw pixels", {SEED: probe(raw_pixels)})
record("8 x 8 pixels", {SEED: probe(partial(raw_pixels, size=8))})
record("random network", {s: probe(partial(features, new_backbone(s))) for s in (SEED, SEED + 1, SEED + 2)})
board.select(
    dataset=DATASET, profile=PROFILE, methods=("chance", "raw pixels", "8 x 8 pixels", "random network")
)


# %%
def train_supervised(seed):
    method = Supervised(new_backbone(seed), train.num_classes).to(DEVICE)
    batches = Views(train, augment, batch_size=BATCH, labels=True, device=DEVICE)
    return method, fit(method, batches, epochs=EPOCHS)


# %% tags=["claim"]
supervised = {seed: train_supervised(seed) for seed in SEEDS}
results = {seed: probe(partial(features, method.backbone)) for seed, (method, _) in supervised.items()}
record("supervised", results, seconds=supervised[SEED][1].seconds)
print(f"supervised, kNN: {results[SEED]['kNN']:.2f}, linear probe: {results[SEED]['linear probe']:.2f}")

# %% [markdown]
# And now without labels. Watch the loss leave its chance level.

# %% tags=["claim"]
simclr = {seed: pretrain(seed, EPOCHS, temperature=TEMPERATURE) for seed in SEEDS}
results = {seed: probe(partial(features, method.backbone)) for seed, (method, _) in simclr.items()}
record("NT-Xent, two views", results, seconds=simclr[SEED][1].seconds)
print(f"loss at the end {sum(simclr[SEED][1].losses[-10:]) / 10:.2f}, chance {CHANCE_LOSS:.2f}")
show.loss_curve(simclr[SEED][1], chance=CHANCE_LOSS, title="NT-Xent on two views")

# %% tags=["claim"]
board.select(dataset=DATASET, profile=PROFILE)

# %%
show.scoreboard(board, metric="kNN", dataset=DATASET, profile=PROFILE)

# %% [markdown]
# Nobody told this network what a class is, and yet its neighbours share a class more often than those of pixels, averaged
# or not, or of a random network; the linear probe says so more loudly. It does not reach the supervised network, which was
# told. How far that gap can be closed is the question of the weeks to come.
#
# And the game of section 1? There, pixels found the partner among 256 candidates now and then.

# %% tags=["claim"]
net = simclr[SEED][0]


def embed(views, method=net):
    """The projector's embeddings, which the loss compares; `features` gives what stands before it."""
    method.projector.eval()
    return method.projector(features(method.backbone, views).to(DEVICE)).detach().cpu()


players = {"raw pixels": raw_pixels, "random network": partial(features, new_backbone()), "trained": embed}
found = {name: finds_partner(encode, test.images) for name, encode in players.items()}
print("found:", ", ".join(f"{name} {share:.0%}" for name, share in found.items()))
show.bars(found, x="finds the partner among 256", chance=1 / 256)

# %% [markdown]
# ## 6 · What the loss does to the sphere
#
# Wang and Isola (2020) describe good embeddings with two numbers.
#
# $$\text{alignment} = \mathbb E\,\lVert z_1 - z_2\rVert^2 \;\text{ over positive pairs},\qquad
# \text{uniformity} = \log \mathbb E\, e^{-2\lVert z - z'\rVert^2} \;\text{ over all pairs}$$
#
# Alignment asks that partners agree; uniformity that embeddings use the whole sphere, so that they keep
# information. Smaller is better for both. They pull against each other: agreeing is easiest if everybody sits in
# one place, where uniformity is 0, its worst value. On the toy tensor, by hand: partners are $0.4$, $0.4$ and $2$
# apart, squared.

# %%
from course_lib.losses import alignment, uniformity

agree((0.4 + 0.4 + 2.0) / 3, alignment(z1, z2))
potentials = [math.exp(-2 * distance(i, j) ** 2) for i in range(6) for j in range(i)]
agree(math.log(sum(potentials) / len(potentials)), uniformity(z))

# %% [markdown]
# Now three short trainings that differ in the temperature only, and one pass over the images with **no negatives at
# all**: its loss is the alignment itself, "partners, agree!".
#
# One change to the recipe: SimCLR's projector ends in a batch normalisation, which moves the centre of every batch back
# to zero and so props up a network that is about to collapse. We want to see the fall, and take the prop away.
#
# **Predict first.** Where will each land in the plane of the two numbers? Which reaches the smallest *loss*? Which
# has the best features?


# %%
def without_prop(width=64):
    features = new_backbone().num_features
    return mlp(features, features, width)


def show_views(method):
    torch.manual_seed(SEED)
    return [embed(view, method) for view in two_views(test.images[:1000], augment)]


# %% tags=["claim"]
bare = {f"temperature {t}": pretrain(temperature=t, projector=without_prop()) for t in (0.01, 0.2, 5.0)}
bare["no negatives"] = pretrain(epochs=1, loss=alignment, projector=without_prop())
views = {name: show_views(method) for name, (method, _) in bare.items()}
sphere = {name: (alignment(*v).item(), uniformity(v[0]).item()) for name, v in views.items()}
for name, (partners, spread) in sphere.items():
    print(f"{name:18s} alignment {partners:.3f}   uniformity {spread:.2f}")
show.plane(sphere, x="alignment (small: partners agree)", y="uniformity (small: spread out)", better="better")

# %% tags=["claim"]
for name, (_, history) in bare.items():
    print(
        f"{name:18s} loss at first {history.losses[0]:6.2f}   at last {sum(history.losses[-10:]) / 10:6.2f}"
    )

# %% [markdown]
# Can these be compared? Chance is $\log 255 = 5.54$ for the three with negatives. The best conceivable value (partners
# at cosine 1, all others equally far) is about 0 at temperature 0.01 and 1.0 at 0.2. At 5 it is 5.3: there even a perfect
# network would look as if it had learnt nothing. So ask a probe.

# %% tags=["claim"]
table = {
    name: probe(partial(features, method.backbone))["linear probe"] for name, (method, _) in bare.items()
}
for name in ("random network", "raw pixels", "8 x 8 pixels"):
    table[f"({name})"] = board.values(name, metric="linear probe", dataset=DATASET, profile=PROFILE)[0]
for name, linear in table.items():
    print(f"{name:18s} linear probe {linear:.2f}")
show.bars(table, x="linear probe after a short training", chance=guess)

# %% [markdown]
# - **No negatives**: perfect alignment, no uniformity. All embeddings have become the same vector: **collapse**. Its
#   loss is as good as a loss can be, and its features are worth no more than a random network's, give or take a little.
# - **Too cold** (0.01): a similarity that is larger by 0.1 counts $e^{0.1/0.01} = e^{10} \approx 22\,000$ times as
#   much. Only the single hardest negative, the least trustworthy of all, is pushed, and tiny differences suffice to win
#   the game: all embeddings begin close together, and this run ends before they have moved far. (Trained for long, a cold
#   loss spreads embeddings *more* evenly than a warm one, and tears classes apart: Wang and Liu, 2021.)
# - **Too hot** (5.0): all negatives are pushed alike. Being far from the *average* stranger is enough, and near
#   strangers are not told apart.
# - **In between** the embedding gives up some alignment to buy the best uniformity, and its features are the best,
#   too.
#
# So the value of the loss does not rank these runs: each temperature measures with a ruler of its own, and the
# collapsed run "wins". What ranks them is a probe. How can you *see* collapse without labels? Look at the
# similarities of forty embeddings with each other:

# %%
forty = {name: F.normalize(view1[:40], dim=1) for name, (view1, _) in views.items()}
show.similarity_matrix({name: z @ z.T for name, z in forty.items()})

# %% [markdown]
# Everything alike to everything: collapse, and the cold run is most of the way there. The hot run knows little more
# than two opposite camps. Temperature 0.2 shows what we want: different images mostly unrelated, some alike. You will
# meet pictures like these in every week, and in week 3 methods that need no negatives and do not collapse.
#
# ## 7 · Why "Info"? Mutual information, and its ceiling
#
# How much does one view tell about the other? That is their **mutual information** $I(x; y)$, measured in *nats*
# (one nat is 1.44 bits): 0 if they are independent, large if one nearly determines the other. Van den Oord et al.
# showed that an InfoNCE loss with $N$ candidates bounds it from below (Poole et al., 2019, have a clean proof):
#
# $$I(x;y) \;\ge\; \log N - \mathcal L_{\text{InfoNCE}}$$
#
# At chance, $\mathcal L = \log N$ and the loss proves nothing. To test the bound we need pairs whose mutual
# information we *know*: Gaussians $x$ and $y = \rho x + \sqrt{1-\rho^2}\,\varepsilon$ in 8 dimensions, for which
# $I = -4\log(1-\rho^2)$. Turned round, that gives the $\rho$ for any $I$ we like.


# %%
def related_gaussians(n, information, dims=8):
    rho = math.sqrt(1 - math.exp(-2 * information / dims))
    x = torch.randn(n, dims)
    return x, rho * x + math.sqrt(1 - rho**2) * torch.randn(n, dims), rho


x, y, rho = related_gaussians(5000, information=3.0)
measured = (x * y).mean().item()
print(f"correlation: wanted {rho:.3f}, measured {measured:.3f}; I = {-4 * math.log(1 - rho**2):.2f} nats")

# %% [markdown]
# A learnt encoder would add its own faults to the picture. For Gaussians we know the *best possible* score of a
# pair, the log-ratio $\log\frac{p(y\mid x)}{p(y)}$. Up to a term that does not depend on $y$ it is
# $(\rho\, x^\top y - \tfrac12\rho^2\lVert y\rVert^2)/(1-\rho^2)$: a dot product of the query
# $(\rho x,\, -\tfrac12\rho^2)$ with the key $(y,\, \lVert y\rVert^2)$. So the library's N-pair loss can compute it.
#
# **Predict first.** True information 1, 3, 6 and 12 nats; $N$ from 2 to 4096. What do the four curves of the bound
# look like? Note that $\log 4096 = 8.3$.


# %%
from course_lib.losses import mutual_information_bound


def best_scores(x, y, rho):
    query = torch.cat([rho * x, torch.full((len(x), 1), -(rho**2) / 2)], dim=1) / (1 - rho**2)
    return query, torch.cat([y, y.square().sum(dim=1, keepdim=True)], dim=1)


def information_bound(information, candidates, repeats=20):
    losses = []
    for _ in range(repeats):
        x, y, rho = related_gaussians(256, information)
        query, key = best_scores(x, y, rho)
        _, noise_keys = best_scores(x, torch.randn(candidates - 1, 8), rho)
        losses.append(n_pair_loss(query, key, noise_keys).item())
    return mutual_information_bound(sum(losses) / repeats, candidates)


# %%
sizes = [2**k for k in range(1, 13)]
bounds = {f"true I = {nats} nats": {n: information_bound(nats, n) for n in sizes} for nats in (1, 3, 6, 12)}
bounds["ceiling: log N"] = {n: math.log(n) for n in sizes}
show.curve(bounds, x="candidates N", y="bound in nats", log_x=True)

# %% [markdown]
# Two regimes. As long as $\log N$ is well above the true information, more candidates tighten the bound until it
# sits on the truth. Where the truth is above $\log N$, the bound runs into the ceiling and stays there: a loss
# cannot be negative, so **$N$ candidates can never prove more than $\log N$ nats**, and doubling the batch buys
# $\log 2 = 0.69$ nats.
#
# This is one reason for the huge batches and queues of week 2. And your own network? Its bound, from the images of
# the test set:


# %%
def bound_of_the_network(candidates, queries=256):
    first = candidates - 1  # the strangers come first, then the queries
    images = test.images[: first + queries]
    v1, v2 = (F.normalize(embed(view), dim=1) for view in two_views(images, augment))
    loss = info_nce_loss(v1[first:], v2[first:], v2[:first], temperature=TEMPERATURE).item()
    return mutual_information_bound(loss, candidates)


sizes = [n for n in (2, 4, 16, 64, 256, 1024) if n + 256 < len(test)]
bounds = {"your network": {n: bound_of_the_network(n) for n in sizes}}
bounds["ceiling: log N"] = {n: math.log(n) for n in sizes}
show.curve(bounds, x="candidates N", y="bound in nats", log_x=True)

# %% [markdown]
# The two views of an image surely share more than these few nats. The bound is about the information *that this
# score function can show*: cosines divided by $\tau$ cannot exceed $1/\tau$, and the network has been trained for a
# minute. Be careful with the story "contrastive learning works because it maximises information": Tschannen et al.
# (2020) show encoders with more of it and worse features.
#
# ## 8 · Easy, hard and false negatives
#
# NT-Xent calls every other image a stranger. In truth some of them show the same kind of thing as the anchor:
# **false negatives**. Nobody told the loss; we have the labels and can look. Below, the similarities of your
# trained network on test images.
#
# **Predict first.** Draw three bumps on paper: partners, images of other classes, images of the same class. Where
# is the third?

# %% tags=["claim"]
torch.manual_seed(SEED)
seen1, seen2 = (F.normalize(embed(view), dim=1) for view in two_views(test.images[:1000], augment))
cosines, kinds = seen1 @ seen2.T, test.labels[:1000]
itself = torch.eye(len(kinds), dtype=torch.bool)
same_class = (kinds[:, None] == kinds) & ~itself
bumps = {
    "partner": cosines[itself],
    "other class": cosines[~same_class & ~itself],
    "same class": cosines[same_class],
}
print("mean similarity:", ", ".join(f"{name} {values.mean():.2f}" for name, values in bumps.items()))
show.histogram(bumps, x="similarity to the anchor")

# %% [markdown]
# The false negatives lie to the right of the true ones, *although the loss pushed them away all the time*. This is
# the answer to the worry of section 3: a smooth network cannot treat two images of a kind as strangers, so pushing
# them apart mostly fails, and that failure is what we are after.
#
# The flip side: they crowd where the push is strongest. Sort the 999 strangers of each anchor by similarity. How
# many of the hardest are false?

# %% tags=["claim"]
strangers = cosines.masked_fill(itself, -2)
ranked = strangers.argsort(dim=1, descending=True)[:, :-1]  # (1000, 999), the hardest first
is_false = same_class.gather(1, ranked).float()
share = {rank: is_false[:, :rank].mean().item() for rank in (1, 3, 10, 30, 100, 300, 999)}
print("false among the hardest:", ", ".join(f"{value:.2f} of {rank}" for rank, value in share.items()))
level = {"of all negatives": share[999]}
show.curve(share, x="the hardest ... negatives", y="share that is false", baseline=level, log_x=True)

# %% [markdown]
# The harder, the more likely false. Here are some of the hardest: in each column an anchor, and below it the three
# strangers that the network finds most similar. A star marks the false ones.

# %%
shown = torch.randperm(1000)[:10]
rows = torch.cat([shown[None], ranked[shown, :3].T])  # (4, 10)
star = kinds[rows] == kinds[shown]
star[0] = False  # an anchor is no negative of its own
rows, star = rows.flatten(), star.flatten()
titles = [test.class_names[kinds[k]] + (" *" if s else "") for k, s in zip(rows, star, strict=True)]
show.images(test.images[rows], titles, columns=10, row_titles=["anchor", "hardest", "2nd", "3rd"])

# %% [markdown]
# Three answers from the literature, all in the library:
#
# - **Weigh hard negatives more** (Robinson et al., 2021): `hard_negative_nt_xent_loss`, with a dial $\beta$.
# - **Subtract the false ones you expect** (Chuang et al., 2020): `debiased_nt_xent_loss`. If a share $\tau^+$ of
#   the "negatives" is of the anchor's class, estimate their part of the sum from the positive, and take it away.
#   The two corrections combine.
# - **Make harder ones** (MoCHi, Kalantidis et al., 2020): mix two of the hardest negatives of an anchor, or one of them
#   with the anchor itself (less than half of it), and renormalise.
#
# By hand, on the toy tensor. The two hardest negatives of $a'$ are $b$ (0.6) and then, at 0, $b'$. Half of each. (In the call,
# `first`, `second` and `third` are ranks, 0 for the hardest: we mix ranks 0 and 1, and nothing with the query. `alpha` is the
# share of the first; MoCHi's `beta`, the share of the query, has nothing to do with Robinson's.)

# %%
from course_lib.losses import debiased_nt_xent_loss, hard_negative_nt_xent_loss, mochi_mix, mochi_negatives

middle = [(z[b][k].item() + z[b2][k].item()) / 2 for k in range(2)]
middle = [value / math.hypot(*middle) for value in middle]
rank0, rank1, none = torch.tensor([[0]]), torch.tensor([[1]]), torch.zeros(1, 0)
mixed = mochi_mix(
    z[[a2]], z[[b, b2]], first=rank0, second=rank1, alpha=torch.tensor([[0.5]]), third=none.long(), beta=none
)
agree(middle[0], mixed[0, 0, 0])
agree(middle[1], mixed[0, 0, 1])

# %% tags=["claim"]
queries, queue = seen1[:100], seen2[500:]  # different images: all of them strangers
hardest = (queries @ queue.T).topk(16, dim=1).values
mixtures = mochi_negatives(queries, queue, num_hard=16, num_mixed=64, num_query_mixed=64)
against = torch.einsum("bd,bkd->bk", queries, mixtures)
negative_kinds = {
    "whole queue": queries @ queue.T,
    "its 16 hardest": hardest,
    "mixed in twos": against[:, :64],
    "mixed with the query": against[:, 64:],
}
print("mean similarity:", ", ".join(f"{name} {values.mean():.2f}" for name, values in negative_kinds.items()))
show.histogram(negative_kinds, x="similarity to the query")

# %% [markdown]
# The mixtures are as hard as the hardest, or harder, and there are as many as we like.
#
# And the two corrected losses, on the same batch of your network's embeddings. With $\tau^+ = 0$ and $\beta = 0$
# both are NT-Xent:

# %% tags=["claim"]
batch = seen1[:BATCH], seen2[:BATCH]
plain = nt_xent_loss(*batch, temperature=0.5).item()
agree(plain, debiased_nt_xent_loss(*batch, temperature=0.5, tau_plus=0.0))
for beta in (0.0, 0.5, 1.0, 2.0):
    weighed = partial(hard_negative_nt_xent_loss, *batch, temperature=0.5, beta=beta)
    print(f"beta {beta:.1f}: {weighed(tau_plus=0.0):.3f}   debiased {weighed(tau_plus=guess):.3f}")

# %% [markdown]
# More weight on the hard negatives raises the loss; taking out the expected false ones lowers it. Which correction
# *helps* depends on how many classes there are, on the batch and on the length of training. A short run on a small
# network cannot settle it, so this notebook does not claim it.
#
# ## 9 · What augmentation declares "the same"
#
# So far the word "same" came out of `augment`, as if that were innocent. It is the only teacher in the room.
# Whatever differs between the two views of an image, the network is asked to *ignore*; whatever they share, it may
# use.

# %%
picture = train.images[:1].expand(12, -1, -1, -1)


def draw_views(axes, strength):
    views = SimCLRAugment(strength=strength)(picture)  # (12, 3, H, W)
    rows = [torch.cat(list(row), dim=2) for row in views.split(3)]
    axes.imshow(torch.cat(rows, dim=1).permute(1, 2, 0))
    axes.set_axis_off()


show.interact(draw_views, strength=[0.0, 0.25, 0.5, 1.0], height=3.0)

# %% [markdown]
# Three teachers: crops and colours as before, crops only, colours only. We train a network with each, for the same
# short time, and then ask: after recolouring, can it still find an image among 256? After cropping? (If a network
# ignores colour, recolouring does not disturb it.) And what do its features know about the classes?
#
# **Predict first.** Two views of an image that were cropped but not recoloured have nearly the same colours. What
# is the cheapest way to find the partner? Will that training reach a higher or a lower loss than the full
# augmentation? And the classes?

# %% tags=["claim"]
crops, colours = SimCLRAugment(jitter=False), SimCLRAugment(crop=False)
teachers = {
    "crop + colour": pretrain(temperature=TEMPERATURE),
    "crop only": pretrain(augment=crops, temperature=TEMPERATURE),
    "colour only": pretrain(augment=colours, temperature=TEMPERATURE),
}
for name, (_, history) in teachers.items():
    print(f"{name:14s} loss at the end {sum(history.losses[-10:]) / 10:.2f}")
show.loss_curve({name: history for name, (_, history) in teachers.items()}, chance=CHANCE_LOSS)


# %%
def finds(encode, changed, originals, others=255):
    """How often a changed image is nearer to its original than to 255 others."""
    changed, originals = (F.normalize(encode(x), dim=1) for x in (changed, originals))
    return info_nce_accuracy(changed[others:], originals[others:], originals[:others]).item()


# %% tags=["claim"]
print(f"{'taught by':16s}{'found recoloured':>18s}{'found cropped':>15s}{'kNN, classes':>14s}")
networks = {name: method.backbone for name, (method, _) in teachers.items()}
networks["(nobody)"] = new_backbone()
for name, backbone in networks.items():
    encode = partial(features, backbone)
    again = [finds(encode, change(test.images[:755]), test.images[:755]) for change in (colours, crops)]
    print(f"{name:16s}{again[0]:18.2f}{again[1]:15.2f}{probe(encode)['kNN']:14.2f}")

# %% [markdown]
# Each network ignores what its teacher varied (at least where another cue is left; week 2 looks closer), and holds on to what
# the teacher left alone. Compare the losses with
# the last column: the two teachers that leave something out reach a *lower* loss and *worse* classes. Their game is
# easier, because there is a cheap answer: matching colours when views are only cropped, matching the layout when
# they are only recoloured. Such a cheap answer is a **shortcut**. SimCLR's authors found the same on ImageNet: crop
# and colour together, or not at all.
#
# The choice of augmentation is knowledge about the task. It is right to ignore colour for telling cars from horses,
# and wrong for telling ripe from unripe tomatoes.
#
# ## 10 · Failure on purpose
#
# Three failures you have seen by now, and the loss curve alone gave none of them away: collapse (section 6), a
# temperature off the mark (section 6), a shortcut that augmentation left open (section 9). Here is one that
# augmentation cannot close.
#
# We mix every image with a soft coloured pattern of its own, as a loud background might be. The pattern says nothing
# about the class, and both views of an image share it.

# %%
from dataclasses import replace


def draw_patterns(count):
    return 255 * F.interpolate(torch.rand(count, 3, 4, 4), size=train.images.shape[-2:], mode="bilinear")


def mix(images, patterns):
    return torch.lerp(images.float(), patterns, 0.6).to(torch.uint8)


torch.manual_seed(SEED)
loud_train = replace(train, images=mix(train.images, draw_patterns(len(train))))
loud_test = replace(test, images=mix(test.images, draw_patterns(len(test))))
show.pairs(*two_views(loud_train.images[:10], augment), loud_train.images[:10])

# %% [markdown]
# The pictures are still in there. **Predict first.** What will NT-Xent learn from them, and will its loss curve look
# suspicious?

# %% tags=["claim"]
misled, misled_history = pretrain(images=loud_train, temperature=TEMPERATURE)
clean, clean_history = teachers["crop + colour"]
print(f"loss at the end {sum(misled_history.losses[-10:]) / 10:.2f}, chance {CHANCE_LOSS:.2f}")
show.loss_curve({"clean images": clean_history, "with patterns": misled_history}, chance=CHANCE_LOSS)

# %% tags=["claim"]
told = Supervised(new_backbone(), train.num_classes).to(DEVICE)
fit(told, Views(loud_train, augment, batch_size=BATCH, labels=True, device=DEVICE), epochs=2 * SHORT)
loud_networks = {"random network": new_backbone(), "NT-Xent": misled.backbone, "supervised": told.backbone}
on_loud = {
    name: probe(partial(features, net), loud_train, loud_test)["kNN"] for name, net in loud_networks.items()
}
on_loud["(NT-Xent on clean images)"] = probe(partial(features, clean.backbone))["kNN"]
print("kNN:", ", ".join(f"{name} {accuracy:.2f}" for name, accuracy in on_loud.items()))
show.bars(on_loud, x="kNN accuracy on images with patterns", chance=guess)

# %% [markdown]
# The loss leaves chance and falls: the curve alone would not have warned you. Yet what the same training found in clean
# images is lost, and little is left above chance. The supervised network shows that more was there to be found, if not
# easily: it gets at least twice as far. What did NT-Xent learn instead? Ask it to find, among 256, the same *image* under
# another pattern, and the same *pattern* over another image:

# %% tags=["claim"]
torch.manual_seed(SEED)
images, other_images = test.images[:500], test.images[500:1000]
pattern, fresh = draw_patterns(500), draw_patterns(500)
loud_query = mix(images, pattern)
for name, backbone in loud_networks.items():
    encode = partial(features, backbone)
    image_found = finds(encode, loud_query, mix(images, fresh))
    pattern_found = finds(encode, loud_query, mix(other_images[: len(images)], pattern))
    print(f"{name:16s} same image {image_found:.2f}   same pattern {pattern_found:.2f}")

# %% [markdown]
# It finds the pattern and is all but blind to the image. Even an untrained network sees the pattern first, and NT-Xent
# has no reason to look further: the pattern is enough to tell partners from strangers. The labels gave the supervised
# network that reason: it has begun to let go of the pattern.
#
# How to see such failures, in the order of cost:
#
# 1. **Know chance and know the floor.** A loss at $\log(2N-1)$ has learnt nothing; a loss that is *too* good has
#    found a shortcut or collapsed.
# 2. **Look at similarities**: all alike means collapse.
# 3. **Look at the nearest neighbours** as pictures: what do they share? A colour? A background?
# 4. **Probe** against pixels and a random network, every few epochs.
#
# ## Takeaways
#
# - From pairs to NT-Xent, one idea grows: *compare*. First with a fixed margin, then relative to another, then to
#   all others at once; at the end it is cross-entropy over "who is my partner?".
# - Know two things about any contrastive loss: its value at chance ($\log N$ for $N$ candidates), and that it cannot
#   be compared across temperatures or batch sizes.
# - The temperature decides which negatives count. Both extremes hurt, for opposite reasons.
# - Alignment and uniformity together describe the sphere; alignment alone is collapse.
# - InfoNCE bounds mutual information, but never proves more than $\log N$.
# - The hardest negatives are the most instructive and the most often false.
# - Augmentation is the teacher. What views share will be learnt, wanted or not.
#
# **The scoreboard** stays in `data/scoreboard.csv`; later weeks add their methods to it.

# %% tags=["headline"]
names = board.select(dataset=DATASET, profile=PROFILE).methods()  # later weeks add rows of their own
knn = {name: board.values(name, metric="kNN", dataset=DATASET, profile=PROFILE) for name in names}
means = {name: f"{name} {sum(v) / len(v):.2f}" for name, v in knn.items()}
print("kNN:", ", ".join(words for name, words in means.items() if name in REFERENCES))
print("kNN:", ", ".join(words for name, words in means.items() if name not in REFERENCES))

# %% [markdown]
# ## Questions
#
# 1. You double the batch. By how much does the loss at chance change, and what happens to a curve that has "not
#    improved"?
#
# <details><summary>Answer</summary>
# Chance is log(2N − 1), so doubling N adds about log 2 = 0.69. The same network shows a higher loss with the larger
# batch, although it is not worse: there are more candidates to confuse. Compare accuracies of a fixed game, or the
# distance to chance, never losses across batch sizes.
# </details>
#
# 2. A triplet loss has been stuck exactly at its margin for an hour. What has happened?
#
# <details><summary>Answer</summary>
# Both distances are equal, most likely both 0: all embeddings coincide. The margin is the triplet loss's value at
# collapse, as log N is that of the softmax losses. Mining the hardest negatives from the start is a classical way
# to get there.
# </details>
#
# 3. Why may contrastive learning without labels work although NT-Xent pushes images of one class apart?
#
# <details><summary>Answer</summary>
# The network is smooth and shared: it cannot treat two similar images as strangers without forgetting what makes
# views of one image alike. Free points could (section 3); a network mostly fails to, and images of one class stay
# closer to each other than to the rest (section 8).
# </details>
#
# 4. With N = 256 candidates, an InfoNCE loss of 0.1 is reached. What does it prove about the mutual information?
#    And a loss of 0?
#
# <details><summary>Answer</summary>
# At least log 256 − 0.1 = 5.45 nats; and 5.55 nats at loss 0. Whether the truth is 6 or 60 nats cannot be told with
# 256 candidates.
# </details>
#
# 5. You want features for finding the *same product in another colour*, and next week for *finding a matching
#    colour*. What do you change?
#
# <details><summary>Answer</summary>
# The augmentation, not the loss: keep strong colour jitter for the first task; leave the colours alone for the
# second (and expect to need another way of closing the colour shortcut, or to accept it: for that task the shortcut
# is the answer).
# </details>
#
# 6. Someone reports a lower NT-Xent loss after lowering the temperature from 0.5 to 0.1. Progress?
#
# <details><summary>Answer</summary>
# Not by itself. A similarity gap of 0.5 is a factor e<sup>1</sup> at τ = 0.5 and e<sup>5</sup> at τ = 0.1: the same
# embeddings have another loss. Probe the features.
# </details>
#
# ## References
#
# - Hadsell, Chopra, LeCun. *Dimensionality Reduction by Learning an Invariant Mapping*. CVPR 2006. (contrastive loss)
# - Schroff, Kalenichenko, Philbin. *FaceNet: A Unified Embedding for Face Recognition and Clustering*. CVPR 2015. (triplets, semi-hard negatives)
# - Song, Xiang, Jegelka, Savarese. *Deep Metric Learning via Lifted Structured Feature Embedding*. CVPR 2016.
# - Sohn. *Improved Deep Metric Learning with Multi-class N-pair Loss Objective*. NeurIPS 2016.
# - Gutmann, Hyvärinen. *Noise-Contrastive Estimation*. AISTATS 2010.
# - van den Oord, Li, Vinyals. *Representation Learning with Contrastive Predictive Coding*. 2018. (InfoNCE)
# - Poole, Ozair, van den Oord, Alemi, Tucker. *On Variational Bounds of Mutual Information*. ICML 2019.
# - Tschannen, Djolonga, Rubenstein, Gelly, Lucic. *On Mutual Information Maximization for Representation Learning*. ICLR 2020.
# - Salakhutdinov, Hinton. *Learning a Nonlinear Embedding by Preserving Class Neighbourhood Structure*. AISTATS 2007; Frosst, Papernot, Hinton. *Analyzing and Improving Representations with the Soft Nearest Neighbor Loss*. ICML 2019.
# - Chen, Kornblith, Norouzi, Hinton. *A Simple Framework for Contrastive Learning of Visual Representations*. ICML 2020. (SimCLR, NT-Xent)
# - Wang, Isola. *Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere*. ICML 2020.
# - Wang, Liu. *Understanding the Behaviour of Contrastive Loss*. CVPR 2021. (temperature)
# - Chuang, Robinson, Lin, Torralba, Jegelka. *Debiased Contrastive Learning*. NeurIPS 2020; Robinson, Chuang, Sra, Jegelka. *Contrastive Learning with Hard Negative Samples*. ICLR 2021.
# - Kalantidis, Sariyildiz, Pion, Weinzaepfel, Larlus. *Hard Negative Mixing for Contrastive Learning*. NeurIPS 2020. (MoCHi)
#
# **Next:** lab 1, where you write these losses yourself; then week 2, SimCLR and MoCo in earnest.
