# keeps the best scores of the evening in a global table

best = {"amber": 12, "birch": 30}
history = []


def report_score(name, score):
    """Enter a score; the answer is the rank of the player afterwards, best first, and the lead."""
    global best
    history.append((name, score))
    if score > best.get(name, 0):
        best[name] = score
    table = sorted(best.values(), reverse=True)
    rank = table.index(best[name]) + 1 if name in best else 0
    lead = table[0] - table[1] if len(table) > 1 else table[0]
    return {"rank": rank, "lead": lead}


print(report_score("cedar", 25))
print(report_score("amber", 8))
print(report_score("delta", 41))
