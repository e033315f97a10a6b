# ---
# expect: {score: 100}
# ---

# Every item solved, each in another style than the solution's.

# %% answer="nt_xent_naive"
def nt_xent_naive(z1, z2, *, temperature):
    views = [*F.normalize(z1, dim=1), *F.normalize(z2, dim=1)]
    n = len(z1)
    losses = []
    for i, anchor in enumerate(views):
        logits = torch.stack([anchor @ other / temperature for k, other in enumerate(views) if k != i])
        partner = anchor @ views[i + n if i < n else i - n] / temperature
        losses.append(torch.logsumexp(logits, dim=0) - partner)
    return sum(losses) / len(losses)


# %% answer="nt_xent_vectorised"
def nt_xent_vectorised(z1, z2, *, temperature):
    z = torch.cat([z1, z2])
    cosines = F.cosine_similarity(z[:, None], z[None, :], dim=2)
    n = len(z1)
    others = ~torch.eye(2 * n, dtype=torch.bool, device=z.device)
    logits = cosines[others].reshape(2 * n, 2 * n - 1) / temperature
    partners = torch.cat([cosines.diagonal(n), cosines.diagonal(-n)]) / temperature
    return (logits.logsumexp(1) - partners).mean()


# %% answer="nt_xent_loss"
def nt_xent_loss(z1, z2, *, temperature):
    if z1.dtype in (torch.float16, torch.bfloat16):
        z1, z2 = z1.float(), z2.float()
    z1, z2 = (z / z.norm(dim=1, keepdim=True) for z in (z1, z2))
    itself = torch.diag(torch.full_like(z1[:, 0], torch.inf))  # inf on the diagonal, 0 elsewhere
    same1, same2 = z1 @ z1.T / temperature - itself, z2 @ z2.T / temperature - itself
    cross = z1 @ z2.T / temperature
    target = torch.arange(len(z1), device=z1.device)
    first = F.cross_entropy(torch.cat([cross, same1], dim=1), target)
    second = F.cross_entropy(torch.cat([cross.T, same2], dim=1), target)
    return (first + second) / 2


# %% answer="semi_hard_triplet_loss"
def semi_hard_triplet_loss(embeddings, labels, *, margin):
    distance = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    costs = []
    for a in range(len(labels)):
        others = distance[a][labels != labels[a]]
        for p in range(len(labels)):
            if a == p or labels[a] != labels[p] or len(others) == 0:
                continue
            window = others[(others > distance[a, p]) & (others < distance[a, p] + margin)]
            chosen = window.min() if len(window) else others.max()
            costs.append(F.relu(distance[a, p] - chosen + margin))
    return torch.stack(costs).mean() if costs else embeddings.new_zeros(())


# %% answer="n_pair_loss"
def n_pair_loss(anchor, positive, negatives):
    difference = torch.bmm(negatives - positive[:, None], anchor[:, :, None]).squeeze(2)  # (N, K)
    return F.softplus(difference.logsumexp(dim=1)).mean()


# %% answer="soft_nearest_neighbor_loss"
def soft_nearest_neighbor_loss(embeddings, labels, *, temperature):
    distance = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    terms = []
    for i in range(len(labels)):
        others = torch.arange(len(labels), device=labels.device) != i
        positives = others & (labels == labels[i])
        if positives.any():
            logits = -distance[i] / temperature
            terms.append(logits[others].logsumexp(0) - logits[positives].logsumexp(0))
    return torch.stack(terms).mean() if terms else embeddings.sum() * 0


# %% answer="info_nce_accuracy"
def info_nce_accuracy(query, positive, negatives):
    hits = 0
    for q, p, rest in zip(query, positive, negatives, strict=True):
        hits += all((q @ p > q @ n).item() for n in rest)
    return query.new_tensor(hits / len(query))


# %% answer="mochi_negatives"
def mochi_negatives(query, queue, *, first, second, alpha, third, beta):
    queue = queue.detach() / queue.detach().norm(dim=1, keepdim=True)
    mixed = []
    for b in range(len(query)):
        q = query[b] / query[b].norm()
        ranked = queue[(queue @ q).topk(len(queue)).indices]
        a, c = alpha[b].unsqueeze(1), beta[b].unsqueeze(1)
        rows = [a * ranked[first[b]] + (1 - a) * ranked[second[b]], c * q + (1 - c) * ranked[third[b]]]
        mixed.append(torch.cat(rows))
    return F.normalize(torch.stack(mixed), dim=-1)


# %% answer="train_encoder"
def train_encoder(backbone, projector, images, *, augment, loss, epochs, batch_size, lr):
    model = nn.Sequential(backbone, projector).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        order = torch.randperm(len(images), device=images.device)
        for start in range(0, len(images), batch_size):
            batch = images[order[start : start + batch_size]]
            views = augment(torch.cat([batch, batch]))
            value = loss(*model(views).chunk(2))
            value.backward()
            optimiser.step()
            optimiser.zero_grad()
    return backbone
