# ---
# expect:
#   score: 66
#   says:
#     - Your numbers are exactly what you get when the diagonal is kept.
#     - "still running after 10 s: is there an endless loop? Your line"
#     - "Your line 5: return F.cross_entropy(scores, targets)"
#     - "NameError: name 'info_nce_accuracy' is not defined"
# ---

# Four kinds of mistakes: the most usual one (each view is a candidate of its own), a loop that never ends, a function that
# raises when it is called, a cell that raises before it defines anything. The rest is right.

# %% answer="nt_xent_loss"
def nt_xent_loss(z1, z2, *, temperature):
    z = torch.cat([z1, z2])
    z = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
    logits = z @ z.T / temperature
    n = len(z1)
    partners = (torch.arange(2 * n, device=z.device) + n) % (2 * n)
    return F.cross_entropy(logits, partners)


# %% answer="semi_hard_triplet_loss"
def semi_hard_triplet_loss(embeddings, labels, *, margin):
    d = (embeddings[:, None] - embeddings[None, :]).square().sum(dim=2)
    costs, a = [], 0
    while a < len(labels):
        same = labels == labels[a]
        if same.sum() == 1 or same.all():
            continue  # without a += 1: an anchor that has no partner is looked at for ever
        for p in same.nonzero().flatten().tolist():
            if p == a:
                continue
            to_all = d[a][~same]
            window = (to_all > d[a, p]) & (to_all < d[a, p] + margin)
            to_negative = to_all[window].min() if window.any() else to_all.max()
            costs.append((d[a, p] - to_negative + margin).clamp(min=0))
        a += 1
    return torch.stack(costs).mean()


# %% answer="n_pair_loss"
def n_pair_loss(anchor, positive, negatives):
    to_positive = (anchor * positive).sum(dim=1)
    to_negatives = torch.einsum("nd,nkd->nk", anchor, negatives)
    scores = torch.cat([to_positive[:, None], to_negatives], dim=1)
    return F.cross_entropy(scores, targets)


# %% answer="info_nce_accuracy"
import a_package_that_only_i_have


def info_nce_accuracy(query, positive, negatives):
    return a_package_that_only_i_have.accuracy(query, positive, negatives)
