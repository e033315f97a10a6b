# ---
# expect: {score: 94, says: "still running after 10 s: is there an endless loop? Your line", cell_timeout: 60}
# ---

# All right but for a loop that never ends.

# %% answer="info_nce_accuracy"
def info_nce_accuracy(query, positive, negatives):
    i = hits = 0
    while i < len(query):
        hits += (query[i] @ positive[i] > negatives[i] @ query[i]).all()
    return hits / len(query)
