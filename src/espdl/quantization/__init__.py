"""Names of ESP-PPQ's package of the same name."""
