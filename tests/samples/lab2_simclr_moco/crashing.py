# ---
# expect: {score: 84.5, says: "Your line 3: queue[start : start + len(keys)] = F.normalize(keys, dim=1)"}
# ---

# One function that raises when the keys reach past the end of the queue (which does not happen in the training, where the
# batch divides the queue), one cell that raises before it defines anything; the rest is right.

# %% answer="enqueue"
def enqueue(queue, keys, *, start):
    queue, keys = queue.detach().clone(), keys.detach()
    queue[start : start + len(keys)] = F.normalize(keys, dim=1)
    return queue


# %% answer="linear_probe"
import a_package_that_only_i_have


def linear_probe(train, test, *, labels, classes, steps, lr, weight_decay):
    return a_package_that_only_i_have.fit(train, labels).predict(test)
