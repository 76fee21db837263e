"""How good outputs are, in percent; and networks run by onnxruntime."""
