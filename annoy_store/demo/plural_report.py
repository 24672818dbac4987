import inflect

engine = inflect.engine()


def plural_report(words):
    """Write the plural of every word of a list."""
    lines = []
    for word in words:
        many = engine.plural(word)
        lines.append(word + " -> " + many if many != word else word)
    return lines
