"""The demonstration: a trained network, real handwritten digits, the whole way from ONNX to the answers of a chip."""
