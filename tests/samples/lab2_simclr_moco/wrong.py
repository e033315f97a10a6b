# ---
# expect:
#   score: 69.5
#   says:
#     - Your numbers are exactly what you get when the keys are not normalised.
#     - rows of the queue do not have length 1.
#     - "It was called on a bank with fewer than k images"
#     - "NameError: name 'linear_probe' is not defined"
# ---

# F.normalize is called and its result is not used, which costs the queue and, since the training loop uses it, half of the
# training; a function that raises on one special input; a cell that raises before it defines anything. The rest is right.

# %% answer="enqueue"
def enqueue(queue, keys, *, start):
    queue, keys = queue.detach().clone(), keys.detach()
    F.normalize(keys, dim=1)
    rows = (start + torch.arange(len(keys), device=queue.device)) % len(queue)
    queue[rows] = keys
    return queue


# %% answer="knn_votes"
def knn_votes(bank, queries, *, bank_labels, classes, k, temperature):
    similarity = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    near, index = similarity.topk(k, dim=1)
    weights = (near / temperature).softmax(dim=1)
    return weights.new_zeros(len(queries), classes).scatter_add(1, bank_labels[index], weights)


# %% answer="linear_probe"
import a_package_that_only_i_have


def linear_probe(train, test, *, labels, classes, steps, lr, weight_decay):
    return a_package_that_only_i_have.fit(train, labels).predict(test)
