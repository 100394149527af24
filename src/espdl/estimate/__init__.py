"""What a model will cost on a chip before anything is flashed: memory to the byte, latency with its interval."""
