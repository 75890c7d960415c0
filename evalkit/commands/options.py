"""How several commands read their options."""


def words(text: str) -> list[str]:
    """Return the parts of a list written with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]
