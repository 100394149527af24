"""From a float network to a quantized one, and to the bytes of its file. Modules are imported one by one: they need ONNX."""
