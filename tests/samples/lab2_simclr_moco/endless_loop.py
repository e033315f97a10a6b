# ---
# expect: {score: 94, says: "still running after 10 s: is there an endless loop? Your line", cell_timeout: 40}
# ---

# All right but for a loop that never ends; the training loop moves its key encoder itself.

# %% answer="ema_update"
def ema_update(key, query, *, momentum):
    key, query = key.detach(), query.detach()
    new, i = key.clone(), 0
    while i < key.numel():
        new.view(-1)[i] = momentum * key.view(-1)[i] + (1 - momentum) * query.view(-1)[i]
    return new


# %% answer="train_moco"
def train_moco(query_encoder, key_encoder, images, *, queue, augment, loss, epochs, batch_size, lr, momentum):
    optimiser = torch.optim.AdamW(query_encoder.parameters(), lr=lr)
    start = 0
    for _ in range(epochs):
        for index in torch.randperm(len(images), device=images.device).split(batch_size):
            with torch.no_grad():
                for key, query in zip(key_encoder.parameters(), query_encoder.parameters(), strict=True):
                    key.lerp_(query, 1 - momentum)
                keys = key_encoder(augment(images[index]))
            optimiser.zero_grad()
            loss(query_encoder(augment(images[index])), keys, queue).backward()
            optimiser.step()
            queue, start = enqueue(queue, keys, start=start), (start + len(keys)) % len(queue)
    return query_encoder[0]
