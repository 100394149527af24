"""How a file's integers differ from the float network: at every layer, because of every layer, in every tensor; and what to do about it."""
