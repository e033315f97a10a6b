# ---
# expect: {score: 86, says: "Your line 5: return F.cross_entropy(scores, targets)"}
# ---

# One function that raises when it is called, one cell that raises before it defines anything; the rest is right.

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
