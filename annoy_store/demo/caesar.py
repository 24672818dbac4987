import string


def shift_letter(letter, key):
    if letter not in string.ascii_lowercase:
        return letter
    place = string.ascii_lowercase.index(letter)
    return string.ascii_lowercase[(place + key) % 26]


def caesar(message, key, mode):
    """Encrypt or decrypt a message with the cipher that moves every letter by the key."""
    if mode == "decrypt":
        key = -key
    elif mode != "encrypt":
        raise ValueError("mode must be encrypt or decrypt")
    return "".join(shift_letter(letter, key) for letter in message.lower())
