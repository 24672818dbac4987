# moved here from the scripts folder, see the ticket of last spring
import string


def tidy(word):
    # quotes and commas stick to the words
    return word.strip(string.punctuation).lower()


def word_frequency(text, shortest=3):
    """Count how often each word of a text occurs, words shorter than `shortest` left out."""
    counts = {}
    for raw in text.split():
        word = tidy(raw)
        if len(word) < shortest:
            continue  # "a", "of", "in"
        counts[word] = counts.get(word, 0) + 1
    # most frequent first
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
