"""What is told to people: the content of a file, the state of an installation."""
