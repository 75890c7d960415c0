"""How many items a comparison needs, and how small a difference it can find: before it, and after."""
