def encode(text: str) -> str:
    """Write a text in run-length form: every run of one letter as its length and the letter."""
    if not text:
        return ""
    parts = []
    current, run = text[0], 1
    for letter in text[1:]:
        if letter == current:
            run += 1
        else:
            parts.append(f"{run}{current}")
            current, run = letter, 1
    parts.append(f"{run}{current}")
    return "".join(parts)


def test_encode():
    assert encode("aaabccd") == "3a1b2c1d"
    assert encode("zz") == "2z"
    assert encode("abbbbc") == "1a4b1c"
