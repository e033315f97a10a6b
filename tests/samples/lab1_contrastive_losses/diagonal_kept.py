# ---
# expect: {score: 90, says: "Your numbers are exactly what you get when the diagonal is kept."}
# ---

# All right but for one mistake, the most usual one: each view is a candidate of its own.

# %% answer="nt_xent_loss"
def nt_xent_loss(z1, z2, *, temperature):
    z = torch.cat([z1, z2])
    z = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
    logits = z @ z.T / temperature
    n = len(z1)
    partners = (torch.arange(2 * n, device=z.device) + n) % (2 * n)
    return F.cross_entropy(logits, partners)
