import string


def tidy(word):
    return word.strip(string.punctuation).lower()


def word_frequency(text, shortest=3):
    """Count how often each word of a text occurs, words shorter than `shortest` left out."""
    counts = {}
    for raw in text.split():
        word = tidy(raw)
        if len(word) < shortest:
            continue
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
