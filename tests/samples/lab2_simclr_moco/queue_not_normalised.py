# ---
# expect: {score: 85, says: "Your numbers are exactly what you get when the keys are not normalised."}
# ---

# All right but for one mistake, a usual one: F.normalize is called and its result is not used. It costs the queue and,
# since the training loop uses it, the training.

# %% answer="enqueue"
def enqueue(queue, keys, *, start):
    queue, keys = queue.detach().clone(), keys.detach()
    F.normalize(keys, dim=1)
    rows = (start + torch.arange(len(keys), device=queue.device)) % len(queue)
    queue[rows] = keys
    return queue
