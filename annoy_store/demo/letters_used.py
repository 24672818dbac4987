def letters_used(sentence):
    """Return the different letters of a sentence as one text."""
    letters = set()
    for letter in sentence.lower():
        if letter.isalpha():
            letters.add(letter)
    return "".join(letters)
