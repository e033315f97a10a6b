# ---
# expect: {score: 95, says: "the key encoder is a plain copy of the query encoder: momentum 0."}
# ---

# All right but for the key encoder, which does not follow slowly.

# %% answer="train_moco"
def train_moco(query_encoder, key_encoder, images, *, queue, augment, loss, epochs, batch_size, lr, momentum):
    optimiser = torch.optim.AdamW(query_encoder.parameters(), lr=lr)
    start = 0
    for _ in range(epochs):
        for index in torch.randperm(len(images), device=images.device).split(batch_size):
            key_encoder.load_state_dict(query_encoder.state_dict())
            with torch.no_grad():
                keys = key_encoder(augment(images[index]))
            optimiser.zero_grad()
            loss(query_encoder(augment(images[index])), keys, queue).backward()
            optimiser.step()
            queue = enqueue(queue, keys, start=start)
            start = (start + len(keys)) % len(queue)
    return query_encoder[0]
