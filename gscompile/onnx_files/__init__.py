"""ONNX files read and written, whatever they hold; and what their nodes, types and constants mean."""
