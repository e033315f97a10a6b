# ---
# expect: {score: 100}
# ---

# Every item solved, each in another style than the solution's.

# %% answer="crop_and_flip"
def crop_and_flip(images, *, boxes, flips, size):
    left, top, width, height = boxes.to(images.dtype).T[:, :, None]
    views = []
    for i in range(len(images)):
        x0, y0, w, h = (int(v[i]) for v in (left, top, width, height))
        part = images[i : i + 1].narrow(2, y0, h).narrow(3, x0, w)
        views.append(F.interpolate(part, size, mode="bilinear", align_corners=False))
    views = torch.cat(views)
    return torch.where(flips[:, None, None, None], torch.flip(views, dims=[-1]), views)


# %% answer="partner_probability"
def partner_probability(z, *, image, temperature):
    cosines = F.cosine_similarity(z[:, None], z[None], dim=2)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    weights = torch.exp(cosines / temperature).masked_fill(itself, 0)
    order = image.argsort()  # partners are neighbours now
    partner = torch.empty_like(order)
    partner[order] = order.view(-1, 2).flip(1).flatten()
    return weights.gather(1, partner[:, None]).squeeze(1) / weights.sum(1)


# %% answer="simclr_step"
def simclr_step(view1, view2, encoder, projector, *, lr, temperature):
    layer = nn.Linear(
        encoder.shape[1], encoder.shape[0], bias=False, dtype=encoder.dtype, device=encoder.device
    )
    layer.weight.data.copy_(encoder)
    optimiser = torch.optim.SGD(layer.parameters(), lr=lr)
    z = F.normalize(layer(torch.cat([view1, view2])).relu() @ projector.detach().T, dim=1)
    n = len(view1)
    logits = z @ z.T / temperature - torch.diag(torch.full_like(z[:, 0], torch.inf))
    F.cross_entropy(logits, (torch.arange(2 * n, device=z.device) + n) % (2 * n)).backward()
    optimiser.step()
    return layer.weight.detach()


# %% answer="ema_update"
def ema_update(key, query, *, momentum):
    with torch.no_grad():
        return torch.lerp(query, key, momentum)


# %% answer="enqueue"
@torch.no_grad()
def enqueue(queue, keys, *, start):
    new, size = queue.clone(), len(queue)
    for i, key in enumerate(keys):
        new[(start + i) % size] = key / key.norm()
    return new


# %% answer="moco_logits"
def moco_logits(query, keys, queue, *, temperature):
    with torch.no_grad():
        keys = F.normalize(keys, dim=1)
    queue = queue.detach()
    query = query / query.norm(dim=1, keepdim=True)
    positive = torch.einsum("nc,nc->n", query, keys).unsqueeze(1)
    return torch.cat([positive, torch.einsum("nc,kc->nk", query, queue)], dim=1) / temperature


# %% answer="knn_votes"
def knn_votes(bank, queries, *, bank_labels, classes, k, temperature):
    bank, queries = (x / x.norm(dim=1, keepdim=True) for x in (bank, queries))
    near, index = (queries @ bank.T).sort(dim=1, descending=True)
    near, index = near[:, :k], index[:, :k]
    weights = torch.exp((near - near[:, :1]) / temperature)
    one_hot = F.one_hot(bank_labels[index], classes).to(weights.dtype)
    votes = (weights[:, :, None] * one_hot).sum(1)
    return votes / votes.sum(1, keepdim=True)


# %% answer="linear_probe"
def linear_probe(train, test, *, labels, classes, steps, lr, weight_decay):
    with torch.no_grad():
        mean, std = train.mean(0), train.var(0, unbiased=False).sqrt().clamp(min=1e-6)
        x, x_test = (train - mean) / std, (test - mean) / std
        weight, bias = x.new_zeros(x.shape[1], classes), x.new_zeros(classes)
        target = torch.eye(classes, dtype=x.dtype, device=x.device)[labels]
        for _ in range(steps):
            error = (torch.softmax(x @ weight + bias, 1) - target) / len(x)
            weight = weight - lr * (x.T @ error + weight_decay * weight)
            bias = bias - lr * error.sum(0)
        return x_test @ weight + bias


# %% answer="train_moco"
def train_moco(query_encoder, key_encoder, images, *, queue, augment, loss, epochs, batch_size, lr, momentum):
    key_encoder.requires_grad_(False)
    optimiser = torch.optim.Adam(query_encoder.parameters(), lr=lr)
    for _ in range(epochs):
        order = torch.randperm(len(images), device=images.device)
        for first in range(0, len(images), batch_size):
            batch = images[order[first : first + batch_size]]
            view1, view2 = augment(torch.cat([batch, batch])).chunk(2)
            keys = key_encoder(view2)
            value = loss(query_encoder(view1), keys, queue)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            queue = torch.cat([queue[len(keys) :], F.normalize(keys, dim=1)])  # the oldest stand first
            for key, query in zip(key_encoder.parameters(), query_encoder.parameters(), strict=True):
                key.mul_(momentum).add_(query.detach(), alpha=1 - momentum)
    return query_encoder[0]
